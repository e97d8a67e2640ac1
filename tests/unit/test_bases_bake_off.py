"""The bake-off: who is out before being scored, who is chosen, and that the reason says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from adapt_samples import LABELS, pairs
from metric_samples import paired_difference
from report_samples import PIN, spec_for
from tiny_base import tiny_spec, write_tiny_base

from playbook.artifacts import BaseSelection, Latency
from playbook.bases import admission, bake_off
from playbook.bases.admission import budget_faults, find_bases, modality_fault
from playbook.bases.bake_off import run_bake_off
from playbook.bases.choice import Standing, choose
from playbook.bases.footprint import Footprint
from playbook.bases.licences import licence_fault
from playbook.bases.table import bake_off_table
from playbook.errors import PinMismatch
from playbook.spec import BakeOff, Base, Budget, TaskSpec
from playbook.statistics.answers import answers_of
from playbook.statistics.metric import bind

TRUTH = np.arange(200) % 2
FOOTPRINT = Footprint(
    (
        Latency(batch=1, p50_ms=4.0, p95_ms=6.0, per_second=250.0, fastest_ms=3.5),
        Latency(batch=32, p50_ms=40.0, p95_ms=50.0, per_second=800.0, fastest_ms=38.0),
    ),
    120.0,
)


def _silent(message: str) -> None:
    assert message


def _spec(base: Base | None = None, *alternatives: Base, **rules: Any) -> TaskSpec:
    spec = spec_for(LABELS)
    changes = {"bake_off": BakeOff(alternatives=alternatives, train_rows=80, validation_rows=60, **rules)}
    adaptation = spec.adaptation.model_copy(update={"precision": "float32", "accelerator": "cpu"})
    return spec.model_copy(update={**changes, "adaptation": adaptation, **({"base": base} if base else {})})


def _standing(spec: TaskSpec, place: int, wrong: list[int], **figures: Any) -> Standing:
    predicted = TRUTH.copy()
    predicted[wrong] = 1 - predicted[wrong]
    score = bind(spec.target, spec.labels, resamples=500, seed=1).score(TRUTH, predicted)
    known = {"relevance": "general", "tokens_per_word": 1.2, "unknown_share": 0.0, "latency_ms": 5.0, **figures}
    return Standing(place=place, name=f"base{place}", score=score, answers=answers_of(predicted), **known)


def test_the_best_score_wins_where_it_is_clearly_ahead() -> None:
    spec = _spec()
    ahead = _standing(spec, 0, list(range(10)), latency_ms=50.0, tokens_per_word=3.0)
    behind = _standing(spec, 1, list(range(50)), relevance="same_domain")
    choice = choose(spec, TRUTH, [ahead, behind])
    assert choice.order == (0, 1)
    assert "base0 has the best probe score, accuracy 0.9500" in choice.why
    difference = paired_difference("accuracy", None, TRUTH, behind.answers, ahead.answers, 2, seed=13)
    errors = difference.delta / difference.standard_error
    assert f"base1 follows with 0.7500 ({errors:.2f} paired standard errors behind), which is not a close" in choice.why


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        (
            {"relevance": "related", "tokens_per_word": 1.25, "latency_ms": 99.0},
            "more relevant (related against general)",
        ),
        (
            {"tokens_per_word": 1.0, "latency_ms": 99.0},
            "measured to be closer to the texts (1.000 tokens per word against 1.200",
        ),
        ({"relevance": "same_domain"}, "more relevant (same_domain against general)"),
        ({"tokens_per_word": 1.18, "latency_ms": 99.0}, "fewer tokens per word (1.180 against 1.200)"),
        ({"latency_ms": 2.5}, "it is faster (2.50 ms against 5.00 ms"),
    ],
)
def test_a_close_call_goes_to_the_nearer_base(figures: dict[str, Any], reason: str) -> None:
    spec = _spec()
    best = _standing(spec, 0, list(range(0, 40)))
    other = _standing(spec, 1, [*range(1, 39), 100, 101, 102], **figures)  # one more wrong, 5 rows discordant
    choice = choose(spec, TRUTH, [best, other])
    assert choice.order == (1, 0)
    assert "base0 has the best probe score" in choice.why
    assert "base1 with 0.7950" in choice.why
    assert reason in choice.why
    strict = spec.model_copy(update={"bake_off": spec.bake_off.model_copy(update={"close_call": 0.0})})
    assert choose(strict, TRUTH, [best, other]).order == (0, 1)


def test_what_is_claimed_does_not_beat_what_was_measured() -> None:
    spec = _spec()
    best = _standing(spec, 0, list(range(0, 40)), relevance="same_domain", tokens_per_word=2.0)
    other = _standing(spec, 1, [*range(1, 39), 100, 101, 102])
    choice = choose(spec, TRUTH, [best, other])
    assert choice.order == (1, 0) and "measured to be closer to the texts (1.200 tokens per word against" in choice.why
    unknown = _standing(spec, 0, list(range(0, 40)), relevance="same_domain", unknown_share=0.2)
    assert choose(spec, TRUTH, [unknown, other]).order == (1, 0)
    alike = _standing(spec, 0, list(range(0, 40)), relevance="same_domain", tokens_per_word=1.25)
    assert choose(spec, TRUTH, [alike, other]).order == (0, 1)


def test_a_claim_without_a_reason_counts_as_none(bases: Path, tmp_path: Path, probed: list[str]) -> None:
    claim = _candidate(bases, 4, relevance="same_domain")
    spec = _spec(_candidate(bases, 3), claim, resamples=5, close_call=1000.0, licences=("mit",))
    assert _run(spec, tmp_path).chosen == 0
    assert any("counts as general" in one for one in _run(spec, tmp_path).findings)
    reasoned = claim.model_copy(update={"relevance_reason": "Pretrained on tickets of this very desk."})
    done = _run(_spec(_candidate(bases, 3), reasoned, resamples=5, close_call=1000.0, licences=("mit",)), tmp_path)
    assert (done.chosen, done.findings) == (1, ())
    assert "more relevant (same_domain against general)" in done.why
    assert "Pretrained on tickets" in bake_off_table(done)


def test_equal_bases_go_to_the_one_named_first() -> None:
    spec = _spec()
    choice = choose(spec, TRUTH, [_standing(spec, place, [3, 4]) for place in (0, 1)])
    assert choice.order == (0, 1)
    assert "base1 with 0.9900 (the same)" in choice.why
    assert "named first" in choice.why


def test_the_runner_up_is_the_next_by_the_same_rule() -> None:
    spec = _spec()
    best = _standing(spec, 0, list(range(10)))
    second = _standing(spec, 1, list(range(60)))
    close = _standing(spec, 2, list(range(61)), relevance="related")
    assert choose(spec, TRUTH, [best, second, close]).order == (0, 2, 1)


def test_a_single_base_needs_no_race() -> None:
    spec = _spec()
    only = [_standing(spec, 1, [3, 4])]
    assert "base1 is the only base of the task file" in choose(spec, TRUTH, only).why
    assert "base1 is the only candidate that the task allows" in choose(spec, TRUTH, only, refused=1).why


@pytest.mark.parametrize(
    ("licence", "allowed", "fault"),
    [
        ("apache-2.0", (), ""),
        ("Apache-2.0", ("mit", "apache-2.0"), ""),
        ("cc-by-nc-4.0", ("mit", "apache-2.0"), "licence cc-by-nc-4.0: expected one of mit, apache-2.0"),
        ("not stated", (), "licence 'not stated': expected one that is stated"),
        ("", (), "licence 'empty': expected one that is stated"),
    ],
)
def test_a_licence_is_allowed_or_not(licence: str, allowed: tuple[str, ...], fault: str) -> None:
    assert licence_fault(Base(folder="x", sha256="0" * 64, licence=licence), allowed) == fault


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ('{"model_type": "bert", "vocab_size": 30522}', ""),
        ('{"model_type": "vit", "image_size": 224, "num_channels": 3}', "modality image: expected text"),
        (
            '{"model_type": "wav2vec2", "vocab_size": 32, "feat_extract_norm": "group"}',
            "modality text and audio: expected",
        ),
        ('{"text_config": {}, "vision_config": {}}', "modality text and image: expected text"),
        ("{}", "modality not stated in config.json: expected text"),
    ],
)
def test_the_modality_matches_exactly(tmp_path: Path, config: str, fault: str) -> None:
    (tmp_path / "config.json").write_text(config)
    found = modality_fault("text", Base(folder="x", sha256="0" * 64, licence="mit"), tmp_path)
    assert found.startswith(fault) if fault else found == ""


@pytest.mark.parametrize(
    ("budget", "fault"),
    [
        ({}, ""),
        ({"latency_p95_ms": 6.0, "memory_mb": 120.0, "disk_mb": 90.0, "parameters_millions": 23.0}, ""),
        ({"latency_p95_ms": 5.0}, "latency p95 of one text 6 ms: at most 5"),
        ({"memory_mb": 100.0}, "memory 120 MiB: at most 100"),
        (
            {"disk_mb": 50.0, "parameters_millions": 20.0},
            "parameters 22.7132 million: at most 20; disk 90 MiB: at most 50",
        ),
    ],
)
def test_every_part_of_the_budget_counts(budget: dict[str, float], fault: str) -> None:
    assert budget_faults(Budget(**budget), PIN, 90.0, FOOTPRINT) == fault


def test_a_base_that_is_too_slow_on_a_busy_machine_is_out_and_says_so() -> None:
    single, many = FOOTPRINT.latency
    busy = Footprint((single.model_copy(update={"waited": 0.45}), many), FOOTPRINT.memory_mb)
    found = budget_faults(Budget(latency_p95_ms=5.0), PIN, 90.0, busy)
    assert found.startswith(
        "latency p95 of one text 6 ms: at most 5; other programs ran meanwhile (calls waited 45% of"
    )
    assert budget_faults(Budget(latency_p95_ms=7.0, memory_mb=1.0), PIN, 90.0, busy) == "memory 120 MiB: at most 1"


def test_what_can_be_known_without_measuring_is_judged_first() -> None:
    assert budget_faults(Budget(latency_p95_ms=1.0), PIN, 90.0, None) == ""
    assert budget_faults(Budget(disk_mb=1.0), PIN, 90.0, None) == "disk 90 MiB: at most 1"


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    for seed in (3, 4):
        write_tiny_base(folder / f"base{seed}", seed)
    return folder


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Bases that were loaded for their features, in order; what is measured in a process of its own is given."""
    from playbook.adapt import features

    seen: list[str] = []
    loaded = features.FeatureExtractor

    def extractor(folder: Path, *rest: Any) -> Any:
        seen.append(folder.name)
        return loaded(folder, *rest)

    monkeypatch.setattr(features, "FeatureExtractor", extractor)
    monkeypatch.setattr(bake_off, "measure_footprints", lambda models, *job: [FOOTPRINT for _ in models])
    return seen


