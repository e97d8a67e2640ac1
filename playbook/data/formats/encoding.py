"""Bytes as text: UTF-8, or what a byte order mark or the task file says. No encoding is guessed."""

from __future__ import annotations

import codecs

from playbook.data.formats.records import Form

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32 (by its byte order mark)"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32 (by its byte order mark)"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 (by its byte order mark)"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 (by its byte order mark)"),
)
BOM = "\ufeff"
END_OF_FILE = "\x1a"
PLAIN_LETTERS = 'id,text;"Az09+~"\n'
# Share of UTF-8 among what is not ASCII, above which a file counts as damaged UTF-8. By chance, texts in encodings of
# one byte have little of it (a list of Ukrainian names 0.1), Japanese in EUC-JP has 0.4.
MANY_UTF8, MANY_UTF8_OF_SEVERAL_BYTES = 0.2, 0.7
MANY_NULS = 0.2  # share of NUL bytes from which a file is no UTF-8 text


def decoded(data: bytes, form: Form) -> tuple[str, list[str]]:
    """Text of a file, and what is unexpected about its encoding. Halves of surrogate pairs are left in.

    Byte order marks at the beginning of lines go, which files have that were put together out of several, and the mark
    by which DOS ends a file.

    Raises:
        ValueError: the bytes are not what they should be; the line is named.
    """
    text, found = _decoded(data, form)
    text = text.removesuffix(END_OF_FILE)
    return (text.removeprefix(BOM).replace(f"\n{BOM}", "\n") if BOM in text else text), found


def _decoded(data: bytes, form: Form) -> tuple[str, list[str]]:
    mark = next((one for one in _MARKS if data.startswith(one[0])), None)
    if form.encoding and form.certain:
        if mark and _digits(codecs.lookup(form.encoding).name) != _digits(mark[1]):
            raise ValueError(
                f"expected {form.encoding} text, as data.source.encoding says, found the byte order mark of "
                f"UTF-{_digits(mark[1])}; take data.source.encoding out of the task file"
            )
        return _decode(data, form.encoding, form.encoding, "name the right one in data.source.encoding"), []
    if mark:
        return _decode(data, mark[1], mark[2] or "UTF-8", "export it again"), [mark[2]] if mark[2] else []
    if data[:4096].count(0) > MANY_NULS * len(data[:4096]):
        raise ValueError(
            "expected UTF-8 text, found many NUL bytes: UTF-16 without a byte order mark, or no text at all; save it "
            f"as UTF-8{form.or_set('encoding')}"
        )
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        if form.encoding and _may_be_of(data, form.encoding):
            said = f"{form.encoding} (it is not UTF-8; data.source.encoding)"
            return _decode(data, form.encoding, form.encoding, "save the file as UTF-8"), [said]
        advice = form.or_set("encoding")
        example = " (cp1252 is Windows in Western Europe)" if advice else ""
        return _decode(data, "utf-8", "UTF-8", f"save the file as UTF-8{advice}{example}"), []


def _may_be_of(data: bytes, encoding: str) -> bool:
    """Whether bytes that are not UTF-8 can be of an encoding that only another file is known to have.

    A file with much UTF-8 in it is UTF-8 with a few damaged bytes. An encoding that writes plain letters in another way
    than UTF-8 does would turn any bytes into some text.
    """
    try:
        if PLAIN_LETTERS.encode(encoding) != PLAIN_LETTERS.encode():
            return False
    except UnicodeError:
        return False
    one_byte = len(bytes(range(0x80, 0x100)).decode(encoding, "replace")) == 0x80
    beyond = [ord(char) for char in data.decode("utf-8", "surrogateescape") if char > "\x7f"]
    damaged = sum(0xDC80 <= code <= 0xDCFF for code in beyond)
    many = MANY_UTF8 if one_byte else MANY_UTF8_OF_SEVERAL_BYTES
    return len(beyond) - damaged <= many * len(beyond)


def _digits(encoding: str) -> str:
    """`16` of utf-16-le; empty for an encoding without a byte order mark."""
    return "".join(c for c in encoding.removeprefix("utf") if c.isdigit()) if encoding.startswith("utf") else ""


def _decode(data: bytes, encoding: str, name: str, remedy: str) -> str:
    try:
        # Half of a surrogate pair damages one text; bytes of another encoding make all of them doubtful.
        return data.decode(encoding, "surrogatepass" if encoding.lower().startswith("utf") else "strict")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise ValueError(
            f"line {line}: expected {name} text, found byte {byte:#04x} at position {error.start}; {remedy}"
        ) from None
