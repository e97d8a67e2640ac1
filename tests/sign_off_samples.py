"""A task that waits for its sign-off, with small files in place of data, base and weights; and people with SSH keys."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from playbook.artifacts import (
    Artifact,
    BasePin,
    BaseSelection,
    Blocker,
    Candidate,
    DatasetVersion,
    Evaluation,
    FrozenBaseline,
    GateVerdict,
    Refresh,
    Report,
    Rung,
)
from playbook.decide.log import DecisionLog
from playbook.evaluate.approval import Case, open_case
from playbook.evaluate.sign_off_state import NAMESPACE
from playbook.evaluate.ssh_signature import sign
from playbook.plays import BASE, CANDIDATE, DATASET, EVALUATION, FROZEN, REFRESH, REPORT
from playbook.settings import Settings, settings
from playbook.store import Store, file_sha256
from playbook.taskfile import Task, load_task

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen (OpenSSH) is not there")
ANNA, OWNER, EVE = "anna@example.org", "max@example.org", "eve@example.org"
ANSWERS = {"gain": "Yes, 3 points.", "failures": "Rare classes; a person looks.", "production": "Yes, by the slice."}
TODAY = date(2026, 11, 21)
SPLITS = ("train", "validation", "test")


def make_keys(folder: Path) -> Path:
    """Private keys of the sign-off owner, the model owner and a stranger, by their first names."""
    for name in ("anna", "max", "eve"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def public(key: Path) -> str:
    """Type and blob of a public key, as an allowed-signers line has them."""
    return " ".join(key.with_suffix(".pub").read_text("utf-8").split()[:2])


@dataclass
class Waiting:
    """A folder with a task, its store and its published report."""

    folder: Path
    document: dict[str, Any] = field(default_factory=dict)
    blockers: tuple[Blocker, ...] = ()

    @property
    def places(self) -> Settings:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("PLAYBOOK_STORE", "PLAYBOOK_TASKS"):
                patch.delenv(name, raising=False)
            patch.setenv("PLAYBOOK_HOME", str(self.folder / "home"))
            return settings()

    @property
    def task(self) -> Task:
        return load_task(self.folder / "demo.yaml")

    @property
    def store(self) -> Store:
        return Store(self.places.store, self.folder / "cache")

    @property
    def log(self) -> DecisionLog:
        return DecisionLog(self.places.decision_log("demo"))

    @property
    def report(self) -> Path:
        return self.places.report("demo")

    @property
    def signers(self) -> Path:
        return self.folder / "allowed_signers"

    def case(self, today: date = TODAY) -> Case:
        """Everything read again from disk, as a later process would."""
        return open_case(self.task, self.places, today)

    def write_task(self, section: dict[str, Any] | None = None, **owners: str) -> None:
        self.document["sign_off"] = {**self.document.get("sign_off", {}), **(section or {})}
        self.document["owners"] = {**self.document["owners"], **owners}
        (self.folder / "demo.yaml").write_text(yaml.safe_dump(self.document), "utf-8")

    def put(self, asset: str, artifact: Artifact, **files: bytes) -> Any:
        paths = {}
        for role, content in files.items():
            paths[role] = self.folder / "made" / f"{asset}-{role}"
            paths[role].parent.mkdir(exist_ok=True)
            paths[role].write_bytes(content)
        made = self.store.put(asset, artifact, paths)
        self.store.set_current("demo", asset, made.play_key)
        return made

    def file(self, asset: str, role: str) -> Path:
        """A file of the store, to be tampered with."""
        return next((self.folder / "home" / "store" / "demo" / asset).rglob(f"{asset}-{role}"))

    def evaluate(self, dataset_hash: str = "d1", weights: bytes = b"rung", **fields: Any) -> Evaluation:
        """All results of one run, as the plays leave them."""
        pin = BasePin(
            name="tiny", origin="folder", revision="1", weights_sha256=file_sha256(self.folder / "base" / BASE_FILE),
            tokenizer_sha256="6" * 64, licence="MIT", parameters=10, blocks=2, width=4, pooling="mean", max_length=32,
        )  # fmt: skip
        gate = GateVerdict(passed=True, dataset_hash=dataset_hash, checks=())
        dataset = DatasetVersion(task="demo", number=1, dataset_hash=dataset_hash, play_key="k", gate=gate)
        splits = {split: f"{split} {dataset_hash}".encode() for split in SPLITS}
        self.put(DATASET, dataset, **splits)
        self.put(BASE, BaseSelection(task="demo", pin=pin, play_key="k"))
        frozen = self.put(FROZEN, FrozenBaseline(task="demo", pin=pin, play_key="k"), weights=b"frozen")
        rung = self.put("rung_1", Rung(task="demo", pin=pin, index=1, kept=True, play_key="k"), weights=weights)
        self.put(REFRESH, Refresh(task="demo", status="skipped", reason="nothing serves yet", play_key="k"))
        self.put(CANDIDATE, Candidate(task="demo", source="rung_1", model=rung.digest, play_key="k"))
        given = {
            "task": "demo", "play_key": "k", "metric": "accuracy", "target": 0.85, "margin": 0.02,
            "ship": "candidate", "verdict": "ship it",
            "dataset_hash": dataset_hash, "baseline_digest": frozen.digest, "candidate_digest": rung.digest,
            "blockers": self.blockers,
        }  # fmt: skip
        report = f"<html>{dataset_hash} {weights!r}</html>".encode()
        done: Evaluation = self.put(EVALUATION, Evaluation.model_validate({**given, **fields}))
        self.render(report)
        return done

    def render(self, report: bytes) -> None:
        """Write and publish the page of the current evaluation."""
        done = self.store.current("demo", EVALUATION, Evaluation)
        assert done is not None
        self.put(REPORT, Report(task="demo", evaluation=done.digest, play_key="k"), report=report)
        self.report.parent.mkdir(parents=True, exist_ok=True)
        self.report.write_bytes(report)


BASE_FILE = "model.safetensors"


def waiting(folder: Path, mode: str = "recorded", *blockers: Blocker) -> Waiting:
    """A task in a fresh folder whose candidate waits for its sign-off."""
    (folder / "base").mkdir(parents=True)
    (folder / "base" / BASE_FILE).write_bytes(b"weights of the base")
    document = {
        "task": "demo",
        "question": "Which team should answer this ticket first?",
        "target": {"metric": "accuracy", "at_least": 0.85, "margin": 0.02},
        "owners": {"model": OWNER, "data": "team:data", "sign_off": ANNA},
        "data": {
            "source": {"path": "x.csv"},
            "columns": {"text": "text", "label": "label"},
            "classes": {"a": "one", "b": "other"},
        },
        "base": {"folder": "base", "sha256": file_sha256(folder / "base" / BASE_FILE), "licence": "MIT"},
        "adaptation": {"max_rungs": 1},
        "sign_off": {"mode": mode, **({"allowed_signers": "allowed_signers"} if mode == "signed" else {})},
    }
    place = Waiting(folder, document, blockers)
    place.write_task()
    place.evaluate()
    return place


def signed_place(folder: Path, keys: Path, *blockers: Blocker) -> Waiting:
    """As `waiting` in signed mode, with an allowed-signers file of both owners."""
    place = waiting(folder, "signed", *blockers)
    place.signers.write_text(f"{ANNA} {public(keys / 'anna')}\n{OWNER} {public(keys / 'max')}\n", "utf-8")
    return place


def by(key: Path) -> Any:
    """Signs a statement with a key, as `playbook approve --key` does."""
    return lambda text: sign(text, key, NAMESPACE)
