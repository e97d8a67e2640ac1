"""The model bundle: a folder that answers questions with nothing but itself and the package that reads it.

`playbook.adapt.classifier.save_bundle` writes configuration, tokenizer and weights; here the folder gets its README,
which is the model card, and its hash. Only JSON, text and safetensors may lie in it: nothing that would have to be
unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from playbook.artifacts import BasePin, Score, canonical_hash
from playbook.errors import ArtifactError
from playbook.evaluate.markdown import markdown_table, markdown_text
from playbook.spec import TaskSpec
from playbook.store import file_sha256

CARD = "README.md"
BUNDLE = "bundle.json"
ALLOWED = frozenset({".json", ".txt", ".safetensors", ".md"})


def bundle_hash(folder: Path) -> str:
    """SHA-256 over the names (relative, sorted) and hashes of all files of a bundle.

    Raises:
        ArtifactError: the folder is not a bundle, or holds files of a kind that has no business there.
    """
    if not (folder / BUNDLE).is_file():
        raise ArtifactError(f"{folder}: expected a model bundle with {BUNDLE}, found none; package the model again")
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    strange = [path.relative_to(folder).as_posix() for path in files if path.suffix not in ALLOWED or path.is_symlink()]
    if strange:
        raise ArtifactError(
            f"{folder}: expected only {', '.join(sorted(ALLOWED))} files, found {', '.join(strange)}; a bundle holds "
            "nothing that would have to be unpickled or run: package the model again"
        )
    return canonical_hash({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})


@dataclass(frozen=True)
class CardFacts:
    """What a model card says beyond the task file; no times, so that one model has one hash."""

    pin: BasePin
    source: str  # frozen_baseline or rung_K
    unfrozen: int
    dataset_version: int
    dataset_hash: str
    rows: Mapping[str, int] = field(default_factory=dict)  # by split
    test: Mapping[str, Score] = field(default_factory=dict)  # by Limit.label, on the test split
    verdict: str = ""


def write_card(folder: Path, spec: TaskSpec, facts: CardFacts) -> Path:
    """Write the bundle's README: what the model is for, what it stands on, how well it does, where it stops.

    Text of the task file is escaped. The front matter is that of model hubs.
    """
    front = yaml.safe_dump(_front_matter(spec, facts), sort_keys=False, allow_unicode=True)
    meanings = spec.data.classes
    sections = [
        f"---\n{front}---",
        f"# {spec.task}",
        markdown_text(spec.question),
        f"## Classes\n\n{markdown_table(('class', 'meaning'), [(name, meanings[name]) for name in spec.labels])}",
        f"## How well it does\n\nOn the test split, with intervals. {markdown_text(facts.verdict)}\n\n{_scores(facts)}",
        "## What it stands on\n\n" + markdown_table(("part", "value"), _origins(spec, facts)),
        "## Where it stops\n\n" + _limits(spec),
        "## How to use it\n\n```python\nfrom pathlib import Path\nfrom playbook.adapt.classifier import load_bundle\n\n"
        'model = load_bundle(Path("."))\nmodel.labels, model.predict_proba(["some text"])\n```',
    ]
    path = folder / CARD
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def _front_matter(spec: TaskSpec, facts: CardFacts) -> dict[str, object]:
    base = {"base_model": facts.pin.name} if facts.pin.origin == "hub" else {}
    return {
        "pipeline_tag": "text-classification",
        **base,
        "license": facts.pin.licence,
        "tags": ["playbook", spec.task],
    }


def _scores(facts: CardFacts) -> str:
    rows = [
        (name, f"{score.value:.4f}", f"{score.low:.4f} to {score.high:.4f}", str(score.n))
        for name, score in facts.test.items()
    ]
    return markdown_table(("metric", "value", "interval", "rows"), rows) if rows else "The test split was not opened."


def _origins(spec: TaskSpec, facts: CardFacts) -> list[tuple[str, str]]:
    pin = facts.pin
    splits = ", ".join(f"{count} {split}" for split, count in facts.rows.items())
    return [
        ("base", f"{pin.name} ({pin.origin}, revision {pin.revision}), weights SHA-256 {pin.weights_sha256}"),
        ("licence of the base", pin.licence),
        ("pretrained on", spec.base.pretrained_on),
        ("size", f"{pin.parameters:,} parameters, {pin.blocks} blocks, {pin.pooling} pooling, {pin.max_length} tokens"),
        ("adaptation", f"{facts.source}, {facts.unfrozen} of {pin.blocks} blocks unfrozen"),
        ("data", f"version {facts.dataset_version}, hash {facts.dataset_hash}, {splits}"),
        ("origin of the data", spec.data.source.provenance),
        ("licence of the data", spec.data.source.licence),
        ("owners", f"model {spec.owners.model}, data {spec.owners.data}, sign-off {spec.owners.sign_off}"),
    ]


def _limits(spec: TaskSpec) -> str:
    silent = (
        "It leaves inputs unlike its training data, and answers that it is not sure enough of, to a person."
        if spec.serving.ask_a_person is not None
        else f"It answers with one of the {len(spec.labels)} classes above, whatever it is asked."
    )
    known = (
        silent,
        f"Texts are cut after {spec.base.max_length} tokens.",
        *spec.data.source.known_limits,
    )
    return "\n".join(f"- {markdown_text(limit)}" for limit in known)
