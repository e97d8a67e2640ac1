"""Answers to the decision gate, and prices (Play 1)."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from playbook.spec.section import Section

Place = Literal["own_premises", "region", "elsewhere"]


class Override(Section):
    """Takes another path than the recommended one, on record. A path that a hard limit rules out cannot be taken."""

    path: Literal["no_model", "prompt_or_retrieve", "fine_tune", "from_scratch"]
    by: str = Field(min_length=1, description="Who decided it: owners.model or owners.sign_off.")
    because: str = Field(min_length=10, description="Why, in a sentence of at least three words.")


class DecisionAnswers(Section):
    """What the team answers before anything is committed (1.3, 1.4, 1.6); what is left open is reported so."""

    # The five questions of the gate (1.3).
    novelty: Literal["known", "variant", "new"] | None = Field(
        None,
        description="Task novelty. known: public models are trained for it; variant: like a known task, with classes "
        "or wording of the team's own; new: nothing like it exists.",
    )
    rows_obtainable: int | None = Field(
        None, ge=0, description="Data volume: further labelled rows that the team can get before the deadline."
    )
    device_hours: float | None = Field(None, ge=0, description="Compute budget for all iterations, in device-hours.")
    latency_ms: float | None = Field(
        None, gt=0, description="Latency need: what one answer may take in production, 95th percentile, milliseconds."
    )
    control: Literal["low", "medium", "high"] | None = Field(
        None,
        description="Control need. high: an answer must be reproducible and the model may change only when the team "
        "says so; low: a vendor may change it at any time.",
    )

    # The longer checklist (1.4).
    change: Literal["behaviour", "capability"] | None = Field(
        None,
        description="behaviour: a model that can do it shall answer in another way; capability: it shall learn what no "
        "model at hand can do.",
    )
    bottleneck: Literal["knowledge", "reasoning", "judgement"] | None = Field(
        None,
        description="What a model lacks. knowledge: facts that can be looked up; reasoning: several steps of thought; "
        "judgement: telling cases apart as the labelled examples do.",
    )
    pretrained_exists: bool | None = Field(
        None, description="Whether a pretrained model exists for the modality; measured where a base can be read."
    )
    labels: Literal["clean", "some_noise", "noisy"] | None = Field(
        None, description="Cleanliness of the labels; measured where a second annotator labelled a sample."
    )
    domain_shift: Literal["none", "mild", "strong"] | None = Field(
        None, description="How far the texts are from what public models were pretrained on; measured on the base."
    )
    texts_may_leave: bool | None = Field(
        None, description="Privacy: whether texts may be sent to a service outside the house."
    )
    deadline: date | None = Field(
        None, description="Day on which it must be in use; or give deadline_weeks or deadline_hours."
    )
    deadline_weeks: float | None = Field(None, gt=0, description="Weeks until it must be in use.")
    deadline_hours: float | None = Field(None, gt=0, description="Hours on the clock until it must be in use.")
    phased: bool | None = Field(
        None, description="Whether a simpler model may be delivered first and the adapted one later."
    )
    on_device: bool | None = Field(
        None, description="Whether answers are given on the user's device, without a network."
    )
    maintainers: int | None = Field(None, ge=0, description="Team: people who can train and maintain a model.")
    prompting_reaches: float | None = Field(
        None,
        description="Performance ceiling: what a prompted model reached on labelled rows that were kept apart, in the "
        "target's metric. Nobody measures it here.",
    )

    # Hard limits (1.6). They are not scores: an answer against a path rules it out.
    data_licence_allows_training: bool | None = Field(
        None, description="Whether the licence of the data lets the team train on it."
    )
    base_licences_allow_use: bool | None = Field(
        None, description="Whether the licences of the bases allow this use; bake_off.licences is checked besides."
    )
    residency: Literal["own_premises", "region", "anywhere"] | None = Field(
        None, description="Where texts and their copies must stay. anywhere: there is no such rule."
    )
    training_place: Place | None = Field(None, description="Where the device time for training is.")
    prompting_place: Place | Literal["none"] | None = Field(
        None, description="Where a model that is prompted would run; none: the team has no such model."
    )
    weights_must_be_owned: bool | None = Field(None, description="Whether the team must own the weights that answer.")
    derived_weights_owned: bool | None = Field(
        None, description="Whether the licences of the bases leave the team the ownership of weights derived from them."
    )

    override: Override | None = Field(None, description="Takes another path than the recommended one.")

    @model_validator(mode="after")
    def _one_deadline(self) -> DecisionAnswers:
        given = [name for name in ("deadline", "deadline_weeks", "deadline_hours") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of deadline (a day), deadline_weeks, deadline_hours; found {given}")
        return self


class Prices(Section):
    """What device time, storage and people cost (1.5). What has no price here is not priced, and said to be so.

    A price of 0 is a price: it says that it costs nothing.
    """

    currency: str = Field("EUR", min_length=1, max_length=8)
    device_hour: float | None = Field(None, ge=0, description="One hour of the training device.")
    person_hour: float | None = Field(None, ge=0, description="One hour of work.")
    label: float | None = Field(None, ge=0, description="Collecting and labelling one row.")
    storage_gb_month: float | None = Field(None, ge=0, description="One GB (10**9 bytes) for a month.")
    prompts_per_1000: float | None = Field(None, ge=0, description="1,000 requests to a model that is prompted.")
    serving_hour: float | None = Field(None, ge=0, description="One hour of the machine that answers.")
    iteration_person_hours: float = Field(
        16.0, ge=0, description="Work of people per iteration; the default of 16 hours, two days, is an assumption."
    )
    storage_months: float = Field(12.0, ge=0, description="How long checkpoints are kept; a year by default.")
