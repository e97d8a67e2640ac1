"""Pages of the handoff package: what they say of a made-up task, that nothing from outside acts in them, one zip."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from release_samples import approve, binding
from report_samples import FIVE, HOSTILE, PIN
from suite_samples import full_inputs

from playbook.artifacts import FileRef, PackagedModel, SignOff
from playbook.decide.log import DecisionLog
from playbook.errors import ArtifactError
from playbook.operate.handoff import HandoffInputs, handed_over, handoff_documents
from playbook.operate.handoff_package import MANIFEST, read_package, write_folder, write_zip
from playbook.operate.promotion import move_inputs
from playbook.operate.recipe import RECIPE, Circumstances, make_recipe
from playbook.taskfile import load_task

BUNDLE = "b" * 64


def inputs(folder: Path, **changes: Any) -> HandoffInputs:
    """Everything that a package of a hostile task describes."""
    shown = full_inputs(folder, FIVE)
    assert shown.evaluation is not None
    document = shown.spec.model_dump(mode="json", exclude_defaults=True)
    document["serving"] = {"log_share": 0.25, "retention_days": 30, "redact": {"patterns": ["[0-9]{16}"]}}
    document["retraining"] = {"metric_below": 0.8, "drift": {"alarms": 3, "windows": 5}, "new_labels": 500}
    (folder / "demo.yaml").write_text(yaml.safe_dump(document), "utf-8")
    task = load_task(folder / "demo.yaml")
    bundle = folder / "bundle"
    bundle.mkdir()
    for name in ("model.safetensors", "head.safetensors"):
        (bundle / name).write_bytes(name.encode())
    (bundle / "bundle.json").write_text('{"precision": "bf16"}')
    files = {split: FileRef(name=f"{split}.parquet", sha256=split, size=1) for split in ("train", "validation", "test")}
    dataset = shown.dataset.model_copy(update={"files": files, "dataset_hash": "d" * 32 + ".dir"})
    there = Circumstances(hardware="x86_64 processor, 2 threads, bfloat16", threads=2, versions={"torch": "2.13.0"})
    recipe = make_recipe(
        task.spec, dataset, PIN, task.spec.base, bundle, unfrozen=2, weights_sha256="w1", circumstances=there
    )
    log = DecisionLog(folder / "log" / "decisions.jsonl")
    log.append("scope", HOSTILE, by="max")
    entry = approve(log, binding("demo", "w1", dataset.dataset_hash))
    moved = move_inputs("champion", {}, {"version": "1.0.0", "bundle_sha256": BUNDLE})
    log.append("promotion", "1.0.0 is champion", by="playbook", inputs=moved, key="champion")
    log.append("waiver", "later", by="anna")
    report = FileRef(name="report.html", sha256=hashlib.sha256(b"report").hexdigest(), size=6)
    model = PackagedModel(
        task="demo", name="demo", version="1.0.0", alias="champion", source="rung_2", bundle_sha256=BUNDLE,
        changelog=HOSTILE,
    )  # fmt: skip
    given = HandoffInputs(
        task=task,
        called="demo",
        model=model,
        dataset=dataset,
        evaluation=shown.evaluation.model_copy(update={"files": {"report": report}}),
        approval=SignOff(task="demo", state="approved", by=HOSTILE, at="2026-01-01", log_entry=entry),
        audit=shown.audit,
        bundle=bundle,
        recipe=recipe,
        entries=handed_over(log.entries(), "champion", model, entry),
        changelog="# Changelog\n",
        configurations={"frozen_baseline": {"l2": 1}},
        page="# Dataset\n",
        report=b"report",
        card="# Card\n",
        remote="s3://bucket/a b",
    )
    return dataclasses.replace(given, **changes)


def test_the_log_ends_with_the_handover(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    assert [entry.kind for entry in given.entries] == ["scope", "sign_off", "promotion"]
    other = given.model.model_copy(update={"bundle_sha256": "c" * 64})
    whole = DecisionLog(tmp_path / "log" / "decisions.jsonl").entries()
    assert handed_over(whole, "champion", other, "") == whole, "it was never promoted"
    again = approve(DecisionLog(tmp_path / "log" / "decisions.jsonl"), binding("demo", "w1", evaluation="e2"))
    longer = DecisionLog(tmp_path / "log" / "decisions.jsonl").entries()
    assert handed_over(longer, "champion", given.model, again) == longer, "up to its later approval"
    assert handed_over(longer, "champion", given.model, given.approval.log_entry) == given.entries


def test_known_failure_modes_are_those_that_were_measured(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    failing, *others = given.evaluation.behaviour
    passing = others[0].model_copy(update={"name": "never fails", "failed_candidate": 0})
    given = dataclasses.replace(given, evaluation=given.evaluation.model_copy(update={"behaviour": (failing, passing)}))
    page = handoff_documents(given)["known_failure_modes.md"].decode()
    assert f"{failing.failed_candidate} of {failing.cases} cases fail, more than is allowed" in page
    assert "never fails" not in page
    assert given.audit is not None
    assert f"{given.audit.suspects:,} of {given.audit.rows:,} training and validation labels are to be checked" in page
    assert "Stood against shipping: Validation and test differ." in page
    assert "no monitoring reference" in page and "answers with one of 5 classes" in page
    without = dataclasses.replace(
        given, audit=None, evaluation=given.evaluation.model_copy(update={"behaviour": (passing,)})
    )
    page = handoff_documents(without)["known_failure_modes.md"].decode()
    assert "None of 1: no case fails." in page and "Labels were not audited." in page


def test_deployment_takes_its_figures_from_the_task_file(tmp_path: Path) -> None:
    page = handoff_documents(inputs(tmp_path))["deployment.md"].decode()
    for said in ("25%, chosen", "30 days", "\\[0-9\\]{16}", "wholly below 0.8", "alarms in 3 of the last 5 windows",
                 "500 rows", "playbook rollback demo --as NAME", "models:/demo@champion"):  # fmt: skip
        assert said in page, said


def test_nothing_from_outside_acts_in_a_page(tmp_path: Path) -> None:
    documents = handoff_documents(inputs(tmp_path))
    for name in ("README.md", "deployment.md", "known_failure_modes.md", "decision_log.html"):
        assert "<script>window" not in documents[name].decode(), name
    assert "playbook reproduce demo-1.0.0.zip --remote 's3://bucket/a b'" in documents["README.md"].decode()


def test_every_document_has_its_hash_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    documents = handoff_documents(given)
    assert documents == handoff_documents(given)
    manifest = json.loads(documents[MANIFEST])
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in documents.items() if name != MANIFEST}
    assert manifest["documents"] == hashes
    readme = documents["README.md"].decode()
    assert all(sha256 in readme for name, sha256 in hashes.items() if name != "README.md")
    one, two = write_zip(tmp_path / "one.zip", documents), write_zip(tmp_path / "two.zip", documents)
    assert one.read_bytes() == two.read_bytes()
    folder = write_folder(tmp_path / "folder", documents)
    assert read_package(one) == read_package(folder) and read_package(one).recipe == given.recipe


def test_what_is_no_package(tmp_path: Path) -> None:
    documents = handoff_documents(inputs(tmp_path))

    def refused(message: str, **changes: bytes | None) -> None:
        content = {name: text for name, text in {**documents, **changes}.items() if text is not None}
        with pytest.raises(ArtifactError, match=message):
            read_package(write_zip(tmp_path / "changed.zip", content))

    refused("expected a handoff package with MANIFEST.json", **{MANIFEST: None})
    refused("MANIFEST.json cannot be read", **{MANIFEST: b"[]"})
    refused(r"expected dataset\.md with SHA-256 .*found no such file", **{"dataset.md": None})
    refused(r"expected dataset\.md with SHA-256", **{"dataset.md": b"other"})
    (tmp_path / "text.zip").write_bytes(b"no zip")
    for place in (tmp_path / "text.zip", tmp_path / "nowhere.zip"):
        with pytest.raises(ArtifactError, match="expected the zip of a handoff package"):
            read_package(place)
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for _ in range(2):
            archive.writestr(MANIFEST, documents[MANIFEST])
    with pytest.raises(ArtifactError, match="different names"):
        read_package(tmp_path / "twice.zip")


def forged(documents: dict[str, bytes], **changes: bytes) -> dict[str, bytes]:
    """Documents of which some were changed, with a manifest that fits them."""
    content = {**documents, **changes}
    manifest = json.loads(content[MANIFEST])
    manifest["documents"] = {name: hashlib.sha256(t).hexdigest() for name, t in content.items() if name != MANIFEST}
    return {**content, MANIFEST: json.dumps(manifest).encode()}


def test_what_was_approved_has_to_be_in_the_packages_own_log(tmp_path: Path) -> None:
    documents = handoff_documents(inputs(tmp_path))
    recipe = json.loads(documents[RECIPE])
    recipe["expected"]["weights.safetensors"] = "w2"
    manifest = json.loads(documents[MANIFEST])
    manifest["describes"]["bundle"]["weights"] = recipe["expected"]
    other = {RECIPE: json.dumps(recipe).encode(), MANIFEST: json.dumps(manifest).encode()}
    log = documents["decision_log.jsonl"]
    for content, message in (
        (forged({**documents, **other}), "expected an approval of the recipe's weights and data .* one of others"),
        (forged(documents, **{"decision_log.jsonl": log.splitlines(keepends=True)[0]}), "found none"),
        (forged(documents, **{"decision_log.jsonl": log.replace(b"ship it", b"ship at")}), "was changed in line 2"),
        (forged(documents, **{"decision_log.jsonl": log + b"x"}), "line 4 of decision_log.jsonl is not an entry"),
    ):
        with pytest.raises(ArtifactError, match=message):
            read_package(write_zip(tmp_path / "forged.zip", content))
