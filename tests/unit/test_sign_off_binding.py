"""What an approval is bound to: bytes on disk, whatever their manifests say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from sign_off_samples import BASE_FILE, Waiting, waiting

from playbook.artifacts import BaseCandidate, Candidate, Evaluation
from playbook.evaluate.binding import MISSING, Bound, binding_of, damage, differences, shipping_model, stale
from playbook.spec import BakeOff, Base
from playbook.store import file_sha256
from playbook.taskfile import Task


@pytest.fixture
def place(tmp_path: Path) -> Waiting:
    return waiting(tmp_path)


def test_a_binding_has_the_hash_of_every_file(place: Waiting) -> None:
    now = place.case().now
    assert now.base == file_sha256(place.folder / "base" / BASE_FILE)
    assert now.weights == file_sha256(place.file("rung_1", "weights"))
    assert now.report == now.evaluation, "the published page shows the facts that are approved"
    assert now.splits == {s: file_sha256(place.file("dataset_version", s)) for s in ("train", "validation", "test")}
    assert (now.dataset, now.ship, now.evaluation) == ("d1", "candidate", place.case().bound.evaluation.digest)
    assert differences(now, place.case().now) == () == damage(place.case().bound, now)
    assert stale(place.case().bound) == ()


@pytest.mark.parametrize(
    ("asset", "role", "words"),
    [
        ("dataset_version", "train", "the train split"),
        ("dataset_version", "test", "the test split"),
        ("rung_1", "weights", "the trained weights"),
    ],
)
def test_a_changed_file_is_a_difference_and_damage(place: Waiting, asset: str, role: str, words: str) -> None:
    before = place.case().now
    place.file(asset, role).write_bytes(b"something else")
    case = place.case()
    (said,) = differences(before, case.now)
    assert said.startswith(f"{words} changed since it was signed off: expected ") and ", found " in said
    (hurt,) = damage(case.bound, case.now)
    assert (
        "changed since the evaluation: expected SHA-256" in hurt
        and f"`playbook run {place.task.called()}` makes it again" in hurt
    )


def test_base_and_report_count_too(place: Waiting) -> None:
    before = place.case().now
    (place.folder / "base" / BASE_FILE).write_bytes(b"another base")
    place.report.write_text("<html>all is well</html>", "utf-8")
    case = place.case()
    assert [text.split(" changed")[0] for text in differences(before, case.now)] == [
        "the weights of the base",
        "the report",
    ]
    assert len(damage(case.bound, case.now)) == 2


def test_a_page_rendered_again_from_the_same_facts_is_the_same(place: Waiting) -> None:
    before = place.case().now
    place.render(b"<html>another owner, another price, another colour</html>")
    case = place.case()
    assert differences(before, case.now) == () == damage(case.bound, case.now) == stale(case.bound)
    place.report.write_bytes(b"<html>another owner, another price, a better figure</html>")
    case = place.case()
    assert case.now.report == file_sha256(place.report), "a page that nobody rendered has nothing but its bytes"
    assert differences(before, case.now)[0].startswith("the report changed since it was signed off")


def test_a_missing_file_is_never_equal(place: Waiting) -> None:
    place.report.unlink()
    place.file("rung_1", "weights").unlink()
    (place.folder / "base" / BASE_FILE).unlink()
    case = place.case()
    assert case.now.report == case.now.weights == case.now.base == MISSING
    assert all(f"found {MISSING}" in text for text in damage(case.bound, case.now))
    assert len(damage(case.bound, case.now)) == 3


def test_a_manifest_that_was_rewritten_to_fit_is_still_a_difference(place: Waiting) -> None:
    """Whoever changes the weights and makes the manifest and its digest fit them changes what was signed off."""
    before, path = place.case().now, place.file("rung_1", "weights")
    path.write_bytes(b"swapped")
    manifest = path.with_name("manifest.json")
    body = json.loads(manifest.read_text("utf-8"))
    body["content"]["files"]["weights"]["sha256"] = file_sha256(path)
    kind = type(place.case().bound.model)
    body["digest"] = kind.model_validate(body["content"]).digest
    manifest.write_text(json.dumps(body), "utf-8")
    case = place.case()
    assert damage(case.bound, case.now) == ()
    assert "the trained weights changed" in differences(before, case.now)[0]
    assert "the model rung_1 changed since the evaluation" in stale(case.bound)[0]


def refreshed(place: Waiting, out: str) -> Bound:
    """A refreshed champion on the second base of the task, of which the bake-off chose the first."""
    bound, second = place.case().bound, place.folder / "second"
    second.mkdir()
    (second / BASE_FILE).write_bytes(b"weights of the champion's base")
    sha256 = file_sha256(second / BASE_FILE)
    other = Base(folder="second", sha256=sha256, licence="MIT")
    spec = bound.task.spec.model_copy(update={"bake_off": BakeOff(alternatives=(other,))})
    assert bound.base.pin is not None
    pin = bound.base.pin.model_copy(update={"weights_sha256": sha256})
    candidates = (BaseCandidate(name="tiny", pin=bound.base.pin), BaseCandidate(name="second", pin=pin, out=out))
    return dataclasses.replace(
        bound,
        task=Task(spec, bound.task.path),
        base=bound.base.model_copy(update={"candidates": candidates}),
        model=bound.model.model_copy(update={"pin": pin}),
        source="refresh",
        evaluation=bound.evaluation.model_copy(update={"candidate_digest": ""}),
    )


def test_a_refreshed_champion_keeps_its_base_and_is_bound_to_it(place: Waiting) -> None:
    bound = refreshed(place, out="")
    assert not [text for text in stale(bound) if text.startswith("the base")]
    assert binding_of(bound).base == bound.task.spec.bases[1].sha256
    assert not [text for text in damage(bound, binding_of(bound)) if "of the base" in text]
    (place.folder / "second" / BASE_FILE).write_bytes(b"swapped")
    assert any("the weights of the base" in text for text in damage(bound, binding_of(bound)))


def test_a_base_that_is_out_carries_no_refresh_and_the_remedy_ends_it(place: Waiting) -> None:
    (said,) = [text for text in stale(refreshed(place, out="latency 9 ms: at most 3")) if text.startswith("the base")]
    assert said.startswith("the base of refresh is no longer the one that the task uses; `playbook run ")
    assert said.endswith("trains on tiny")


def test_results_of_different_runs_do_not_belong_together(place: Waiting) -> None:
    evaluation, report = place.case().bound.evaluation, place.report.read_bytes()
    place.evaluate("d2")
    place.put("evaluation", evaluation)
    assert "the published report shows another evaluation" in stale(place.case().bound)[1]
    place.render(report)
    said = stale(place.case().bound)
    assert len(said) == 1 and said[0].startswith("the dataset changed since the evaluation: expected d1, found d2")


def test_the_model_that_ships_is_the_one_that_is_bound(place: Waiting) -> None:
    case = place.case()
    done: Evaluation = place.evaluate(ship="baseline")
    bound = place.case().bound
    assert done.ship == "baseline" and bound.source == "frozen_baseline"
    assert place.case().now.weights == file_sha256(place.file("frozen_baseline", "weights"))
    models = {"frozen_baseline": bound.model, "rung_1": case.bound.model}
    choice = Candidate(task="demo", source="rung_1")
    assert shipping_model(case.bound.evaluation, choice, models)[0] == "rung_1"
    assert shipping_model(done, choice, models)[0] == "frozen_baseline"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at_least": 0.8}, "target.at_least changed since the evaluation: expected 0.85, found 0.8"),
        ({"margin": 0.01}, "target.margin changed since the evaluation: expected 0.02, found 0.01"),
        ({"metric": "macro_f1"}, "target.metric changed since the evaluation: expected accuracy, found macro_f1"),
        ({"limits": [{"metric": "recall", "of_class": "a", "at_least": 0.5}]}, "it did not measure recall of a"),
    ],
)
def test_a_target_that_was_changed_since_is_stale(place: Waiting, change: dict[str, object], said: str) -> None:
    assert stale(place.case().bound) == ()
    place.document["target"] |= change
    place.write_task()
    (found,) = stale(place.case().bound)
    assert said in found and f"`playbook run {place.task.called()}` evaluates again" in found
