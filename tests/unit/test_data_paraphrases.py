"""Paraphrases by a sentence base: set aside where we divide, red where the team brought the split."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from data_samples import sample
from tiny_base import tiny_spec, write_tiny_base

from playbook.data.audit import audit
from playbook.data.prepare import prepare
from playbook.data.rules import rules
from playbook.errors import PinMismatch

# To the tiny base every word that it does not know is the same one, so that these say the same to it.
ONE, OTHER = "please reset my password Здравствуйте", "please reset my password Ελληνικά"
WORDS = ("refund", "order", "late", "password", "reset", "parcel", "never", "came", "log", "please")


def table(other: str = "billing") -> list[dict[str, str]]:
    """Rows with a paraphrase in train, R61, of R60 in test; `other` is its class."""
    texts = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in ("my", "the") if a != b]
    parts = ["train"] * 40 + ["val"] * 10 + ["test"] * 10 + ["test", "train"]
    labels = [*(("billing", "delivery")[at % 2] for at in range(60)), "billing", other]
    return [
        {"id": f"R{at}", "text": text, "label": label, "part": part}
        for at, (text, label, part) in enumerate(zip([*texts[:60], ONE, OTHER], labels, parts, strict=True))
    ]


@pytest.mark.parametrize(("across", "stays"), [("quarantine", False), ("auto", True)])
def test_paraphrases_on_two_sides(tmp_path: Path, across: str, stays: bool) -> None:
    write_tiny_base(tmp_path / "base")
    spec = tiny_spec(tmp_path / "base")
    splits = {
        "column": "part",
        "across_splits": across,
        "near_duplicate_similarity": 1.0,
        "paraphrases": {"base": spec.model_dump(mode="json", exclude_none=True), "similarity": 0.99999},
    }
    task = sample(tmp_path, table(), columns={"text": "text", "label": "label", "id": "id"}, splits=splits)
    figures = prepare(task, tmp_path / "out")["splits"]["paraphrases"]
    aside = pd.read_parquet(tmp_path / "out" / "quarantine.parquet")
    found = dict(zip(aside["row_id"], aside["reason"], strict=True))
    assert (found.get("R61") == "paraphrase across splits") != stays
    seen = audit(task, tmp_path / "out")
    rule = next(rule for rule in rules(task) if rule.name == "no paraphrases across splits")
    assert rule.severity == "error"
    assert (seen.overall["paraphrases_on_two_sides"][0] == 0) != stays
    if stays:
        assert figures["set_aside"] == 0 and "R61 in train says what R60 says in test" in rule.found(seen)
    else:
        assert figures["kept"] == 0 and f"{figures['set_aside']} row" in rule.found(seen)
        assert aside.loc[aside["row_id"] == "R61", "detail"].item() == "1.00 like row R60 in test"


def test_texts_of_two_classes_are_no_paraphrases(tmp_path: Path) -> None:
    write_tiny_base(tmp_path / "base")
    base = tiny_spec(tmp_path / "base").model_dump(mode="json", exclude_none=True)
    splits = {"column": "part", "across_splits": "quarantine", "paraphrases": {"base": base, "similarity": 0.99999}}
    task = sample(tmp_path, table("delivery"), columns={"text": "text", "label": "label", "id": "id"}, splits=splits)
    prepare(task, tmp_path / "out")
    assert "R61" not in set(pd.read_parquet(tmp_path / "out" / "quarantine.parquet")["row_id"])


def test_another_base_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    write_tiny_base(tmp_path / "base")
    base = {**tiny_spec(tmp_path / "base").model_dump(mode="json", exclude_none=True), "sha256": "1" * 64}
    task = sample(tmp_path, table(), columns={"text": "text", "label": "label", "id": "id"},
                  splits={"paraphrases": {"base": base}})  # fmt: skip
    with pytest.raises(PinMismatch):
        prepare(task, tmp_path / "out")
