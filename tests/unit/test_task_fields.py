"""What an edit of each field of the task file makes again: exactly what depends on it.

For every asset the memo key's own inputs are computed before and after an edit of one field alone; results of earlier
plays stay what they were, as their digests are in the keys in place of what made them. A field that is not in the table
fails the test, so whoever adds one has to say what depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from task_edits import DOCUMENT, edited, fields

from assets import (
    adaptation,
    base,
    candidate,
    controls,
    data,
    decision,
    early_end,
    evaluation,
    label_audit,
    packaging,
    refresh,
    report,
    scope,
    test_answers,
    training,
    watch,
)
from assets.handoff import SECTIONS
from assets.steps import Steps
from playbook.adapt.frozen import FrozenJob
from playbook.adapt.job import Job
from playbook.artifacts import (
    BasePin,
    BaseSelection,
    Candidate,
    Controls,
    DatasetVersion,
    Decision,
    EarlyEnd,
    Evaluation,
    FileRef,
    FrozenBaseline,
    GateVerdict,
    LabelAudit,
    ReferenceBaselines,
    Rung,
    canonical_hash,
)
from playbook.evaluate.answers import answers_key
from playbook.evaluate.locked_terms import terms_of
from playbook.settings import settings
from playbook.spec import TaskSpec
from playbook.taskfile import Task

# What is made again -> the fields that it is made again for, beside the problem statement and the pages, which hold the
# whole task file. `frozen`, `rung`, `controls` are trainings with their figures; `head` and `training` are what takes
# time. `terms` are what an opening locks: they are judged, and make nothing.
AGAIN: tuple[tuple[str, str], ...] = (
    (
        "references early_end evaluation terms",
        """
        target.operating_point
        """,
    ),
    (
        "decision evaluation",
        """
        task
        """,
    ),
    (
        "",
        """
        question evaluation.examples sign_off.mode sign_off.allowed_signers sign_off.revoked_keys
        """,
    ),
    (
        "dataset references base head training frozen early_end rung audit candidate controls refresh "
        "answers_majority answers_tfidf evaluation terms drift",
        """
        target.metric target.at_most target.of_class
        """,
    ),
    (
        "dataset references frozen early_end rung audit candidate controls refresh evaluation terms drift",
        """
        target.at_least target.limits
        """,
    ),
    (
        "dataset evaluation terms",
        """
        target.margin evaluation.power
        """,
    ),
    (
        "handoff",
        """
        owners.model owners.data owners.sign_off serving.log_share serving.retention_days monitoring.since
        monitoring.window_days retraining.metric_below retraining.metric_differs retraining.drift.alarms
        retraining.drift.windows retraining.false_alarm_rate retraining.new_labels retraining.task_changed
        retraining.better_base retraining.cool_down_days retraining.min_new_labels retraining.new_class_rows
        retraining.schedule retraining.try_bases
        """,
    ),
    (
        "dataset decision",
        """
        data.source.path data.source.train data.source.validation data.source.test data.source.provenance
        data.source.encoding data.source.delimiter data.source.quoting data.source.quote
        data.source.licence data.source.known_limits data.splits.validation data.splits.test
        data.splits.near_duplicate_similarity data.splits.across_splits data.splits.by
        data.splits.paraphrases.similarity data.splits.paraphrases.base.hub data.splits.paraphrases.base.revision
        data.splits.paraphrases.base.folder data.splits.paraphrases.base.package data.splits.paraphrases.base.sha256
        data.splits.paraphrases.base.licence data.splits.paraphrases.base.pretrained_on
        data.splits.paraphrases.base.relevance data.splits.paraphrases.base.relevance_reason
        data.splits.paraphrases.base.layers
        data.splits.paraphrases.base.max_length data.gate.min_rows
        data.gate.min_rows_per_class data.gate.warn_rows_per_class data.gate.min_evaluation_rows_per_class
        data.gate.max_quarantined data.gate.split_tolerance
        """,
    ),
    ("dataset decision terms", "data.splits.column data.splits.seed"),
    ("dataset decision evaluation terms", "data.columns.group"),
    (
        "dataset decision evaluation",
        """
        data.columns.text data.columns.label data.columns.id data.columns.time data.columns.time_format
        data.columns.keep data.production.path data.production.latest data.accumulated.rows data.accumulated.classes
        """,
    ),
    (
        "dataset references decision answers_majority answers_tfidf evaluation terms",
        """
        data.classes
        """,
    ),
    (
        "dataset decision audit",
        """
        data.labels.second_annotator data.labels.guideline data.labels.corrections data.labels.folds
        data.labels.fold_draws data.labels.check_from data.labels.known_errors data.learning_curve.sizes
        data.learning_curve.repeats data.learning_curve.worth
        """,
    ),
    ("dataset decision", "data.labels.min_rows_twice data.labels.labelled_by"),
    (
        "dataset decision audit evaluation",
        """
        data.labels.min_kappa
        """,
    ),
    (
        "decision",
        """
        decision.novelty decision.rows_obtainable decision.device_hours decision.latency_ms decision.control
        decision.change decision.bottleneck decision.pretrained_exists decision.labels decision.domain_shift
        decision.texts_may_leave decision.deadline decision.deadline_weeks decision.deadline_hours decision.phased
        decision.prompting_reaches decision.on_device
        decision.maintainers decision.data_licence_allows_training decision.base_licences_allow_use
        decision.residency decision.training_place decision.prompting_place decision.weights_must_be_owned
        decision.derived_weights_owned decision.override.path decision.override.by decision.override.because
        prices.currency prices.device_hour prices.person_hour prices.label prices.storage_gb_month
        prices.prompts_per_1000 prices.serving_hour prices.iteration_person_hours prices.storage_months
        """,
    ),
    (
        "decision base",
        """
        base.hub base.revision base.folder base.package base.sha256 base.licence base.pretrained_on base.relevance
        base.relevance_reason bake_off.forbidden_licences
        base.layers base.max_length bake_off.alternatives bake_off.train_rows bake_off.validation_rows
        bake_off.resamples bake_off.licences bake_off.budget.latency_p95_ms bake_off.budget.memory_mb
        bake_off.budget.disk_mb bake_off.budget.parameters_millions bake_off.close_call
        """,
    ),
    (
        "decision candidate",
        """
        adaptation.max_rungs
        """,
    ),
    (
        "decision training rung candidate controls refresh",
        """
        adaptation.learning_rate adaptation.head_learning_rate adaptation.block_decay adaptation.weight_decay
        adaptation.warmup adaptation.epochs adaptation.patience adaptation.batch_size adaptation.accumulation
        adaptation.label_smoothing adaptation.dropout adaptation.devices adaptation.cache_activations
        """,
    ),
    (
        "references decision base head training frozen rung audit candidate controls refresh answers_majority "
        "answers_tfidf",
        """
        adaptation.class_weighting
        """,
    ),
    (
        "decision rung candidate",
        """
        adaptation.keep.min_gain adaptation.keep.chance adaptation.keep.standard_errors
        """,
    ),
    (
        "decision candidate controls",
        """
        adaptation.controls.scratch adaptation.controls.other_base adaptation.controls.budget
        adaptation.controls.scratch_learning_rate adaptation.controls.seeds
        """,
    ),
    (
        "references decision base head training frozen early_end rung audit candidate controls refresh "
        "answers_majority answers_tfidf evaluation drift",
        """
        adaptation.seed
        """,
    ),
    (
        "references decision base head training frozen rung audit candidate controls refresh evaluation",
        """
        adaptation.accelerator adaptation.precision
        """,
    ),
    (
        "dataset references base frozen early_end rung audit candidate controls refresh evaluation terms drift",
        """
        evaluation.confidence
        """,
    ),
    (
        "references base frozen early_end rung audit candidate controls refresh evaluation terms drift",
        """
        evaluation.resamples
        """,
    ),
    (
        "references early_end terms",
        """
        evaluation.early_end_standard_errors
        """,
    ),
    (
        "evaluation",
        """
        evaluation.slices evaluation.min_slice_rows evaluation.calibration_bins evaluation.behaviour
        evaluation.capabilities
        """,
    ),
    (
        "dataset evaluation",
        """
        evaluation.shift_p_value
        """,
    ),
    (
        "evaluation terms",
        """
        evaluation.regression.share evaluation.regression.share_of_class evaluation.capability_tolerance
        """,
    ),
    (
        "package handoff",
        """
        package.alias package.parity_rows
        """,
    ),
    (
        "evaluation package handoff drift",
        """
        serving.ask_a_person.error serving.ask_a_person.failure serving.ask_a_person.strangers
        serving.redact.columns serving.redact.patterns
        """,
    ),
    (
        "handoff drift",
        """
        monitoring.false_alarm_rate monitoring.resamples monitoring.min_rows monitoring.min_outcomes
        """,
    ),
    (
        "refresh handoff",
        """
        retraining.refresh.learning_rate_factor
        """,
    ),
    (
        "terms handoff",
        """
        retraining.margin retraining.tolerance
        """,
    ),
)


def file(name: str) -> FileRef:
    return FileRef(name=name, sha256=canonical_hash(name), size=1)


PIN = BasePin(
    name="tiny", origin="folder", revision="1", weights_sha256="0" * 64, tokenizer_sha256="6" * 64, licence="MIT",
    parameters=10, blocks=4, width=4, pooling="mean", max_length=32,
)  # fmt: skip
MODEL = {"weights": file("weights"), "predictions": file("predictions"), "config": file("config")}
SPLITS = {split: file(split) for split in ("train", "validation", "test")}
DATASET = DatasetVersion(task="demo", number=1, dataset_hash="d1", files=SPLITS, play_key="k")
BASE = BaseSelection(task="demo", pin=PIN)
FROZEN = FrozenBaseline(task="demo", pin=PIN, files=MODEL)
RUNG = Rung(task="demo", pin=PIN, files=MODEL, index=1, kept=True)
STEPS = Steps(
    dataset=DATASET,
    references=ReferenceBaselines(task="demo"),
    decision=Decision(task="demo"),
    base=BASE,
    frozen=FROZEN,
    early=EarlyEnd(task="demo"),
    audit=LabelAudit(task="demo"),
    rungs=[RUNG],
    choice=Candidate(task="demo", source="rung_1", model=RUNG.digest),
    controls=Controls(task="demo"),
)


class Keys:
    """Keys of all results of a task file, upstream results being what they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("train", "validation", "start", "model.safetensors"):
            (folder / name).write_text(name)

    def of(self, document: dict[str, Any]) -> dict[str, str]:
        spec = TaskSpec.model_validate(document)
        task = Task(spec, self.folder / "demo.yaml")
        store = SimpleNamespace(path=lambda artifact, asset, role: self.folder / role)
        world = SimpleNamespace(places=settings(), store=store, work=lambda *parts: self.folder)
        play: Any = SimpleNamespace(task=task, world=world, asset="x", work=lambda key: self.folder)
        with pytest.MonkeyPatch.context() as patch:  # the files that are named here are not there
            patch.setattr(scope, "first_base", lambda task: scope.FirstBase(pin=PIN))
            patch.setattr(evaluation, "behaviour_hash", lambda play: str(play.task.spec.evaluation.behaviour))
            patch.setattr(evaluation, "capabilities_hash", lambda play: str(play.task.spec.evaluation.capabilities))
            parts = dict(self._parts(play, spec, task))
        return {name: canonical_hash(_plain(value)) for name, value in parts.items()}

    def _parts(self, play: Any, spec: TaskSpec, task: Task) -> Iterator[tuple[str, Any]]:
        limit = spec.target.all_limits[0]
        shared: dict[str, Any] = {
            "base_folder": self.folder, "pin": PIN, "labels": spec.labels, "train": self.folder / "train",
            "validation": self.folder / "validation", "boundaries": (), "metric": limit,
            "adaptation": spec.adaptation, "cache": self.folder, "out": self.folder,
        }  # fmt: skip
        job = Job(task="demo", start=self.folder / "start", unfrozen=1, **shared)
        yield "problem", document_of(spec)
        yield "dataset", data.gate_inputs(spec)
        yield "references", scope.reference_inputs(task, DATASET, scope.FirstBase(pin=PIN))
        yield "decision", decision._inputs(play, DATASET, STEPS.references, scope.FirstBase(pin=PIN), None)
        yield "base", base.bake_off_inputs(play, DATASET, [])
        yield "head", training.head_key(FrozenJob(**shared))
        yield "training", training.training_key(job)
        yield "frozen", adaptation.training_inputs(play, DATASET, BASE)
        yield "early_end", early_end.asked_of(play)
        yield "rung", adaptation.rung_inputs_of(play, DATASET, BASE, FROZEN, 1)
        yield "audit", label_audit._inputs(play, DATASET, BASE, FROZEN)
        yield "candidate", candidate._inputs(play)
        yield "controls", controls._inputs(play, controls.Before(DATASET, BASE, PIN, FROZEN, [RUNG], RUNG))
        registered: Any = SimpleNamespace(bundle_sha256="b")
        yield "refresh", refresh._inputs(play, DATASET, BASE, registered)
        asked = [test_answers.trained_model(play, "candidate", RUNG)]
        asked += test_answers.reference_models(play, DATASET, ["majority", "tfidf"])
        for model in asked:
            yield f"answers_{model.name}", answers_key(model, SPLITS["test"].sha256, spec.labels)
        yield "evaluation", evaluation._inputs(play, STEPS)
        yield "terms", terms_of(spec)
        yield "report", report._inputs(play, STEPS, Evaluation(task="demo"))
        yield "package", packaging._inputs(play)
        yield "handoff", spec.model_dump(mode="json", include=SECTIONS)
        yield "drift", watch._inputs(play)


