"""What a file is, by its content: what the name says is a guess, and where the two disagree it is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import re
import zlib
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["CSV", "JSON Lines", "JSON", "Parquet"]

SUFFIXES: dict[str, Kind] = {
    ".csv": "CSV",
    ".tsv": "CSV",
    ".tab": "CSV",
    ".txt": "CSV",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".json": "JSON",
}
COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
_PACKED = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](?:1AY&SY|\x17\x72\x45)": "bzip2",
    rb"\xfd7zXZ\x00": "xz",
    rb"\x28\xb5\x2f\xfd": "zstd",
}
# A small file can unpack to more than the memory holds.
LARGEST_RATIO = 100
SURELY_FINE = 1 << 28  # bytes
_EXPORT = "export the rows as CSV, JSON Lines or Parquet"
_SAVE = "save the sheet as CSV UTF-8"
# What is taken for a table now and then, by its first bytes: name, remedy.
_OTHERS: dict[bytes, tuple[str, str]] = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an Excel workbook (.xls)", _SAVE),
    b"SQLite format 3\x00": ("an SQLite database", _EXPORT),
    b"%PDF": ("a PDF document", _EXPORT),
    b"{\\rtf": ("an RTF document", "save it as plain text"),
    b"ARROW1\x00\x00": ("an Arrow (Feather) file", _EXPORT),
    b"Obj\x01": ("an Avro file", _EXPORT),
    b"\x93NUMPY": ("a NumPy array", _EXPORT),
    b"\x89HDF": ("an HDF5 file", _EXPORT),
    b"\x89PNG": ("a picture", _EXPORT),
    b"\xff\xd8\xff": ("a picture", _EXPORT),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "unpack it and name the file inside"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it and name the file inside"),
    b"bplist00": ("a property list", _EXPORT),
    b"$FL2@(#)": ("an SPSS file", _EXPORT),
    b"<stata_dta>": ("a Stata file", _EXPORT),
    b"RDX3\n": ("a file of R data", _EXPORT),
    b"RDX2\n": ("a file of R data", _EXPORT),
    b"outs:\n- md5:": ("a pointer of DVC, not the file itself", "fetch it with `dvc pull`, and name the file"),
    b"/annex/objects/": ("a pointer of git-annex, not the file itself", "fetch it with `git annex get`"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "fetch it with `git lfs pull`"),
}
# These could begin the name of a column; what follows them is not text.
_TEXTUAL: dict[bytes, tuple[str, str]] = {
    b"PARE": ("an encrypted Parquet file", "write it without encryption"),
    b"FEA1": ("a Feather file", _EXPORT),
    b"ORC": ("an ORC file", _EXPORT),
}
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95c}\]()K]", re.DOTALL)
_TAR = slice(257, 262)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body|table)\b", re.IGNORECASE | re.DOTALL)
_JSON_START = re.compile(rb'\s*(?:\{\s*(?:"|\})|\[\s*(?:[\[{"\d\]]|null|true|false))')


def suffixes(location: str) -> tuple[str, str]:
    """The suffix that names a file's format, and the one that names its compression; empty where there is none."""
    path = urlsplit(location).path if "://" in location else location
    stem, last = posixpath.splitext(posixpath.basename(path.replace("\\", "/")))
    if last.lower() in COMPRESSIONS:
        return posixpath.splitext(stem)[1].lower(), last.lower()
    return last.lower(), ""


def unpacked(data: bytes, packed_name: str) -> tuple[bytes, list[str]]:
    """Content without its compression, and what is unexpected about it.

    Args:
        data: the file.
        packed_name: the compression that its name promises, or nothing.

    Raises:
        ValueError: it is cut off or damaged.
    """
    method = next((name for magic, name in _PACKED.items() if re.match(magic, data, re.DOTALL)), "")
    promised = COMPRESSIONS.get(packed_name, "")
    if not method:
        return data, [f"not compressed, although its name ends in {packed_name}"] if promised else []
    try:
        plain = _unpack(data, method)
    except EOFError:
        raise ValueError(f"the {method} file is cut off: its end is missing; fetch or export it again") from None
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"the {method} file is damaged ({error}); fetch or export it again") from None
    if any(re.match(magic, plain, re.DOTALL) for magic in _PACKED):
        raise ValueError("expected a file that is compressed once, found one that is compressed twice; unpack it once")
    return plain, [f"compressed with {method}, which its name does not say"] if method != promised else []


def most_bytes(size: int) -> int:
    """How much a file of some size may unpack to."""
    return max(SURELY_FINE, LARGEST_RATIO * size)


def too_large(what: str, bound: int) -> str:
    """What is said of a file that unpacks to more than it may."""
    return (
        f"expected {what} of rows, found one that unpacks to more than {LARGEST_RATIO} times its size "
        f"({bound >> 20:,} MiB): no texts do"
    )


PIECE = 2**16  # bytes that are unpacked at a time


