"""Damaged files: every record is read as it was, set aside with its line, or the file is refused with a reason.

What counts as lost, and what no reader can know, is said in `file_mutants`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from file_mutants import COLUMNS, Mutant, mutant, sound

from playbook.data.formats import Records, read_bytes
from playbook.data.read import require_columns
from playbook.errors import DataError
from playbook.spec import Columns

PLACE = "/somewhere/"
QUICK, PROOF = 300, 3000
_ID = re.compile(r"R\d{4}")


def read(name: str, data: bytes) -> Records | str:
    """The records, or the message of the refusal; anything else that is raised is a fault of the reader."""
    try:
        found = read_bytes(PLACE + name, data, used=COLUMNS)
        require_columns(found.rows, Columns(text="text", label="label", id="id"), None, PLACE + name)
        return found
    except DataError as error:
        return str(error)


def faults(made: Mutant) -> list[str]:
    """What the reader did not account for."""
    found = read(made.name, made.data)
    if isinstance(found, str):
        named = found.startswith(f"{PLACE}{made.name}: ") and ";" in found
        return [] if named else [f"the refusal names no file or no remedy: {found}"]
    return [*_lost(made, found), *_miscounted(made, found)]


def _lost(made: Mutant, found: Records) -> list[str]:
    """Records that the damage did not reach, and that are neither read as they were nor set aside."""
    rows = [tuple(row) for row in found.rows.reindex(columns=list(COLUMNS), fill_value="").itertuples(index=False)]
    held = set(rows)
    out = []
    for number, record in enumerate(made.records):
        if number in made.touched:
            continue
        if tuple(record[name] for name in COLUMNS) not in held and not _set_aside(made, record["id"], found):
            out.append(f"record {number} is lost: {record}")
    untouched = {one["id"]: one for number, one in enumerate(made.records) if number not in made.touched}
    for row in rows:
        named = {name for cell in row for name in _ID.findall(cell)}
        if len(named) > 1:
            out.append(f"a row has taken in {sorted(named)}: {row}")
        swallowed = named & set(untouched)
        if swallowed and row != tuple(untouched[min(swallowed)][name] for name in COLUMNS):
            out.append(f"a row has taken in {sorted(swallowed)}: {row}")
    return out


def _set_aside(made: Mutant, own: str, found: Records) -> bool:
    if made.name.endswith(".parquet"):
        number = next(number for number, one in enumerate(made.records, start=1) if one["id"] == own)
    else:
        place = made.data.find(own.encode())
        number = made.data.count(b"\n", 0, place) + 1 if place >= 0 else -1
    return any(one.first <= number <= one.last for one in found.rejected)


def _miscounted(made: Mutant, found: Records) -> list[str]:
    written, touched = len(made.records), len(made.touched)
    least, most = (written, written) if made.exact else (written - touched, written + 2 * touched + made.added)
    lines = [*found.lines, *(one.first for one in found.rejected)]
    out = [] if least <= found.count <= most else [f"{found.count} records accounted for, {written} were written"]
    return out + ([] if len(found.rows) == len(found.lines) and all(lines) else ["rows without a line"])


def report(seeds: range) -> list[str]:
    out = []
    for seed in seeds:
        made = mutant(seed)
        out += [f"seed {seed}, {made.said}, {made.name}: {fault}" for fault in faults(made)]
    return out


@pytest.mark.parametrize("seed", range(5))
def test_undamaged_files_are_read_as_they_were_written(seed: int) -> None:
    for name, data, records in sound(seed):
        found = read(name, data)
        assert not isinstance(found, str), found
        assert found.rows[list(COLUMNS)].to_dict("records") == list(records) and not found.rejected, name


def test_every_record_of_damaged_files_is_accounted_for() -> None:
    assert report(range(QUICK)) == []


@pytest.mark.proof
def test_every_record_of_three_thousand_damaged_files_is_accounted_for() -> None:
    assert report(range(QUICK, QUICK + PROOF)) == []


def test_the_oracle_notices_what_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Against a reader that loses records in silence, as pandas' defaults do, the same test fails."""
    import io

    import pandas as pd

    def careless(location: str, data: bytes, used: object = ()) -> Records:
        frame = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, on_bad_lines="skip", index_col=False)
        return Records(frame, list(range(1, len(frame) + 1)), (), "CSV")

    monkeypatch.setattr("test_reader_mutants.read_bytes", careless)
    text = "id,text,label\n" + "".join(f"R{n:04d},text {n},money\n" for n in range(30))
    records = [{"id": f"R{n:04d}", "text": f"text {n}", "label": "money"} for n in range(30)]
    merged = text.replace("text 3,", '"text 3,').replace("text 9,", 'text 9",')
    assert any("has taken in ['R0004'" in fault for fault in faults(Mutant("a.csv", merged.encode(), records, {3, 9})))
    longer = text.replace("text 5,", "a, b, text 5,")
    assert "29 records accounted for" in faults(Mutant("a.csv", longer.encode(), records, {5}, exact=True))[0]
