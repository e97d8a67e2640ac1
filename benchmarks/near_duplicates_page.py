"""docs/near_duplicates.md, written from what `benchmarks.near_duplicates` found."""

from __future__ import annotations

from typing import Any

from playbook.evaluate.wording import percent
from playbook.spec import Paraphrases


def page(found: dict[str, Any]) -> str:
    """The page as Markdown."""
    return f"""# Near duplicates: what is found, and what it costs

Written by `python -m benchmarks.near_duplicates --write docs/near_duplicates.md`; do not edit.

A training row that nearly copies a test row makes a score too good. Such rows are set aside (or turn the gate red, if
the team brought the split: `data.splits.across_splits`). Rows of different classes never count as near copies: the
small difference between their texts may be exactly what the labels depend on, and learning the label of one does not
help with the other. (Exact copies with different labels are all set aside, since nobody knows which label is right.)

Before two texts are compared, whatever makes no difference is folded: case, punctuation and blanks, HTML entities and
layout tags, Unicode compatibility forms, letters that look alike, and what templates fill in: web and mail addresses,
mentions, phone numbers, and the numbers of orders, accounts and customers. Amounts of money, decimals, years, short
numbers and the numbers of errors, versions or standards stay. So does everything in a text that contains nothing else:
two product codes are two texts, and so are two web addresses.

Texts are then compared by the Jaccard similarity of their character 4-grams. By default two texts are near duplicates

- from 0.9 on; or
- from what two typos leave of a text of this length (0.5 at least), if no more than two edits separate the texts (one
  in texts of up to 24 characters), none of them of a digit, a Chinese character or an emoji, unless they make one
  common word of the data out of another ("now" and "not", "mein" and "dein"), or its opposite ("able" and "unable").

`data.splits.near_duplicate_similarity` names a threshold for all lengths instead. The rule was chosen on Banking77; the
other two sets played no part in it.

## Recall by kind of change

Share of 400 changed texts that are found. In brackets: one threshold of 0.9 on texts that are not folded.

{_recall(found)}

A greeting, swapped words or a moved clause change much of a short text, and are mostly missed there; in longer texts
they are found more often. To find more of them, set a lower threshold, at the price in innocent rows shown below.

## One typo by length of the text

{_by_length(found)}

## Innocent rows

Each set as it is, without exact copies, 15 % of it drawn as test: share of the other rows that are near duplicates of a
test row. Many of them are what they are called (Banking77 says some things twice), so this is the most that innocent
rows can be. "Another class": rows that resemble test rows of another class alone. They are innocent, or labelled
wrongly, and stay where they are.

{_innocent(found)}

## Paraphrases

Paraphrases share few letters. `data.splits.paraphrases` names a sentence base, pinned like any base, that embeds all
texts when they are prepared; `similarity` is the cosine from which two texts of one class count as paraphrases. The
setting belongs to the data: preparation does not know the task's bases, and trying another base must not change the
dataset.

Here two or three words of a text are replaced by others that mean the same (`data/tickets/phrasings/synonyms.yaml`,
which knows no words of the third set), and the base is that of the sample task. First the share of paraphrases found,
then that of rows set aside on the set as it is.

{_paraphrases(found)}

What a threshold costs depends on how alike the texts of a set are, so look at the quarantined rows before you settle
on one. The default is {Paraphrases.model_fields["similarity"].default:g}.
"""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _recall(found: dict[str, Any]) -> str:
    kinds = list(next(iter(found.values()))["recall"])
    head = ["change", *(f"{name} (median {one['length']:.0f} characters)" for name, one in found.items())]
    rows = [
        [
            kind,
            *(f"**{percent(one['recall'][kind][0])}** ({percent(one['recall'][kind][1])})" for one in found.values()),
        ]
        for kind in kinds
    ]
    return _table(head, rows)


def _by_length(found: dict[str, Any]) -> str:
    bands = list(dict.fromkeys(band for one in found.values() for band in one["by_length"]))
    rows = []
    for band in bands:
        cells = [one["by_length"].get(band) for one in found.values()]
        rows.append([band, *(f"**{percent(c[0])}** ({percent(c[1])}), {c[2]} texts" if c else "none" for c in cells)])
    return _table(["characters", *found], rows)


def _innocent(found: dict[str, Any]) -> str:
    rows = []
    for name, one in found.items():
        seen = one["innocent"]
        other = percent(seen["another class"]) if "another class" in seen else "no classes"
        shares = [percent(seen[key]) for key in ("0.9", "0.8", "0.7")]
        rows.append([name, f"{seen['rows']:.0f}", f"**{percent(seen['default'])}**", other, *shares])
    return _table(["set", "texts", "default", "default, another class", "0.9", "0.8", "0.7"], rows)


def _paraphrases(found: dict[str, Any]) -> str:
    cosines = list(next(iter(found.values()))["paraphrases"]["cosines"])
    rows = []
    for name, one in found.items():
        seen = one["paraphrases"]
        if not seen["pairs"]:
            continue
        pairs = [f"{percent(seen['cosines'][c][0])}, {percent(seen['cosines'][c][1])}" for c in cosines]
        rows.append([f"{name}, {seen['pairs']} paraphrases", percent(seen["letters"]), *pairs])
    return _table(["set", "by letters alone", *(f"from {cosine} on" for cosine in cosines)], rows)
