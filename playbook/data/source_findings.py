"""What a prepared folder says of its source: ids, labels and times that were not as they should be, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from playbook.data.clean import ID_ON_TWO_TEXTS, REPEATED_ID, UNKNOWN_LABEL, UNPARSABLE_TIME
from playbook.data.identity import spoilt_ids
from playbook.data.tables import DETAIL, LABEL, REASON, ROW_ID, TIME
from playbook.data.text import counted, shown
from playbook.names import near_name

# Words for an absent group. They stay words: a customer may be called None.
NO_GROUP = {
    "null",
    "none",
    "nan",
    "na",
    "n/a",
    "nil",
    "unknown",
    "undefined",
    "anonymous",
    "-",
    "--",
    "?",
    ".",
    "0",
    "-1",
}
NAMED = 3  # values that a message names
AHEAD = timedelta(days=1)  # a clock, or a local time without its zone, may be ahead by so much


@dataclass(frozen=True)
class SourceFindings:
    """Each is '' where nothing was found."""

    repeated_ids: str = ""  # ids on several rows, and what became of them
    spoilt_ids: str = ""  # ids that lost digits, or were read as decimals
    unknown_labels: str = ""  # labels that are not classes, with counts
    unread_times: str = ""  # times that could not be read
    future_times: str = ""  # times that lie in the future
    absent_groups: str = ""  # groups whose name says that there is none

    @property
    def counts(self) -> dict[str, list[int]]:
        """1 for each that was found, as columns of one row."""
        return {name: [int(bool(said))] for name, said in vars(self).items()}


def source_findings(
    quarantine: pd.DataFrame,
    ids: Sequence[str],
    labels: Iterable[str],
    times: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> SourceFindings:
    """What the rows that were set aside, and the ids of those that were not, say of the source.

    Args:
        quarantine: rows with reason and detail.
        ids: of the prepared rows.
        labels: classes of the task.
        times: of the prepared rows, in ISO 8601; '' where there is none.
        groups: of the prepared rows.
    """
    ahead, none = _ahead(times), _named_none(groups)
    if not {REASON, DETAIL, ROW_ID, LABEL, TIME} <= set(quarantine.columns):
        return SourceFindings(spoilt_ids=spoilt_ids(ids), future_times=ahead, absent_groups=none)
    by_reason = {str(reason): rows for reason, rows in quarantine.groupby(REASON)}
    unknown = by_reason.get(UNKNOWN_LABEL, quarantine[:0])
    counts = {str(label): int(n) for label, n in unknown[LABEL].value_counts().items()}
    return SourceFindings(
        repeated_ids=_repeated(by_reason, quarantine[:0]),
        spoilt_ids=spoilt_ids([*ids, *quarantine[ROW_ID]]),
        unknown_labels=unknown_in_words(counts, labels),
        unread_times=_times(by_reason.get(UNPARSABLE_TIME, quarantine[:0])),
        future_times=ahead,
        absent_groups=none,
    )


def unknown_in_words(counts: Mapping[str, int], labels: Iterable[str]) -> str:
    """The commonest labels that are not classes, with their rows and the class that is meant where one is near."""
    known = tuple(labels)
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    named = []
    for label, n in ordered[:NAMED]:
        near = near_name(label, known)
        hint = f", did you mean {shown(near)!r}?" if near else ""
        named.append(f"{shown(label)!r} ({n} row{'' if n == 1 else 's'}{hint})")
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return ", ".join(named) + more


def _repeated(by_reason: Mapping[str, pd.DataFrame], none: pd.DataFrame) -> str:
    parts = []
    for reason, what in ((REPEATED_ID, "with the same text"), (ID_ON_TWO_TEXTS, "with another text")):
        ids = Counter(by_reason.get(reason, none)[ROW_ID])
        if ids:
            named = ", ".join(shown(name) for name, _ in ids.most_common(NAMED))
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            come = "comes" if len(ids) == 1 else "come"
            parts.append(f"{len(ids)} {come} again {what} ({named}{more})")
    rows = sum(len(by_reason.get(reason, none)) for reason in (REPEATED_ID, ID_ON_TWO_TEXTS))
    are = "is" if rows == 1 else "are"
    return f"{'; '.join(parts)}: the first row of each is kept, {rows} {are} set aside" if parts else ""


def _ahead(times: Sequence[str]) -> str:
    """Times of tomorrow and later: a slip of the pen makes such rows the newest of all."""
    latest = (datetime.now(UTC) + AHEAD).isoformat()  # texts of ISO 8601 sort
    found = [one for one in times if one > latest]
    if not found:
        return ""
    distinct = sorted(set(found), reverse=True)
    more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
    return f"{counted(len(found), 'row')} in the future: {', '.join(distinct[:NAMED])}{more}"


def _named_none(groups: Sequence[str]) -> str:
    """Groups of several rows that are called as if there were none: their rows may have nothing in common."""
    found = Counter(group for group in groups if group.casefold() in NO_GROUP)
    several = [f"{shown(group)} ({counted(n, 'row')})" for group, n in found.most_common(NAMED) if n > 1]
    return ", ".join(several)


def _times(unread: pd.DataFrame) -> str:
    if unread.empty:
        return ""
    distinct = list(dict.fromkeys(shown(value) for value in unread[TIME]))
    more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
    form = str(unread[DETAIL].iloc[0]).partition(" is not among ")[2]
    among = f", among {form}" if form else ""
    return ", ".join(map(repr, distinct[:NAMED])) + more + among