def document_of(spec: TaskSpec) -> Any:
    return spec.model_dump(mode="json")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    before = keys.of(DOCUMENT)

    def made_again(field: str) -> str:
        after = keys.of(edited(DOCUMENT, field))
        return " ".join(name for name in before if before[name] != after[name])

    return made_again


EXPECTED = {field: made for made, named in AGAIN for field in named.split()}
FIELDS = [field for field in dict.fromkeys(fields(TaskSpec)) if field != "modality"]  # which has one value only


def test_every_field_of_the_task_file_is_in_the_table() -> None:
    assert sorted(EXPECTED) == sorted(FIELDS)
    assert len(EXPECTED) == sum(len(named.split()) for _, named in AGAIN), "and once"


def test_an_edit_makes_again_what_depends_on_it_and_nothing_else(again: Callable[[str], str]) -> None:
    found = {field: again(field) for field in FIELDS}
    shown = "problem report"
    assert {field: made for field, made in found.items() if not set(shown.split()) <= set(made.split())} == {}
    rest = {field: " ".join(one for one in made.split() if one not in shown) for field, made in found.items()}
    assert {field: made for field, made in rest.items() if made != EXPECTED[field]} == {}


def test_no_training_and_no_answer_depends_on_what_it_is_judged_by() -> None:
    costly = {"head", "training", "answers_candidate", "answers_majority", "answers_tfidf"}
    judged = ["target.at_least", "target.margin", "target.limits", "evaluation.confidence", "evaluation.power"]
    shown = ["question", "sign_off.mode", "evaluation.examples", "package.alias", "monitoring.min_rows"]
    shown += [field for field in FIELDS if field.startswith(("owners.", "prices."))]
    assert {field: EXPECTED[field] for field in judged + shown if costly & set(EXPECTED[field].split())} == {}
    assert all("evaluation" not in EXPECTED[field].split() and "terms" not in EXPECTED[field] for field in shown)


