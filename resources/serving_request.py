"""A request's rows in one plain form, made by the project's own reader before MLflow sees them.

MLflow reads CSV by pandas' defaults, for which the words NA, null and None are missing values, and lets JSON numbers
beside a null become floats. Here absent is absent (an empty field, null, NaN, a key that is not there) and every word
is a word, as in the files that the project reads; what goes on is `dataframe_split` with text or null in each field.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from playbook.data.formats.cells import is_nested, is_whole
from playbook.data.formats.delimited import read_delimited
from playbook.data.formats.json_lines import Number, Repeated, decoder, plain_value, value_text
from playbook.data.formats.parquet import read_parquet
from playbook.data.formats.records import PLAIN, Records
from playbook.data.text import shown
from playbook.names import normal_form

TEXT, ID = "text", "id"
SPLIT, RECORDS, INPUTS, INSTANCES = "dataframe_split", "dataframe_records", "inputs", "instances"
PARAMS = "params"
EXACT = 2**53  # from which a float of 64 bits has not every whole number
NAMED = 10  # rows that a refusal names

Table = tuple[list[str], list[list[Any]]]  # names of columns, fields of each row


class RefusedRequest(ValueError):
    """A request that no answer can be given to; the message says what was expected and found."""


def plain_request(body: bytes, media: str) -> bytes | None:
    """The body as JSON that every value survives; None where it has none of the known shapes, which MLflow then says.

    Args:
        body: of a request to /invocations.
        media: its content type, without parameters.

    Raises:
        RefusedRequest: it has no rows, or one of them cannot be read.
    """
    if media == "application/json":
        return _from_json(body)
    try:
        if media == "text/csv":
            found = read_delimited(body.decode("utf-8-sig"), PLAIN)
        else:
            found = read_parquet(body, (TEXT, ID))
    except UnicodeDecodeError as error:
        raise RefusedRequest(f"expected CSV in UTF-8, found other bytes at position {error.start}") from None
    except ValueError as error:
        raise RefusedRequest(str(error)) from None
    return _written(*_of_records(found), None)


def _of_records(found: Records) -> Table:
    if found.rejected:
        raise RefusedRequest(f"expected rows that can be read, found {'; '.join(map(str, found.rejected[:3]))}")
    columns = [str(name) for name in found.rows.columns]
    return columns, [[value or None for value in row] for row in found.rows.itertuples(index=False)]


def _from_json(body: bytes) -> bytes | None:
    try:
        content = decoder().decode(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    shapes = {SPLIT: _of_split, RECORDS: _of_rows, INPUTS: _of_values, INSTANCES: _of_values}
    present = [name for name in shapes if isinstance(content, dict) and name in content]
    if len(present) != 1 or not set(content) <= {present[0], PARAMS}:
        return None
    if isinstance(content, Repeated):
        raise RefusedRequest(f"expected every key once, found {shown(content.key)} twice")
    table = shapes[present[0]](content[present[0]])
    if not table[1]:
        return None
    return _written(*table, plain_value(content.get(PARAMS)))


def _of_split(content: Any) -> Table:
    columns, data = (content.get("columns"), content.get("data")) if isinstance(content, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(data, list):
        raise _no_table()
    names = [name if isinstance(name, str) else value_text(name) for name in columns]
    wrong = [row for row, fields in enumerate(data) if not isinstance(fields, list) or len(fields) != len(names)]
    if wrong:
        raise RefusedRequest(f"expected {len(names)} fields in every row of data, found others in rows {_some(wrong)}")
    if len(set(map(normal_form, names))) < len(names):
        raise RefusedRequest(f"expected every column once, found {', '.join(map(shown, names[:NAMED]))}")
    return names, data


def _of_rows(content: Any) -> Table:
    if not isinstance(content, list):
        raise _no_table()
    wrong = [row for row, record in enumerate(content) if not isinstance(record, dict)]
    if wrong:
        raise RefusedRequest(f"expected an object for every row, found something else in rows {_some(wrong)}")
    repeated = [row for row, record in enumerate(content) if isinstance(record, Repeated)]
    if repeated:
        key = shown(content[repeated[0]].key)
        raise RefusedRequest(f"expected every key of a row once, found {key} twice in rows {_some(repeated)}")
    names = list(dict.fromkeys(name for record in content for name in record))
    return names, [[record.get(name) for name in names] for record in content]


def _of_values(content: Any) -> Table:
    """Columns of values, or of one value each; rows as objects; or texts alone."""
    if isinstance(content, dict) and content:
        return _of_columns(content)
    if not isinstance(content, list):
        raise _no_table()
    if content and all(isinstance(value, dict) for value in content):
        return _of_rows(content)
    return [TEXT], [value if isinstance(value, list) and len(value) == 1 else [value] for value in content]


def _of_columns(content: dict[str, Any]) -> Table:
    if isinstance(content, Repeated):
        raise RefusedRequest(f"expected every column once, found {shown(content.key)} twice")
    lists = {name: value if isinstance(value, list) else [value] for name, value in content.items()}
    lengths = {len(values) for values in lists.values()}
    if len(lengths) != 1:
        sizes = ", ".join(f"{len(values)} of {shown(name)}" for name, values in lists.items())
        raise RefusedRequest(f"expected as many values of every column, found {sizes}")
    return list(lists), [list(row) for row in zip(*lists.values(), strict=True)]


def _written(names: list[str], rows: Sequence[Sequence[Any]], params: Any) -> bytes:
    """The plain form of a table."""
    if TEXT in names:
        _require_texts([row[names.index(TEXT)] for row in rows])
    data = [[_field(name, value) for name, value in zip(names, row, strict=True)] for row in rows]
    lost = [
        row for row, fields in enumerate(rows) for name, value in zip(names, fields, strict=True) if _lost(name, value)
    ]
    if lost:
        raise RefusedRequest(
            f"expected ids as text or whole numbers, found decimals of 2^53 and more, which have lost digits, in rows "
            f"{_some(lost)}; send long ids as text"
        )
    content = {SPLIT: {"columns": names, "data": data}, **({PARAMS: params} if params is not None else {})}
    return json.dumps(content).encode()


def _require_texts(texts: Sequence[Any]) -> None:
    wrong = [row for row, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        raise RefusedRequest(f"expected text in every row of column text, found none in rows {_some(wrong)}")
    half = [row for row, text in enumerate(texts) if not is_whole(text)]
    if half:
        raise RefusedRequest(
            f"expected whole characters in every text, found half of a pair of surrogates in rows {_some(half)}"
        )


def _lost(name: str, value: Any) -> bool:
    """Whether an id was written as a decimal and is too large for one."""
    return name == ID and isinstance(value, Number) and abs(float(value.text)) >= EXACT


def _field(name: str, value: Any) -> Any:
    """One value as text or null; nested ones, and values that cannot be ids, stay what they are."""
    if is_nested(value) or (name == ID and isinstance(value, bool)):
        return plain_value(value)
    return None if value is None else value_text(value)


def _no_table() -> RefusedRequest:
    return RefusedRequest("expected rows with a column text, found something that is not a table")


def _some(rows: Sequence[int]) -> str:
    return f"{', '.join(map(str, rows[:NAMED]))}{' and more' if len(rows) > NAMED else ''}"
