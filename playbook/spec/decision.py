"""Answers to the decision gate, and prices (Play 1)."""

from __future__ import annotations

from pydantic import Field

from playbook.spec.section import Section


class DecisionAnswers(Section):
    """What the team answers before anything is committed (1.3, 1.4, 1.6); what is left open is reported so."""


class Prices(Section):
    """What device time, storage and people cost (1.5)."""

    currency: str = Field("EUR", min_length=1, max_length=8)
