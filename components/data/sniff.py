"""Find how a file of the user's own is written: its kind, encoding, delimiter, and whether it has a header.

Behind `intentflow init`: what is found becomes options of the spec, which a person can read and edit. Reads the
file's bytes and no table; `guess` says what the columns mean.
"""

import codecs
import collections
import csv
import gzip
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from feature_repo.errors import DataError

SAMPLE_BYTES, BLOCK = 1 << 18, 1 << 20
SHOWN_LINES, SHOWN_WIDTH = 3, 120
WHITESPACE = "whitespace"
DELIMITERS = (",", ";", "\t", "|", "::", WHITESPACE)  # where two split a file alike, the first is taken
AGREE = 0.9  # share of lines with the same number of fields that makes a delimiter one
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DATA = re.compile(r"[-+]?\d[\d.,:/ TZ+-]*(AM|PM)?|\d{4}年.*", re.IGNORECASE)  # a number or a time: no column's name
OPENING = re.compile(r'(?:^|[,;\t|:])"')  # a quote where a field starts; elsewhere it is a sign, as of inches
NOTHING = (
    *("NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NAN", "NULL", "Null", "null", "None", "NONE", "none", "nil"),
    *("<NA>", r"\N", "-", "--", "?"),
)


@dataclass(frozen=True)
class Form:
    """How a file is written."""

    path: Path
    kind: str  # csv, jsonl or parquet
    encoding: str = "utf-8"
    delimiter: str = ","
    header: bool = True
    lines: tuple[str, ...] = ()  # the first ones, cut to a width, for messages

    def options(self) -> dict[str, Any]:
        """Return what the spec must say about the file; what reading finds by itself is left out.

        >>> Form(Path("a.txt"), "csv", delimiter="::", header=False).options()
        {'delimiter': '::', 'header': 'none'}
        """
        if self.kind != "csv":
            return {"encoding": self.encoding} if self.encoding != "utf-8" else {}
        said = {"delimiter": self.delimiter if self.delimiter != "," or self.path.suffix == ".dat" else None}
        said["header"] = None if self.header else "none"
        said["encoding"] = self.encoding if self.encoding != "utf-8" else None
        return {option: value for option, value in said.items() if value is not None}

    def said(self) -> str:
        """Say it for people."""
        if self.kind != "csv":
            return self.kind
        fields = {"\t": "tabs", WHITESPACE: "blanks"}.get(self.delimiter, f"'{self.delimiter}'")
        return f"fields split by {fields}, {'a header' if self.header else 'no header'}, {self.encoding}"


def sniff(path: Path) -> Form:
    """Look at a file; DataError where it is no table of rows."""
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == b"PAR1":
        return Form(path, "parquet")
    try:
        raw = _sample(path)
        encoding = _encoding(path, raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}") from error
    lines = _lines(path, raw, encoding)
    if not lines:
        raise DataError(f"{path}: holds no rows")
    shown = tuple(line[:SHOWN_WIDTH] + ("…" if len(line) > SHOWN_WIDTH else "") for line in lines[:SHOWN_LINES])
    if lines[0].lstrip()[0] in "{[":
        _require_objects(path, lines[0])
        return Form(path, "jsonl", encoding, lines=shown)
    try:
        delimiter, lines = _delimiter(path, records := _records(lines)), records
    except DataError:  # quotes that are none, such as inches
        delimiter = _delimiter(path, lines)
    header = _has_header([split(line, delimiter) for line in lines])
    return Form(path, "csv", encoding, delimiter, header, shown)


def split(line: str, delimiter: str) -> list[str]:
    """Split a line as a reader of files does: quoted fields may hold the delimiter.

    >>> split('1,"a, b",2', ","), split("1::2", "::"), split(" 1  2 ", "whitespace")
    (['1', 'a, b', '2'], ['1', '2'], ['1', '2'])
    """
    if delimiter == WHITESPACE:
        return line.split()
    if len(delimiter) > 1 or '"' not in line:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter))


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacked where it is gzip, whatever its name."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _sample(path: Path) -> bytes:
    with open_bytes(path) as stream:
        return stream.read(SAMPLE_BYTES)


def _lines(path: Path, raw: bytes, encoding: str) -> list[str]:
    """Decode the sample's lines that hold something; the last one may be cut off, so it is left out."""
    try:
        text = codecs.getincrementaldecoder(encoding)("strict").decode(raw, final=False).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: looks like {encoding}, which byte 0x{raw[error.start]:02x} at {error.start:,} is not; write the "
            "file as UTF-8, or mend that place"
        ) from None
    lines = text.splitlines()
    if len(raw) == SAMPLE_BYTES and len(lines) > 1:
        lines.pop()
    return [line for line in lines if line.strip()]


