"""Parquet: columns of every plain type as text, a value that cannot be read costs its row."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from typing import Any

from playbook.data.formats.cells import as_text, column_names, frame_of, is_nested
from playbook.data.formats.kind import most_bytes, too_large
from playbook.data.formats.records import BROKEN_CHARACTER, NESTED, Records, Rejected, require_most
from playbook.data.text import shown

POINTER = 8  # bytes that a cell takes at least
PIECE = 1024  # rows of a column that is read in pieces
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
    """The table, of which no more is unpacked than a file of its size may hold.

    A text that comes a million times takes a few bytes of a file, so texts are read as dictionaries, which leaves them
    as small as they are; other columns that may grow come in pieces.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.ParquetFile(io.BytesIO(data)).schema_arrow
    names = list(schema.names)
    column_names(names)  # before reading: a name that comes twice cannot be asked for
    texts = [name for name, kind in zip(names, schema.types, strict=True) if _is_plain_text(kind, pa)]
    others = [
        name for name, kind in zip(names, schema.types, strict=True) if pa.types.is_nested(kind) or _view(kind, pa)
    ]
    file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True, read_dictionary=texts)
    allowance = _Allowance(most_bytes(len(data)))
    allowance.take(file.metadata.num_rows * POINTER * len(names))
    plain = file.read(columns=[name for name in names if name not in others])
    for name in texts:
        allowance.take(_unfolded(plain.column(name), pa))
    columns = {name: plain.column(name) for name in names if name not in others}
    for name in others:
        pieces = []
        for piece in file.iter_batches(batch_size=PIECE, columns=[name]):
            allowance.take(piece.nbytes)
            pieces.append(piece.column(name))
        columns[name] = pa.chunked_array(pieces, type=schema.field(name).type)
    table = pa.table({name: columns[name] for name in names}) if names else plain
    table.validate()  # not in full: one bad text costs its row alone
    return table


class _Allowance:
    """Bytes that may still be unpacked."""

    def __init__(self, bound: int) -> None:
        self._bound, self._left = bound, bound

    def take(self, size: int) -> None:
        """Take a part of it.

        Raises:
            ValueError: nothing is left.
        """
        self._left -= size
        if self._left < 0:
            raise ValueError(
                f"{too_large('a Parquet file', self._bound)}. If these are your rows, export them as several files"
            )


def _is_plain_text(kind: Any, pa: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        getattr(pa.types, name)(kind) for name in ("is_string", "is_large_string", "is_binary", "is_large_binary")
    )


def _view(kind: Any, pa: Any) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _unfolded(column: Any, pa: Any) -> int:
    """Bytes of the texts of a column, each as often as it comes."""
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    size = 0
    for chunk in column.chunks:
        lengths = pc.cast(pc.binary_length(chunk.dictionary), pa.int64())
        size += int(pc.sum(lengths.take(chunk.indices)).as_py() or 0)
    return size


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