def test_the_gate_judges_again_what_a_limit_is_read_by_and_its_words_move_no_path(tmp_path: Path) -> None:
    spec = TaskSpec.model_validate({**DOCUMENT, "target": {"metric": "accuracy", "at_least": 0.9, "margin": 0.02}})
    constant = {"metric": "precision", "of_class": "access", "at_least": 0.05, "margin": 0.02}
    edited_spec = TaskSpec.model_validate({**DOCUMENT, "target": constant})
    assert data.gate_inputs(spec) != data.gate_inputs(edited_spec), "the constant answer meets one and not the other"
    play: Any = SimpleNamespace(task=Task(spec, tmp_path / "demo.yaml"))
    said = DATASET.model_copy(update={"gate": GateVerdict(passed=True, dataset_hash="d1", checks=())})
    keys = [
        decision._inputs(play, one, STEPS.references, scope.FirstBase(pin=PIN), None)["data"] for one in (DATASET, said)
    ]
    assert DATASET.digest != said.digest and keys[0] == keys[1]


@pytest.mark.parametrize("edit", [{"at_least": 0.87}, {"operating_point": "argmax"}])
@pytest.mark.parametrize("classes", [2, 3])
def test_where_limits_choose_a_threshold_they_make_figures_again_and_train_nothing(
    tmp_path: Path, classes: int, edit: dict[str, Any]
) -> None:
    named = {**DOCUMENT["data"], "classes": dict.fromkeys(("access", "billing", "fault")[:classes], "A class.")}
    target = {"metric": "accuracy", "at_least": 0.8, "margin": 0.02}
    keys = Keys(tmp_path)
    before, after = (keys.of({**DOCUMENT, "data": named, "target": {**target, **one}}) for one in ({}, edit))
    again = {name for name in before if before[name] != after[name]}
    figures = {"frozen", "rung", "candidate", "controls", "refresh", "audit"}  # its curve ends at the baseline
    assert {"references", "early_end", "evaluation"} <= again
    assert figures & again == (figures if classes == 2 else set()), "of three the likeliest is answered"
    assert not {"head", "training", "answers_candidate", "answers_tfidf"} & again
