"""Code versions of the plays: what each part calls first; everything behind it follows (`assets.code_closure`)."""

from __future__ import annotations

from functools import cache

from assets.code_closure import Closure, closure

# Roots of each part: functions that make its result, and code that they reach only through an object passed in.
ROOTS = {
    "scope": ("assets.scope:problem_statement",),
    "accumulate": ("assets.accumulated:_accumulate",),
    "data": (
        "assets.data:_describe",
        "playbook.data.prepare:prepare",
        "resources.gate:DataGate",
    ),
    "references": ("assets.scope:_score", "playbook.adapt.features:FeatureExtractor"),
    "reference_answers": ("playbook.decide.references:fit_references", "assets.scope:reference_extractor"),
    "decision": ("assets.decision:_decide",),
    "base": ("assets.base:_bake_off",),
    "head": ("playbook.adapt.frozen:train_frozen",),
    "frozen": ("assets.adaptation:_train_frozen",),
    "early_end": ("assets.early_end:_asked",),
    "training": ("playbook.adapt.rung:run_rung", "playbook.adapt.worker"),
    "rung": ("assets.adaptation:_climb",),
    "refresh": ("assets.refresh:_refresh",),
    "candidate": ("assets.candidate:_choose",),
    "controls": ("assets.controls:_measure",),
    "audit": ("assets.label_audit:_audit",),
    "answers": (
        "playbook.adapt.classifier:load_bundle",
        "playbook.adapt.classifier:save_bundle",
        "playbook.evaluate.incumbent:answers_under",
        "playbook.evaluate.answers:write_answers",
    ),
    "evaluate": (
        "assets.evaluation:_evaluate",
        "assets.evaluation:_refuse",
        "assets.evaluation:_refuse_terms",
        "assets.test_answers:trained_model",
    ),
    "report": ("assets.report:_render",),
    "sign_off": ("playbook.evaluate.approval:settle", "playbook.evaluate.sign_off_state:make_case"),
    "package": ("assets.packaging:_package",),
    "handoff": ("assets.handoff:_hand_over",),
    "watch": ("assets.watch:take_window", "assets.window_figures:judge_window", "assets.retrain:evaluate_policy"),
}
# A picture that lies beside a result is of that result. It is drawn again with it, and makes no result old.
PICTURES = ("playbook.evaluate.plots", "playbook.evaluate.suite_plots", "playbook.data.learning_curve_plot")


@cache
def closure_of(part: str) -> Closure:
    """Everything that a part's result depends on."""
    return closure(ROOTS[part], () if part == "report" else PICTURES)


@cache
def version_of(*parts: str) -> str:
    """Code version of one part of the plays, or of several that a result stands on."""
    versions = [closure_of(part).version for part in parts]
    return "-".join(versions)