def _run(spec: TaskSpec, cache: Path, report: Callable[[str], None] = _silent) -> BaseSelection:
    tables = [pd.DataFrame(pairs(rows, seed)) for rows, seed in ((160, 1), (90, 2))]
    return run_bake_off(spec, find_bases(spec, str, cache), tables[0], tables[1], report)


def _candidate(bases: Path, seed: int, **fields: Any) -> Base:
    return tiny_spec(bases / f"base{seed}").model_copy(update=fields)


def test_every_candidate_gets_the_same_measures(bases: Path, tmp_path: Path, probed: list[str]) -> None:
    spec = _spec(_candidate(bases, 3), _candidate(bases, 4), _candidate(bases, 3, layers=1), resamples=5)
    lines: list[str] = []
    done = _run(spec, tmp_path, lines.append)
    assert [one.name for one in done.candidates] == ["base3", "base4", "base3, 1 block"]
    assert done.probe_rows == (80, 60)
    for one in done.candidates:
        assert one.score is not None and one.score.n == 60
        assert one.closeness is not None and one.closeness.unknown_share > 0
        assert len(one.resampled) == 5
        assert one.spread == pytest.approx(np.std(one.resampled, ddof=1))
        assert one.transferability is not None
        assert (one.latency, one.memory_mb) == (FOOTPRINT.latency, 120.0)
    assert done.pin == done.candidates[done.chosen].pin
    assert done.runner_up is not None and done.runner_up != done.chosen
    assert done.runner_up_pin == done.candidates[done.runner_up].pin
    assert done.candidates[2].pin is not None and done.candidates[2].pin.layers == 1
    assert "close call" in done.rule
    assert len(lines) == 4
    assert _run(spec, tmp_path).digest == done.digest
    assert len(probed) == 6


