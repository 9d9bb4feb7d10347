"""Text files as they lie: their encoding, what separates their fields, and how many records they hold.

The parser of a CSV is DuckDB, told the dialect that was found here. `count_records` counts the rows without it, so that
a row which a parser loses is seen; `records` reads a file slowly and exactly, and says in which line a record is that
does not fit. Knows no column of ours.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from components.data.table_spec import WHITESPACE
from feature_repo.errors import DataError, shortened

CHUNK_BYTES = 4 << 20
SAMPLE_BYTES = 256 << 10
CANDIDATES = (",", ";", "\t", "|")
UNIT = "\x1f"  # stands for a separator of several characters while a line is read
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
csv.field_size_limit(16 << 20)


@dataclass(frozen=True)
class Dialect:
    """How the records of a CSV are written."""

    delimiter: str
    quote: str = '"'
    backslash: bool = False  # a quote within quotes is written \" and not ""
    spaced: bool = False  # blanks stand between a separator and a quote

    @property
    def plain(self) -> bool:
        """Whether a fast parser reads it for certain."""
        return len(self.delimiter) == 1 and not (self.backslash or self.spaced)


def as_utf8(path: Path, encoding: str, work: Path, *, place: str) -> Path:
    """Return the file, or a copy in UTF-8 where it has another encoding; DataError where its bytes are no such text."""
    utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    if utf8 and path.suffix != ".gz":
        with path.open("rb") as stream:
            for _ in _decoded(stream, path, encoding, place=place):
                pass
        return path
    copy = work / f"{path.name.removesuffix('.gz')}.{abs(hash(str(path)))}.utf8"
    with _opened(path) as stream, copy.open("w", encoding="utf-8", newline="") as out:
        try:
            for text in _decoded(stream, path, encoding, place=place):
                out.write(text)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{place}: {path.name} cannot be unpacked: {error}") from None
    if not utf8:
        _require_no_utf8(path, encoding, place=place)
    return copy


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _decoded(stream: BinaryIO, path: Path, encoding: str, *, place: str) -> Iterator[str]:
    """Decode a file in chunks, without a mark at its start."""
    utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    decoder = codecs.getincrementaldecoder("utf-8-sig" if utf8 else encoding)()
    fed, lines, first = 0, 1, True
    while True:
        chunk = stream.read(CHUNK_BYTES)
        if first and utf8 and (marked := MARKS.get(chunk[:2])):
            raise DataError(f"{place}: {path.name} is no UTF-8 but {marked}; say `encoding: {marked}`")
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            at, read = fed, ""
            if isinstance(error, UnicodeDecodeError):
                held = bytes(error.object)
                at, read = fed - (len(held) - len(chunk)) + error.start, held[: error.start].decode(encoding, "ignore")
            byte = f"0x{error.object[error.start]:02x}" if isinstance(error, UnicodeDecodeError) else "one"
            raise DataError(
                f"{place}: {path.name}: line {lines + read.count(chr(10))} is no {encoding} (byte {byte} at {at:,}); "
                f"say its encoding, as `encoding: {'cp1252' if utf8 else 'utf-8'}`"
            ) from None
        if "\0" in text:
            line = lines + text[: text.index("\0")].count("\n")
            raise DataError(f"{place}: {path.name}: line {line} holds a zero byte; is it `encoding: utf-16-le`?")
        text = text.removeprefix("\ufeff") if first else text
        fed, lines, first = fed + len(chunk), lines + text.count("\n"), False
        yield text
        if not chunk:
            return


def _require_no_utf8(path: Path, encoding: str, *, place: str) -> None:
    """Refuse an encoding of one byte a character for a file that is UTF-8: every accent would become two letters."""
    if len(bytes(range(160, 256)).decode(encoding, "ignore")) < 64:
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    beyond = 0
    with _opened(path) as stream:
        try:
            while chunk := stream.read(CHUNK_BYTES):
                decoder.decode(chunk)
                beyond += not chunk.isascii()
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return
    if beyond:
        raise DataError(f"{place}: {path.name} is UTF-8 and no {encoding}; leave `encoding:` out")


def find_dialect(path: Path, delimiter: str | None, wanted: set[str], *, place: str, label: str) -> Dialect:
    """Find what separates a file's fields: what makes all its records alike, and gives the columns that are wanted."""
    with path.open("rb") as stream:
        start = stream.read(SAMPLE_BYTES)
        whole = not stream.read(1)
    text = start.decode("utf-8-sig", "ignore")
    sample = text if whole else text[: max(text.rfind("\n"), text.rfind("\r")) + 1] or text
    quote = "'" if sample[:1] == "'" else '"'
    spaced = rf"[{{}}] +{quote}"
    options = [delimiter] if delimiter else list(CANDIDATES)
    best: list[tuple[tuple[bool, bool, int], Dialect]] = []
    for option in options:
        for backslash in (False, True) if f"\\{quote}" in sample else (False,):
            blanks = len(option) == 1 and bool(re.search(spaced.format(re.escape(option)), sample))
            dialect = Dialect(option, quote, backslash, blanks)
            widths, names = _widths(sample, dialect)
            widths = widths if whole or len(widths) < 2 else widths[:-1]  # the last one may be cut
            alike = len(set(widths)) == 1
            best.append(((alike and widths[0] > 1, len(wanted & names) == len(wanted), widths[0]), dialect))
    best.sort(key=lambda one: one[0], reverse=True)
    if len(best) > 1 and best[0][0] == best[1][0] and best[0][0][0] and best[0][1].delimiter != best[1][1].delimiter:
        one, other = (repr(found.delimiter) for _, found in best[:2])
        raise DataError(f"{place}: {label} can be separated by {one} or by {other}; say which as `delimiter:`")
    return best[0][1]


