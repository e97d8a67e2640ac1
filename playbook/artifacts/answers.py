"""Play 5: what models answer on the test split, kept apart from every figure and page that is made of it."""

from __future__ import annotations

from typing import ClassVar

from playbook.artifacts.artifact import Artifact


class OpenedRows(Artifact):
    """Rows of a test split that an opening has read. Files: `rows`, the split as it was opened (Parquet)."""

    kind: ClassVar[str] = "opened_rows"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"opening"}
    test_sha256: str = ""  # of the split's file in its dataset version
    rows: int = 0
    opening: int = 0  # which opening of this split read them, as the ledger counts


class TestAnswers(Artifact):
    """One model's answers on one test split.

    Files: `answers` (Parquet: row_id, and p_0, p_1, ... float32, one column per class in the order of `labels`).
    `hardware` was measured where the model answered.
    """

    __test__ = False  # not a test case, whatever pytest may think of the name
    kind: ClassVar[str] = "test_answers"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"opening"}
    model: str = ""  # SHA-256 of the trained tensors, or of everything that a reference is fitted on
    base: str = ""  # SHA-256 of the weights of the pretrained base; empty for a model without one
    test_sha256: str = ""
    rows: int = 0
    labels: tuple[str, ...] = ()  # classes of the task, in the order of the columns
    known: tuple[str, ...] = ()  # classes of the model itself
    arithmetic: str = ""  # bf16, float32
    opening: int = 0  # the opening of the split that the answers come from, as the ledger counts


class Report(Artifact):
    """The pages of an evaluation. Files: `report` (HTML), `card` (Markdown).

    An approval is bound to `evaluation`, the facts that the pages show, and not to their bytes: the same facts in other
    words, colours or prices are the same facts.
    """

    kind: ClassVar[str] = "report"
    evaluation: str = ""  # digest of the evaluation whose facts the pages show