def test_whoever_is_over_the_budget_is_never_scored(bases: Path, tmp_path: Path, probed: list[str]) -> None:
    whole = _candidate(bases, 3)
    spec = _spec(whole, _candidate(bases, 3, layers=1), budget=Budget(parameters_millions=0.02))
    done = _run(spec, tmp_path)
    out, left = done.candidates
    assert out.out.startswith("parameters 0.02176 million: at most 0.02")
    assert (out.score, out.resampled, out.transferability, out.closeness) == (None, (), None, None)
    assert left.score is not None
    assert (done.chosen, done.runner_up) == (1, None)
    assert [name.split("-")[0] for name in probed] == ["truncated"]  # the other's features were never computed
    assert "the only candidate that the task allows" in done.why


def test_whoever_is_too_slow_is_never_scored(
    bases: Path, tmp_path: Path, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Footprint((Latency(batch=1, p50_ms=9.0, p95_ms=99.0, per_second=9.0),), 10.0)
    monkeypatch.setattr(
        bake_off,
        "measure_footprints",
        lambda models, *job: [slow if one.folder.name == "base3" else FOOTPRINT for one in models],
    )
    done = _run(_spec(_candidate(bases, 3), _candidate(bases, 4), budget=Budget(latency_p95_ms=10.0)), tmp_path)
    assert done.candidates[0].out == "latency p95 of one text 99 ms: at most 10"
    assert done.candidates[0].latency == slow.latency
    assert done.candidates[0].score is None
    assert (done.chosen, probed) == (1, ["base4"])


def test_a_forbidden_licence_is_out_before_the_base_is_even_fetched(
    bases: Path, tmp_path: Path, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    located: list[str | None] = []
    locate = admission.locate_base
    monkeypatch.setattr(admission, "locate_base", lambda base, r: (located.append(base.folder), locate(base, r))[1])
    forbidden = Base(hub="team/model", revision="a" * 40, sha256="0" * 64, licence="cc-by-nc-4.0")
    done = _run(_spec(_candidate(bases, 4), forbidden, licences=("mit",)), tmp_path)
    assert done.candidates[1].out == "licence cc-by-nc-4.0: expected one of mit"
    assert done.candidates[1].pin is None
    assert (done.chosen, done.runner_up) == (0, None)
    assert located == [str(bases / "base4")]
    assert probed == ["base4"]


def test_an_image_model_is_out_before_it_is_scored(bases: Path, tmp_path: Path, probed: list[str]) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "config.json").write_text('{"model_type": "vit", "image_size": 224}')
    image = Base(folder=str(tmp_path / "image"), sha256="0" * 64, licence="mit")
    done = _run(_spec(image, _candidate(bases, 4)), tmp_path)
    assert (done.candidates[0].out, done.chosen, probed) == ("modality image: expected text", 1, ["base4"])


def test_where_all_are_out_it_says_by_what_each_missed(bases: Path, tmp_path: Path, probed: list[str]) -> None:
    spec = _spec(_candidate(bases, 3), _candidate(bases, 4, licence="other"), budget=Budget(memory_mb=100.0))
    with pytest.raises(PinMismatch) as caught:
        _run(spec, tmp_path)
    assert "base3: memory 120 MiB: at most 100" in str(caught.value)
    assert "base4: licence 'other': expected one that is stated" in str(caught.value)
    assert "bake_off.alternatives" in str(caught.value)
    assert probed == []


def test_an_allowed_base_with_other_weights_fails_loudly(bases: Path, tmp_path: Path) -> None:
    with pytest.raises(PinMismatch, match="expected SHA-256"):
        find_bases(_spec(_candidate(bases, 3), _candidate(bases, 4, sha256="0" * 64)), str, tmp_path)


def test_features_that_are_no_numbers_are_refused(bases: Path, tmp_path: Path, probed: list[str]) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(bases / "base3", tmp_path / "broken")
    weights = tmp_path / "broken" / "model.safetensors"
    tensors = load_file(weights)
    tensors["embeddings.LayerNorm.bias"][:] = np.nan
    save_file(tensors, weights)
    with pytest.raises(PinMismatch, match="broken: expected finite features"):
        _run(_spec(tiny_spec(tmp_path / "broken")), tmp_path)


def test_the_table_has_every_candidate_and_escapes_names(bases: Path, tmp_path: Path, probed: list[str]) -> None:
    shown = {"pretrained_on": "<script>alert(1)</script> | `x`"}
    spec = _spec(_candidate(bases, 3, **shown), _candidate(bases, 4, licence="other"))
    table = bake_off_table(_run(spec, tmp_path))
    head, _, first, second = table.splitlines()
    assert head.count("|") == first.replace("\\|", "").count("|") == second.count("|")
    assert "<script>" not in table
    assert "| chosen |" in first
    assert "| out: licence 'other': expected one that is stated | - |" in second


def test_the_digest_is_of_the_choice_not_of_the_clock() -> None:
    one = BaseSelection(task="demo", pin=PIN, why="4.1 ms")
    assert one.digest == one.model_copy(update={"why": "4.2 ms"}).digest
    assert one.digest != one.model_copy(update={"chosen": 1}).digest
