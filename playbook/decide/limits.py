"""Hard limits of the decision gate (1.6): licences, residency and ownership rule a path out, whatever its score.

A limit that needs an answer which is not there rules nothing out; the question is reported as open.
"""

from __future__ import annotations

from collections.abc import Iterable

from playbook.artifacts import EvidenceRow, Path
from playbook.bases.licences import licence_fault
from playbook.decide.factors import PLACE, RIGHTS
from playbook.spec import TaskSpec

TRAINED: tuple[Path, ...] = ("fine_tune", "from_scratch")
PROMPTED: tuple[Path, ...] = ("prompt_or_retrieve",)
MADE_HERE: tuple[Path, ...] = ("no_model", *TRAINED)
REACH = ("own_premises", "region", "elsewhere")  # each place includes those before it
ALLOWED = {"own_premises": "own_premises", "region": "region", "anywhere": "elsewhere"}  # residency -> furthest place


def hard_limits(spec: TaskSpec) -> tuple[EvidenceRow, ...]:
    """One row per limit: data licence, base licences, residency, privacy, ownership, a model to prompt, the device."""
    return (
        _data_licence(spec),
        _base_licences(spec),
        _residency(spec),
        _privacy(spec),
        _ownership(spec),
        _prompting(spec),
        _on_device(spec),
    )


def _data_licence(spec: TaskSpec) -> EvidenceRow:
    allowed = spec.decision.data_licence_allows_training
    question = f"Does the licence of the data ({spec.data.source.licence}) allow training?"
    if allowed is None:
        return unanswered(RIGHTS, question)
    why = "" if allowed else "nothing may be trained on these rows"
    return answered(RIGHTS, question, _yes(allowed), why, rules_out=() if allowed else TRAINED)


def _base_licences(spec: TaskSpec) -> EvidenceRow:
    """The team's answer, and `bake_off.licences` compared with what each base states."""
    question = "Do the licences of the bases allow this use?"
    rules = spec.bake_off
    faults = [licence_fault(base, rules.licences, rules.forbidden_licences) for base in spec.bases]
    if all(faults):
        found = ", ".join(sorted({base.licence for base in spec.bases}))
        why = f"no base has a licence that may be used: {'; '.join(dict.fromkeys(faults))}"
        return answered(RIGHTS, question, f"no: {found}", why, rules_out=("fine_tune",))
    if spec.decision.base_licences_allow_use is None:
        return unanswered(RIGHTS, question)
    fine = spec.decision.base_licences_allow_use
    return answered(
        RIGHTS, question, _yes(fine), "" if fine else "no base may be adapted", rules_out=() if fine else ("fine_tune",)
    )


def _residency(spec: TaskSpec) -> EvidenceRow:
    said = spec.decision
    question = "Where must texts stay, and where would they be trained on or prompted with?"
    if said.residency is None:
        return unanswered(PLACE, question)
    furthest = REACH.index(ALLOWED[said.residency])
    out: list[Path] = []
    if said.training_place is not None and REACH.index(said.training_place) > furthest:
        out += TRAINED
    if said.prompting_place in REACH and REACH.index(said.prompting_place) > furthest:
        out += asked_elsewhere(spec)
    if not out and said.training_place is None and said.residency != "anywhere":
        return unanswered(PLACE, question, f"texts must stay {_words(said.residency)}; training_place is not given")
    places = f"{_words(said.training_place)} for training, {_words(said.prompting_place)} for prompting"
    why = f"texts must stay {_words(said.residency)}" if out else ""
    return answered(PLACE, question, f"{_words(said.residency)}; {places}", why, rules_out=tuple(out))


def _privacy(spec: TaskSpec) -> EvidenceRow:
    said = spec.decision
    question = "May texts be sent to a service outside the house?"
    if said.texts_may_leave is None:
        return unanswered(PLACE, question)
    outside = not said.texts_may_leave and said.prompting_place in ("region", "elsewhere")
    out = asked_elsewhere(spec) if outside else ()
    why = "the model to prompt runs outside the house" if outside else ""
    why += ", but facts can be searched for without it" if outside and not out else ""
    return answered(PLACE, question, _yes(said.texts_may_leave), why, rules_out=out)


def _ownership(spec: TaskSpec) -> EvidenceRow:
    said = spec.decision
    question = "Must the team own the weights that answer?"
    if said.weights_must_be_owned is None or (said.weights_must_be_owned and said.derived_weights_owned is None):
        return unanswered(RIGHTS, question, "also derived_weights_owned" if said.weights_must_be_owned else "")
    if not said.weights_must_be_owned:
        return answered(RIGHTS, question, "no")
    out: list[Path] = []
    if not said.derived_weights_owned:
        out.append("fine_tune")
    if said.prompting_place in ("region", "elsewhere"):
        out += asked_elsewhere(spec)
    why = "the weights would belong to somebody else" if out else ""
    kept = "stay" if said.derived_weights_owned else "do not stay"
    return answered(
        RIGHTS, question, f"yes; weights derived from the bases {kept} the team's", why, rules_out=tuple(out)
    )


def _prompting(spec: TaskSpec) -> EvidenceRow:
    question = "Does the team have a model that it can prompt?"
    place = spec.decision.prompting_place
    if place is None:
        return unanswered(PLACE, question)
    if place == "none" and spec.decision.bottleneck == "knowledge":
        return answered(PLACE, question, "no", "there is no model to prompt, but facts can be searched for without one")
    if place == "none":
        return answered(PLACE, question, "no", "there is no model to prompt", rules_out=PROMPTED)
    return answered(PLACE, question, f"yes, {_words(place)}")


def _on_device(spec: TaskSpec) -> EvidenceRow:
    said = spec.decision
    question = "Are answers given on the user's device, without a network?"
    if said.on_device is None:
        return unanswered(PLACE, question)
    if not said.on_device:
        return answered(PLACE, question, "no")
    if said.prompting_place in REACH and asked_elsewhere(spec):
        why = "a small model of the team's own fits; a model on other machines cannot be reached without a network"
        return answered(PLACE, question, "yes", why, MADE_HERE, 1, PROMPTED)
    return answered(PLACE, question, "yes", "a small model of the team's own fits on a device", MADE_HERE, 1)


def asked_elsewhere(spec: TaskSpec) -> tuple[Path, ...]:
    """The path that is out where its model may not be asked; none where knowledge lacks: facts are searched for here.

    What is looked up needs no model that is prompted, so no limit on where that model runs stands against it.
    """
    return () if spec.decision.bottleneck == "knowledge" else PROMPTED


def answered(
    factor: str,
    question: str,
    answer: str,
    why: str = "",
    favours: Iterable[Path] = (),
    weight: float = 0.0,
    rules_out: Iterable[Path] = (),
) -> EvidenceRow:
    """A row that the task file answers."""
    return EvidenceRow(
        factor=factor,
        question=question,
        answer=answer,
        source="task file",
        favours=tuple(favours),
        rules_out=tuple(rules_out),
        weight=weight,
        why=why or "it favours no path",
    )


def unanswered(factor: str, question: str, detail: str = "") -> EvidenceRow:
    """An open question."""
    why = "left open in the task file, so it decides nothing" + (f" ({detail})" if detail else "")
    return EvidenceRow(factor=factor, question=question, answer="not answered", source="not answered", why=why)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _words(place: str | None) -> str:
    known = {"own_premises": "on own premises", "region": "in the region", "none": "nowhere", None: "not said"}
    return known.get(place, str(place))