def _widths(sample: str, dialect: Dialect) -> tuple[list[int], set[str]]:
    """Count the fields of each record of a sample; return its first record's names with them."""
    found: list[int] = []
    names: set[str] = set()
    try:
        for fields in _split(io.StringIO(sample, newline=""), dialect, strict=False):
            if fields:
                names = names or {field.strip().lower() for field in fields}
                found.append(len(fields))
    except csv.Error:
        return [0], set()
    return found or [0], names


def header(path: Path, dialect: Dialect, *, named: bool, place: str, label: str) -> list[str]:
    """Return the names of a file's columns: its first record's, or c1, c2 and so on."""
    first = next((fields for _, fields in records(path, dialect, place=place, label=label)), [])
    if not named:
        return [f"c{n}" for n in range(1, len(first) + 1)]
    names: list[str] = []
    for n, field in enumerate(first, start=1):
        own = field.strip() or f"c{n}"
        taken = {other.lower() for other in names}
        names.append(own if own.lower() not in taken else f"{own}_{n}")
    return names


def records(path: Path, dialect: Dialect, *, place: str, label: str) -> Iterator[tuple[int, list[str]]]:
    """Read a file's records one by one, with the line that each starts in; blank lines are none."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        line = _Lines(stream)
        before = 0
        try:
            for fields in _split(line, dialect, strict=True):
                if fields:
                    yield before + 1, fields
                before = line.number
        except csv.Error as error:
            what = "opens a quote that nothing closes" if "unexpected end" in str(error) else f"is no CSV: {error}"
            raise DataError(f"{place}: {label}: line {before + 1} {what}; mend the line") from None


class _Lines(Iterator[str]):
    """Counts the lines that a reader has taken."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self.number = lines, 0

    def __next__(self) -> str:
        found = next(self._lines)
        self.number += 1
        return found


def _split(lines: Iterator[str], dialect: Dialect, *, strict: bool) -> Iterator[list[str]]:
    single = len(dialect.delimiter) == 1
    reader = csv.reader(
        lines if single else _marked(lines, dialect.delimiter),
        delimiter=dialect.delimiter if single else UNIT,
        quotechar=dialect.quote,
        doublequote=not dialect.backslash,
        escapechar="\\" if dialect.backslash else None,
        skipinitialspace=dialect.spaced,
        strict=strict,
    )
    for fields in reader:
        if fields and not (len(fields) == 1 and not fields[0].strip()):
            back = " " if dialect.delimiter == WHITESPACE else dialect.delimiter
            yield fields if single else [field.replace(UNIT, back) for field in fields]
        else:
            yield []


def _marked(lines: Iterator[str], delimiter: str) -> Iterator[str]:
    """Write one character for a separator of several."""
    for line in lines:
        end = line[len(line.rstrip("\r\n")) :]
        if delimiter == WHITESPACE:
            yield re.sub(r"[ \t]+", UNIT, line.strip()) + end
        else:
            yield line.replace(delimiter, UNIT)


def count_records(path: Path, dialect: Dialect) -> int | None:
    r"""Count a plain file's records by its bytes: line ends outside quotes, blank lines left out.

    None where bytes cannot tell, as with line ends that are no \\n: then `records` has to.
    """
    quote, spaced = ord(dialect.quote), f"{dialect.delimiter} {dialect.quote}".encode()
    count, inside, last, offset, tail = 0, 0, -1, 0, 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            chunk += stream.read(1) if chunk.endswith(b"\r") else b""
            if spaced in chunk or chunk.count(b"\r") != chunk.count(b"\r\n"):
                return None
            data = np.frombuffer(chunk, np.uint8)
            ends = np.flatnonzero(data == 10)
            quotes = np.flatnonzero(data == quote)
            if len(quotes) or inside:
                ends = ends[(np.searchsorted(quotes, ends) + inside) % 2 == 0]
                inside = (inside + len(quotes)) % 2
            places = ends + offset
            lengths = np.diff(places, prepend=last)
            before = np.where(ends > 0, data[np.maximum(ends - 1, 0)], tail)
            count += int(np.count_nonzero(~((lengths == 1) | ((lengths == 2) & (before == 13)))))
            last = int(places[-1]) if len(places) else last
            offset, tail = offset + len(chunk), chunk[-1]
    return None if inside else count + int(offset > last + 1)


def width_fault(label: str, line: int, fields: list[str], names: list[str], *, place: str) -> DataError:
    """Say that a record has another number of fields than the header."""
    again = len({field.strip().lower() for field in fields} & {name.lower() for name in names}) * 2 >= len(names)
    shown = shortened(" | ".join(fields), 60)
    what = (
        f"line {line} is another header, of {len(fields)} fields ({shown}); two exports in one file: write them as two"
        if again
        else f"line {line} has {len(fields)} fields and the first line {len(names)} ({shown}); mend or remove the line"
    )
    return DataError(f"{place if place.endswith(label) else f'{place}: {label}'}: {what}")


def with_backslash(dialect: Dialect) -> Dialect:
    """Return the dialect in which a quote within quotes is written with a backslash."""
    return replace(dialect, backslash=True)