def _unpack(data: bytes, method: str) -> bytes:
    bound = most_bytes(len(data))
    if method in _STREAMS:
        return _unpack_streams(data, method, bound)
    with _opened(io.BytesIO(data), method) as stream:
        plain = bytes(stream.read(bound + 1))
    if len(plain) > bound:
        raise _too_much(method, bound)
    return plain


def _too_much(method: str, bound: int) -> ValueError:
    return ValueError(
        f"{too_large(f'a {method} file', bound)}. If these are your rows, unpack the file and name the one inside"
    )


_STREAMS: dict[str, Any] = {"bzip2": bz2.BZ2Decompressor, "xz": lzma.LZMADecompressor}


def _unpack_streams(data: bytes, method: str, bound: int) -> bytes:
    """One stream after the other. Python's files of these kinds end at a damaged one, as if it were not there."""
    plain, size, at = list[bytes](), 0, 0
    while at < len(data):
        stream = _STREAMS[method]()
        while not stream.eof:
            if at >= len(data):
                raise EOFError
            piece = data[at : at + PIECE]
            at += len(piece)
            plain.append(stream.decompress(piece, bound + 1 - size))
            size += len(plain[-1])
            if size > bound:
                raise _too_much(method, bound)
        at -= len(stream.unused_data)
        while method == "xz" and data[at : at + 4] == b"\0\0\0\0":  # the padding of streams
            at += 4
    return b"".join(plain)


def _opened(stream: io.BytesIO, method: str) -> Any:
    if method == "gzip":
        return gzip.GzipFile(fileobj=stream)
    import pyarrow as pa

    return pa.CompressedInputStream(stream, "zstd")


def require_table(data: bytes) -> None:
    """Refuse what is known not to be a table.

    Raises:
        ValueError: what it is, and what to do.
    """
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        name, remedy = _archive(data)
    else:
        found = next((other for magic, other in _OTHERS.items() if data.startswith(magic)), None)
        found = found or next((other for magic, other in _TEXTUAL.items() if _begins(data, magic)), None)
        page = (
            ("a web page (a login or error page, or a table saved as one?)", f"fetch the data again, or {_EXPORT}")
            if _PAGE.match(data[:4096])
            else None
        )
        name, remedy = found or page or _by_its_middle(data) or ("", "")
    if name:
        raise ValueError(f"expected CSV, JSON Lines or Parquet, found {name}; {remedy}")


def _by_its_middle(data: bytes) -> tuple[str, str] | None:
    if data[_TAR] == b"ustar":
        return "a tar archive", "unpack it and name the file inside"
    if _PICKLE.match(data):
        return "a Python pickle", _EXPORT
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<?xml"):
        workbook = b"urn:schemas-microsoft-com:office:spreadsheet" in data or b"Excel.Sheet" in data
        return ("an Excel workbook (XML)", _SAVE) if workbook else ("an XML document", _EXPORT)
    return None


def _begins(data: bytes, magic: bytes) -> bool:
    """Whether a binary file begins with a word that a text could begin with as well."""
    after = data[len(magic) : len(magic) + 1].decode("latin-1")
    return data.startswith(magic) and (not after or not (after.isprintable() or after.isspace()))


def _archive(data: bytes) -> tuple[str, str]:
    for inside, name in ((b"xl/", "an Excel workbook"), (b"opendocument.spreadsheet", "an OpenDocument spreadsheet")):
        if inside in data:
            return name, _SAVE
    return ("a Word document", _EXPORT) if b"word/" in data else ("a ZIP archive", "unpack it and name the file inside")


def kind_of(data: bytes, suffix: str) -> tuple[Kind, list[str]]:
    """What content is, and what is unexpected about it.

    Args:
        data: unpacked content.
        suffix: of the file's name.

    Raises:
        ValueError: it is not a table, or not what its name says and unclear.
    """
    require_table(data)
    named = SUFFIXES.get(suffix)
    if _begins(data, b"PAR1"):
        return "Parquet", [f"Parquet, although its name ends in {suffix}"] if named not in (None, "Parquet") else []
    if named == "Parquet":
        raise ValueError(
            "not readable as Parquet: expected a file that begins with PAR1, found another kind; export it again, or "
            "name it for what it is"
        )
    start = data[:4096]
    for mark in _BOMS:
        start = start.removeprefix(mark)
    start = start.replace(b"\0", b"")  # UTF-16
    if _JSON_START.match(start):
        if re.match(rb"\s*\[\s*\{", start) or (named == "JSON" and start.lstrip().startswith(b"[")):
            return "JSON", [] if named in (None, "JSON") else [f"a JSON array, although its name ends in {suffix}"]
        if named == "CSV" and not _is_object(start):
            return "CSV", []
        unlike = named == "CSV"
        return "JSON Lines", [f"JSON Lines, although its name ends in {suffix}"] if unlike else []
    return (named if named in ("JSON Lines", "JSON") else "CSV"), []


def _is_object(start: bytes) -> bool:
    """Whether a file named CSV begins with a JSON object rather than with an odd column name."""
    return re.match(rb'\s*\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\}\s*$)', start) is not None
