"""The data of a task (Play 3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from playbook.names import spelled_twice
from playbook.spec.bases import Base
from playbook.spec.section import EPOCHS, IN_NORMAL_FORM, Fraction, Name, Section
from playbook.spec.untouched import require_classes


class Columns(Section):
    """Which column of the source plays which part."""

    text: Name
    label: Name
    id: Name | None = Field(None, description="Unique row id; without one, the row's content names it.")
    group: Name | None = Field(None, description="Rows of one group (customer, speaker) stay in one split.")
    time: Name | None = Field(None, description="Date or time of the row.")
    time_format: str | None = Field(
        None,
        description="How `time` is written, where the column does not say it by itself: a strptime format such as "
        "'%d.%m.%Y %H:%M', or epoch_s, epoch_ms (seconds, milliseconds since 1970).",
    )
    keep: tuple[Annotated[str, Field(pattern=r"^[\w .-]+$"), IN_NORMAL_FORM], ...] = Field(
        (), description="Further columns carried along, for slices: letters, digits, blanks, dots and dashes."
    )

    @field_validator("time_format")
    @classmethod
    def _a_whole_date(cls, value: str | None) -> str | None:
        if value is None or value in EPOCHS:
            return value
        day = datetime(2034, 11, 23, 13, 45, 50, tzinfo=UTC)  # so that a format may have a zone
        try:
            whole = datetime.strptime(day.strftime(value), value).date() == day.date()
        except ValueError:
            whole = False
        if not whole:
            raise ValueError(
                f"{', '.join(EPOCHS)}, or a strptime format of a whole date, such as '%d.%m.%Y' or '%m/%d/%Y %I:%M %p'"
            )
        return value

    @model_validator(mode="after")
    def _format_of_a_column(self) -> Columns:
        if self.time_format is not None and self.time is None:
            raise ValueError("time_format says how the column `time` is written: name that one, too")
        return self

    @model_validator(mode="after")
    def _a_column_for_each_part(self) -> Columns:
        parts = {"text": self.text, "label": self.label, "id": self.id, "time": self.time}
        blank = [part for part, name in (parts | {"group": self.group}).items() if name == ""]
        if blank:
            raise ValueError(f"names of columns, not a blank one ({', '.join(blank)})")
        for name in parts.values():
            same = [part for part, other in parts.items() if name is not None and other == name]
            if len(same) > 1:
                raise ValueError(f"a column of its own for each of {' and '.join(same)}, not {name!r} for all of them")
        return self


class Source(Section):
    """Where rows come from: CSV, Parquet or JSON Lines, a file or a folder of parts, by local path (relative to the
    task file) or fsspec URL."""

    path: str | None = Field(None, description="One file with all rows, or a folder of part files.")
    train: str | None = Field(None, description="The team's own training file; validation is cut from it if not given.")
    validation: str | None = None
    test: str | None = None
    encoding: str | None = Field(
        None, description="Text encoding of CSV and JSON Lines, such as cp1252; found for UTF-8 and UTF-16 with a mark."
    )
    delimiter: str | None = Field(
        None, description="Between the fields of a CSV file, one character, or tab; found where it is not given."
    )
    quoting: Literal["doubled", "backslash", "none"] | None = Field(
        None,
        description='How a quotation mark inside of a quoted field of a CSV file is written: "" or \\"; none: fields '
        "are never quoted. Found where it is not given.",
    )
    quote: str | None = Field(None, min_length=1, max_length=1, description="The quotation mark of a CSV file.")
    provenance: str = Field("not stated", description="Where the data comes from, for the dataset's page.")
    licence: str = Field("not stated", description="Licence of the data.")
    known_limits: tuple[str, ...] = ()

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                "".encode(value)
        except (LookupError, ValueError):
            raise ValueError(f"a text encoding that Python knows (utf-8, utf-16, cp1252, ...), not {value!r}") from None
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = "\t" if value in ("tab", "\\t") else value
        if value is not None and (len(value) != 1 or value in '\r\n"'):
            raise ValueError(f"one character other than a quotation mark or a line break, or tab, not {value!r}")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Source:
        own_files = self.train is not None and self.test is not None
        own_any = any((self.train, self.validation, self.test))
        if (self.path is None and not own_files) or (self.path is not None and own_any):
            raise ValueError("either path (one file), or train and test (own files, validation optional)")
        return self

    @property
    def locations(self) -> dict[str, str]:
        """Every file of the source by role: `all`, or `train`, `validation`, `test`."""
        named = {"all": self.path, "train": self.train, "validation": self.validation, "test": self.test}
        return {role: place for role, place in named.items() if place is not None}


class Production(Section):
    """Rows like those of production (3.4): a file of their own, or the latest part of the test split."""

    path: str | None = Field(None, description="A file with the same columns as the source; labels may be empty.")
    latest: float | None = Field(
        None, gt=0, lt=1, description="This share of the test split, the newest by data.columns.time."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Production:
        if (self.path is None) == (self.latest is None):
            raise ValueError("either path (a file of its own) or latest (a share of the test split)")
        return self


class Labels(Section):
    """Whether the labels can be believed (3.1, 3.2)."""

    second_annotator: str | None = Field(
        None,
        description="CSV of a sample that a second person labelled: row id, label. `playbook annotate` writes it, so "
        "it need not be there yet.",
    )
    min_kappa: float = Field(
        0.6,
        ge=-1,
        le=1,
        description="Floor of Cohen's kappa with the second annotator, by the lower end of its 95 % interval.",
    )
    min_rows_twice: int = Field(50, ge=10, description="Rows that the second annotator should label, at least.")
    labelled_by: tuple[str, ...] = Field(
        (), description="Who gave the labels of the source; none of them can be the second annotator."
    )
    guideline: str | None = Field(
        None, description="Markdown that defines every class under a heading of its name, with edge cases."
    )
    corrections: str | None = Field(
        None, description="CSV of corrected labels that `playbook relabel` writes: row_id, label, by, when."
    )
    check_from: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="A label goes to the relabel queue where it is wrong with this estimated probability or more.",
    )
    folds: int = Field(5, ge=2, le=20, description="Folds of the predictions that likely label errors come from.")
    fold_draws: int = Field(
        3,
        ge=1,
        le=20,
        description="How often the folds are drawn; the predictions are averaged. Where this is not given, once from "
        "20 classes or 5,000 rows on.",
    )
    known_errors: str | None = Field(
        None,
        description="CSV of row ids whose label is known to be wrong, planted to measure the relabel queue. Read only "
        "to score a queue that is already written.",
    )

    @field_validator("second_annotator", "guideline", "corrections", "known_errors")
    @classmethod
    def _local(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError("a local file, relative to the task file; keep it in version control")
        return value


class LearningCurveRules(Section):
    """How the question "is more data worth it?" is asked (3.10)."""

    sizes: int = Field(6, ge=4, le=12, description="Sizes of training subsamples, the largest being all rows.")
    repeats: int = Field(
        8,
        ge=3,
        le=50,
        description="Nested series of subsamples, each drawn independently. Where this is not given, 4 from 20 classes "
        "or 5,000 rows on.",
    )
    worth: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="Gain from twice the rows, as a fraction of the metric, that is worth labelling.",
    )


class Paraphrases(Section):
    """Texts that say the same in other words are found by a sentence base when rows are prepared (3.3)."""

    base: Base = Field(description="The sentence base, pinned; it belongs to the data, not to the task's candidates.")
    similarity: float = Field(0.92, gt=0, le=1, description="Cosine similarity from which two texts are paraphrases.")


class Splits(Section):
    """How rows are divided when they are first seen. Their side is kept from then on, whatever changes here (3.3)."""

    column: Name | None = Field(None, description="The team's own split column (train, validation or val, test).")
    validation: float = Field(0.15, gt=0, lt=0.5)
    test: float = Field(0.15, gt=0, lt=0.5, description="Not used where the source brings its own test file.")
    seed: int = Field(7, ge=0, lt=2**31)
    by: Literal["class", "time"] | None = Field(
        None,
        description="How new rows are placed. class: every side gets its share of each class, as far as groups allow. "
        "time: the newest rows are test, those before them validation, by cuts that are fixed once. Not given: by "
        "class, with a warning where rows have a time.",
    )
    near_duplicate_similarity: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Jaccard similarity of character 4-grams from which two texts are near duplicates. Not given: 0.9, "
        "or what two typos leave of a text of this length.",
    )
    paraphrases: Paraphrases | None = Field(
        None, description="Treat paraphrases across splits as near duplicates; embedding all texts takes minutes."
    )
    across_splits: Literal["auto", "quarantine", "refuse"] = Field(
        "auto",
        description="A training row that is a (near) duplicate of a validation or test row: quarantine it, or refuse: "
        "leave it so that the gate turns red. auto: quarantine where playbook cuts the split, refuse where the team "
        "brings it.",
    )


class Gate(Section):
    """What the data must satisfy before anything is modelled (3.5, 3.6)."""

    min_rows: int = Field(200, ge=1)
    min_rows_per_class: int = Field(20, ge=1, description="In the training split.")
    warn_rows_per_class: int = Field(200, ge=1, description="Fewer training rows than this is a warning.")
    min_evaluation_rows_per_class: int = Field(5, ge=1, description="In validation and in test, each.")
    max_quarantined: Fraction = Field(0.1, description="Fraction of raw rows that may be quarantined.")
    split_tolerance: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Allowed distance from the asked split fractions. Not given: what number and size of groups allow.",
    )


class Accumulated(Section):
    """What production has added (3.7, 6.6). Retraining writes both files; they are kept beside the source."""

    rows: str = Field(description="CSV with the columns of the source: labelled rows from the prediction log.")
    classes: str | None = Field(
        None,
        description="YAML of classes found in outcomes, name: description; added to data.classes. With them the "
        "label set can grow; without this file a new class is only reported.",
    )

    @field_validator("rows", "classes")
    @classmethod
    def _local(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError("a local file, relative to the task file")
        return value


class Data(Section):
    """The data of the task (Play 3)."""

    source: Source
    columns: Columns
    classes: dict[Name, str] = Field(min_length=2, description="Every class with its description.")
    splits: Splits = Splits()
    gate: Gate = Gate()
    labels: Labels = Labels()
    learning_curve: LearningCurveRules = LearningCurveRules()
    production: Production | None = None
    accumulated: Accumulated | None = None

    @model_validator(mode="after")
    def _newest_needs_a_time(self) -> Data:
        if self.production is not None and self.production.latest is not None and self.columns.time is None:
            raise ValueError("production.latest takes the newest rows: name the column of their time in columns.time")
        return self

    @model_validator(mode="after")
    def _division_by_time_needs_a_time(self) -> Data:
        if self.splits.by == "time" and self.columns.time is None:
            raise ValueError("splits.by: time divides by the time of rows: name its column in columns.time")
        return self

    @model_validator(mode="after")
    def _added_rows_need_an_id(self) -> Data:
        if self.accumulated is not None and self.columns.id is None:
            raise ValueError("accumulated: rows of production are known by their id; name its column in columns.id")
        return self

    @field_validator("classes", mode="before")
    @classmethod
    def _spelled_once(cls, value: Any) -> Any:
        twice = spelled_twice(name for name in value if isinstance(name, str)) if isinstance(value, dict) else []
        if twice:
            named = "; ".join(f"{' and '.join(map(ascii, names))} are both {names[0]}" for names in twice)
            raise ValueError(f"every class once: {named}, spelled in two ways that look alike; keep one")
        return value

    @field_validator("classes")
    @classmethod
    def _named(cls, value: dict[str, str]) -> dict[str, str]:
        if "" in value:
            raise ValueError("class names that can be seen, not a blank one")
        require_classes(value)
        return value