def _records(lines: Sequence[str]) -> list[str]:
    """Join lines that the line ends within a quoted text part, by blanks; what no quote closes stays as it is.

    >>> _records(['a;"b', 'c"', "d;e"]), _records(['5" pipe;1', "d;e"])
    (['a;"b c"', 'd;e'], ['5" pipe;1', 'd;e'])
    """
    records: list[str] = []
    opened: list[str] = []
    within = False
    for line in lines:
        opened.append(line)
        if within or OPENING.search(line):
            within ^= line.count('"') % 2 == 1
        if not within:
            records.append(" ".join(opened))
            opened = []
    return [*records, *opened]


def _encoding(path: Path, raw: bytes) -> str:
    """Find the encoding: a mark at the start, UTF-8 that decodes whole, or what the bytes look like."""
    for mark, encoding in BOMS:
        if raw.startswith(mark):
            return encoding
    if raw[:200].count(0) > len(raw[:200]) // 4:
        return "utf-16-be" if raw[0] == 0 else "utf-16-le"
    decoder, high = codecs.getincrementaldecoder("utf-8")("strict"), bytearray()
    with open_bytes(path) as stream:
        try:
            while block := stream.read(BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
            return "utf-8"
        except UnicodeDecodeError:
            high += block or raw
    return _by_bytes(bytes(high))


def _by_bytes(raw: bytes) -> str:
    """Tell encodings of one or two bytes apart by how the bytes above 127 follow each other.

    >>> _by_bytes("José;Ä".encode("latin-1")), _by_bytes("用户,商品".encode("gb18030"))
    ('cp1252', 'gb18030')
    >>> _by_bytes("Пользователь".encode("cp1251"))
    'cp1251'
    """
    runs = re.findall(rb"[\x80-\xff]+", raw)
    mean = sum(map(len, runs)) / max(1, len(runs))
    pairs = re.findall(rb"[\x81-\xfe][\x40-\xfe]", raw)
    if mean >= 2 and _decodes(raw, "gb18030"):
        common = sum(0xB0 <= pair[0] <= 0xD7 and pair[1] >= 0xA1 for pair in pairs)  # the level of frequent characters
        if common > 0.6 * len(pairs):
            return "gb18030"
    if mean >= 3:
        return "cp1251" if sum(byte >= 0xE0 for byte in raw) > sum(0xC0 <= byte < 0xE0 for byte in raw) else "koi8-r"
    return "cp1252" if _decodes(raw, "cp1252") else "latin-1"


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(raw, final=False)
    except UnicodeDecodeError:
        return False
    return True


def _require_objects(path: Path, line: str) -> None:
    """Refuse JSON that is not one object a line."""
    try:
        if isinstance(json.loads(line), dict):
            return
    except (ValueError, RecursionError):  # also a number of too many digits
        pass
    raise DataError(
        f"{path}: looks like JSON, but its first line is no object of its own ('{line[:40]}'); write one object "
        f"a line, as `jq -c '.[]' {path.name} > events.jsonl` does"
    )


def _delimiter(path: Path, lines: Sequence[str]) -> str:
    """Find what splits the lines into the same number of fields, the most first; blanks come last."""
    best, most, ragged = "", 1, ""
    for delimiter in DELIMITERS:
        if delimiter == WHITESPACE and best:
            break
        counts = collections.Counter(len(split(line, delimiter)) for line in lines)
        fields, agreeing = counts.most_common(1)[0]
        if fields <= most or agreeing < AGREE * len(lines):
            continue
        if (first := len(split(lines[0], delimiter))) == fields:
            best, most = delimiter, fields
        else:
            ragged = (
                ragged or f"line 1 has {first} fields and most lines have {fields}; drop what stands above the table"
            )
    if not best and not ragged and all(len(split(line, ",")) == 1 for line in lines):
        return ","  # one column
    if not best:
        tried = ", ".join({"\t": "tab", WHITESPACE: "blanks"}.get(d, f"'{d}'") for d in DELIMITERS)
        shown = " / ".join(line[:SHOWN_WIDTH] for line in lines[:SHOWN_LINES])
        raise DataError(
            f"{path}: {ragged or f'none of {tried} splits its lines into one number of fields'}; it starts: {shown}"
        )
    return best


def _has_header(rows: Sequence[list[str]]) -> bool:
    """Tell whether the first row names columns: it holds no number and no time, and its texts come once only."""
    first, rest = rows[0], rows[1:]
    if any(DATA.fullmatch(field.strip()) for field in first):
        return False
    filled = [field for field in first if field.strip()]
    if not filled or len(set(filled)) < len(filled):
        return False
    again = sum(field in {row[place] for row in rest if place < len(row)} for place, field in enumerate(first))
    return again == 0 or again < len(first) / 2
