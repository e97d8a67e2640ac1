"""Requests of `playbook serve` in the one plain form: absent is absent, every word is a word, numbers are exact."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import MutableMapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.serving_guard import Guard
from resources.serving_request import RefusedRequest, plain_request

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
WORDS = ["NA", "null", "None", "nan", "N/A"]
LONG = 2**63 + 1  # no float has it


def plain(body: Any, media: str = JSON) -> list[dict[str, Any]]:
    """Rows of a request as MLflow gets them."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    made = plain_request(data, media)
    assert made is not None
    table = json.loads(made)["dataframe_split"]
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def parquet(columns: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


SHAPES = [
    ({"dataframe_records": [{"text": word} for word in WORDS]}, JSON),
    ({"dataframe_split": {"columns": ["text"], "data": [[word] for word in WORDS]}}, JSON),
    ({"inputs": {"text": WORDS}}, JSON),
    ({"inputs": WORDS}, JSON),
    ({"inputs": [[word] for word in WORDS]}, JSON),
    ({"instances": [{"text": word} for word in WORDS]}, JSON),
    ({"instances": WORDS}, JSON),
    (("text\n" + "\n".join(WORDS)).encode(), CSV),
    (parquet({"text": WORDS}), PARQUET),
]


@pytest.mark.parametrize(("body", "media"), SHAPES)
def test_words_for_nothing_are_words_in_every_shape(body: Any, media: str) -> None:
    assert plain(body, media) == [{"text": word} for word in WORDS]


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b'{"dataframe_records": [{"text": "a"}, {"text": NaN}]}', JSON),
        ({"dataframe_records": [{"text": "a"}, {"text": None}]}, JSON),
        ({"dataframe_records": [{"text": "a"}, {"id": 1}]}, JSON),
        ({"dataframe_split": {"columns": ["text"], "data": [["a"], [None]]}}, JSON),
        (b'{"inputs": {"text": ["a", NaN]}}', JSON),
        ({"instances": ["a", None]}, JSON),
        ({"inputs": {"text": ["a", 7]}}, JSON),
        (b"text,id\na,1\n,2\n", CSV),
        (parquet({"text": ["a", None]}), PARQUET),
    ],
)
def test_an_absent_text_is_refused_with_its_row(body: Any, media: str) -> None:
    with pytest.raises(RefusedRequest, match=r"expected text in every row of column text, found none in rows 1$"):
        plain(body, media)


def test_one_value_for_each_column_is_one_row() -> None:
    assert plain({"inputs": {"text": "Where is my parcel?"}}) == [{"text": "Where is my parcel?"}]
    assert plain({"inputs": {"text": ["a"], "id": 7}}) == [{"text": "a", "id": "7"}]


def test_ids_stay_exact_beside_an_absent_one() -> None:
    rows = [{"text": "a", "id": LONG}, {"text": "b", "id": None}, {"text": "c"}, {"text": "d", "id": 12.0}]
    ids = [str(LONG), None, None, "12"]
    assert [row["id"] for row in plain({"dataframe_records": rows})] == ids
    table = {"columns": ["text", "id"], "data": [[row["text"], row.get("id")] for row in rows]}
    assert [row["id"] for row in plain({"dataframe_split": table})] == ids
    assert [row["id"] for row in plain(f"text,id\na,{LONG}\nb,\n".encode(), CSV)] == ids[:2]


def test_further_columns_are_text_null_or_what_they_are() -> None:
    row = {"text": "a", "n": 1.50, "yes": True, "none": None, "more": {"n": [1, 2.5, None]}, "id": True}
    assert plain({"dataframe_records": [row]}) == [
        {"text": "a", "n": "1.5", "yes": "true", "none": None, "more": {"n": [1, 2.5, None]}, "id": True}
    ]


@pytest.mark.parametrize(
    ("body", "media", "said"),
    [
        (b'text,id\n"a,1\nb,2\n', CSV, "line 2: a quotation mark opens a field here and is never closed"),
        (b"text,id\na,1\nb,c,2\nd,3\n", CSV, "line 3: 3 fields where the header has 2"),
        (b"text,text\na,b\n", CSV, "2 columns are called text"),
        (b"text\n\xff\n", CSV, "expected CSV in UTF-8, found other bytes at position 5"),
        (b"no parquet", PARQUET, "cut off"),
        ({"inputs": "abc"}, JSON, "expected rows with a column text"),
        ({"inputs": {"text": ["a", "b"], "id": ["1"]}}, JSON, "2 of text, 1 of id"),
        ({"dataframe_records": ["a"]}, JSON, "expected an object for every row, found something else in rows 0"),
        ({"dataframe_split": {"columns": ["text"], "data": [["a"], ["b", "c"]]}}, JSON, "others in rows 1"),
        (b'{"dataframe_records": [{"text": "a", "text": "b"}]}', JSON, "found text twice in rows 0"),
        (b'{"dataframe_records": [{"text": "\\ud83d"}]}', JSON, "half of a pair of surrogates in rows 0"),
    ],
)
def test_rows_that_are_none_are_refused(body: Any, media: str, said: str) -> None:
    with pytest.raises(RefusedRequest, match=said):
        plain(body, media)


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"nothing": []}', b'{"dataframe_records": []}', b"\xff"])
def test_other_shapes_are_left_to_mlflow(body: bytes) -> None:
    assert plain_request(body, JSON) is None


def test_params_go_along() -> None:
    made = plain_request(b'{"inputs": ["a"], "params": {"n": 1.5}}', JSON)
    assert made is not None and json.loads(made)["params"] == {"n": 1.5}


def posted(body: bytes, media: str) -> tuple[int, Any]:
    """What the guard answers in front of an application that hands back what it got."""
    sent: list[MutableMapping[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        got = await receive()
        headers = dict(scope["headers"])
        assert int(headers[b"content-length"]) == len(got["body"])
        answer = json.dumps({"media": headers[b"content-type"].decode(), "body": got["body"].decode()}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", media.encode()), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "path": "/invocations", "method": "POST", "headers": headers}
    asyncio.run(Guard(application, dict)(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_the_guard_hands_on_the_plain_form_and_refuses_with_400() -> None:
    status, got = posted(b"text\nNA\n", CSV)
    assert (status, got["media"]) == (200, JSON)
    assert json.loads(got["body"]) == {"dataframe_split": {"columns": ["text"], "data": [["NA"]]}}
    status, got = posted(b'text,id\n"",1\n', f"{CSV}; charset=utf-8")
    assert status == 400 and got["message"].endswith("found none in rows 0")
    assert posted(b"{}", JSON) == (200, {"media": JSON, "body": "{}"})


def test_ids_that_lost_digits_as_decimals_are_refused() -> None:
    body = b'{"dataframe_records": [{"text": "a", "id": "9"}, {"text": "b", "id": 1.2345678901234568e+18}]}'
    with pytest.raises(RefusedRequest, match="lost digits, in rows 1; send long ids as text"):
        plain_request(body, JSON)
    assert [row["id"] for row in plain({"inputs": {"text": ["a", "b"], "id": [7.0, LONG]}})] == ["7", str(LONG)]


@pytest.mark.parametrize("second", ["text", "text\u200b"])
def test_a_column_that_comes_twice_is_refused(second: str) -> None:
    with pytest.raises(RefusedRequest, match="every column once"):
        plain({"dataframe_split": {"columns": ["text", second], "data": [["a", "b"]]}})
