"""Parquet: columns of every plain type as text, a value that cannot be read costs its row."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from typing import Any

from playbook.data.formats.cells import as_text, column_names, frame_of, is_nested
from playbook.data.formats.records import BROKEN_CHARACTER, NESTED, Records, Rejected, require_most
from playbook.data.text import shown

_FRACTION = re.compile(r"(\.\d+)")


def read_parquet(data: bytes, used: Collection[str] = ()) -> Records:
    """All rows of a Parquet file; see `read_json_lines` for `used`.

    Raises:
        ValueError: it is cut off or damaged, has a column name twice, or most rows are unfit.
    """
    import pyarrow as pa

    if not data.endswith(b"PAR1"):
        raise ValueError("not readable as Parquet: the file is cut off, its end is missing; fetch or export it again")
    faults: dict[int, tuple[str, str]] = {}
    try:
        table = _table(data)
        names = column_names(table.column_names)
        columns = [
            _column(name, column, name in used, not used or name in used, faults)
            for name, column in zip(names, table.columns, strict=True)
        ]
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"not readable as Parquet: {reason}; fetch or export it again") from None
    kept = [row for row in range(table.num_rows) if row not in faults]
    rejected = []
    for done, row in enumerate(sorted(faults)):
        reason, detail = faults[row]
        rejected.append(Rejected(row + 1, row + 1, reason, detail, unit="row", before=row - done))
    require_most(len(kept), rejected, "write the column as text and export the data again")
    if faults:
        columns = [[cells[row] for row in kept] for cells in columns]
    return Records(frame_of(names, columns, len(kept)), [row + 1 for row in kept], tuple(rejected), "Parquet")


def _table(data: bytes) -> Any:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
    column_names(file.schema_arrow.names)  # before reading: a name that comes twice cannot be asked for
    table = file.read()
    table.validate()  # not in full: one bad text costs its row alone
    return table


def _column(name: str, column: Any, flat: bool, whole: bool, faults: dict[int, tuple[str, str]]) -> list[str]:
    """Cells of a column as text. Values that cannot be are noted in `faults` by row, where the column is used.

    Args:
        name: of the column.
        column: its values, an Arrow array of any type.
        flat: whether a list or an object is a fault.
        whole: whether bytes that are not UTF-8 are a fault.
        faults: by row, what is wrong; added to.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if isinstance(kind, pa.BaseExtensionType):
        column, kind = _storage(column, pa)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_interval(kind):
        return [_shortened(cell) for cell in column.cast(pa.string()).to_pylist()]
    if _is_text(kind, pa):
        return _texts(name, column, whole, faults, pa)
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        column = column.cast(pa.string())  # 0.1 as it was written, not its neighbour among the doubles
        return [as_text(float(cell)) if _is_odd(cell) else (cell or "") for cell in column.to_pylist()]
    out = []
    for row, value in enumerate(column.to_pylist()):
        if flat and is_nested(value):
            found = "object" if isinstance(value, dict) else "list"
            faults.setdefault(row, (NESTED, f"expected a text, a number or null in {shown(name)}, found {found}"))
        out.append(as_text(value))
    return out


def _is_odd(cell: str | None) -> bool:
    """Whether the text of a 32-bit float is one of a whole number, or none of a number."""
    return cell is not None and (not cell[-1:].isdigit() or "e" in cell or cell.endswith(".0"))


def _storage(column: Any, pa: Any) -> tuple[Any, Any]:
    """An extension's values in their plain form; those of a UUID by the text that names it."""
    if str(column.type.extension_name) == "arrow.uuid":
        texts = pa.chunked_array([pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())])
        return texts, texts.type
    plain = column.cast(column.type.storage_type)
    return plain, plain.type


def _shortened(cell: str | None) -> str:
    """A date or time without a fraction that is nothing."""
    if not cell:
        return ""
    return _FRACTION.sub(lambda found: found[1].rstrip("0").rstrip("."), cell)


def _is_text(kind: Any, pa: Any) -> bool:
    names = ("is_string", "is_large_string", "is_string_view", "is_binary", "is_large_binary", "is_binary_view")
    return any(getattr(pa.types, name)(kind) for name in names) or pa.types.is_fixed_size_binary(kind)


def _texts(name: str, column: Any, whole: bool, faults: dict[int, tuple[str, str]], pa: Any) -> list[str]:
    """Texts and bytes; bytes are text in UTF-8."""
    out = []
    for row, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
        try:
            out.append("" if value is None else value.decode("utf-8"))
        except UnicodeDecodeError:
            if whole:
                detail = f"expected text in UTF-8 in {shown(name)}, found other bytes: {shown(repr(value[:30]))}"
                faults.setdefault(row, (BROKEN_CHARACTER, detail))
            out.append(value.decode("utf-8", "replace"))
    return out
