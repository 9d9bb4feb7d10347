"""What the zoo's files hold, and how a file of a kind is written: for test_zoo and its neighbours."""

import csv
import datetime as dt
import gzip
import io
import itertools
import random
import unicodedata
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import duckdb

from components.data import file_source
from components.data.source_spec import Files

UTC = dt.UTC
NAMES = ("user_id", "item_id", "event", "timestamp", "quantity", "value")
TIMES = [dt.datetime(2024, 1, day, hour, 30, 5, tzinfo=UTC) for day in (2, 13) for hour in (0, 9, 13, 23)]
WORDS = ("view", 'say "hi"', "a,b;c|d\te", "O'Brien", "line\nbreak", '5" pipe', "::", "buy")
IDS = {
    "whole": [str(1000 + n) for n in range(8)],
    "padded": [f"{n:05}" for n in range(8)],
    "big": [str(9007199254740993 + n) for n in range(8)],
    "point": [f"{1000 + n}.0" for n in range(8)],
    "text": ["ann", "bob", "jos\u00e9", "na\u00efve", "\u00e9va", "x-1", "y_2", "#z"],
}


@dataclass(frozen=True)
class Kind:
    """How a file is written; each field is a dimension of the zoo."""

    delimiter: str = ","
    told: bool = False  # the spec says the delimiter
    quoting: str = "minimal"  # minimal | all | backslash | single
    encoding: str = "utf-8"
    ends: str = "\n"
    closed: bool = True  # the last line has an end
    header: bool = True
    nothing: str = ""  # what stands for a missing value
    ids: str = "whole"
    blanks: bool = False  # around ids
    spelling: str = "NFC"
    time: str = "Z"
    zone: str = "UTC"
    parts: str = "one"  # one | two | turned (columns in another order) | zones (each its own)
    packed: bool = False

    def __str__(self) -> str:
        return " ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))


DIMENSIONS: dict[str, tuple[Any, ...]] = {
    "delimiter": (",", ";", "\t", "|", "::", "whitespace"),
    "told": (False, True),
    "quoting": ("minimal", "all", "backslash", "single"),
    "encoding": ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-be", "gb18030"),
    "ends": ("\n", "\r\n", "\r"),
    "closed": (True, False),
    "header": (True, False),
    "nothing": ("", "NA", "nan", "NULL", "\\N", "-"),
    "ids": tuple(IDS),
    "blanks": (False, True),
    "spelling": ("NFC", "NFD"),
    "time": ("Z", "offset", "naive", "date first", "epoch_s", "epoch_ms", "twelve", "short year", "compact"),
    "zone": ("UTC", "Europe/Berlin", "America/New_York"),
    "parts": ("one", "two", "turned", "zones"),
    "packed": (False, True),
}
FORMS = {
    "date first": "%d/%m/%Y %H:%M:%S",
    "twelve": "%m/%d/%Y %I:%M:%S %p",
    "short year": "%d.%m.%y %H:%M:%S",
    "compact": "%Y%m%d%H%M%S",
}
NAIVE = ("naive", *FORMS)


def kinds(*, count: int, seed: int) -> Iterator[Kind]:
    """Draw kinds from the product of all dimensions, of those that a writer can write; each value is drawn often."""
    draw, found = random.Random(seed), 0
    while found < count:
        kind = Kind(**{name: draw.choice(values) for name, values in DIMENSIONS.items()})
        if possible(kind):
            found += 1
            yield kind


def various(*, count: int, seed: int, of: int = 10) -> Iterator[Kind]:
    """Draw kinds, each the one of some that brings most triples of values which none before it had.

    A fault that takes three dimensions to show is met by 600 of these as often as by 2,000 that are only drawn.
    """
    drawn, had = kinds(count=count * of, seed=seed), set[tuple[Any, ...]]()
    for _ in range(count):
        chosen = max(itertools.islice(drawn, of), key=lambda kind: len(together(kind, 3) - had))
        had |= together(chosen, 3)
        yield chosen


def together(kind: Kind, size: int) -> set[tuple[Any, ...]]:
    """Return the combinations of so many dimensions that a kind has, with its values.

    >>> len(together(Kind(), 2)), ("delimiter", ",", "told", False) in together(Kind(), 2)
    (105, True)
    """
    values = [(field.name, getattr(kind, field.name)) for field in fields(kind)]
    return {tuple(itertools.chain(*some)) for some in itertools.combinations(values, size)}


def possible(kind: Kind) -> bool:
    """Tell whether a file can be of a kind, and its text one thing only to who knows what the spec says."""
    several = kind.delimiter in ("::", "whitespace")
    no = (
        several and not kind.told,
        several and kind.quoting == "backslash",
        # Blanks separate: none within.
        kind.delimiter == "whitespace" and (kind.blanks or (kind.time in FORMS and kind.time != "compact")),
        kind.spelling == "NFD" and kind.encoding in ("latin-1", "cp1252"),
        kind.zone != "UTC" and kind.time not in NAIVE,
        kind.parts == "zones" and (kind.time not in NAIVE or kind.zone == "UTC"),
        kind.parts == "turned" and not kind.header,
        # With no names, and columns that only its user can tell, a comma in a text is a separator as well.
        not kind.header and not kind.told,
    )
    return not any(no)


def words(kind: Kind) -> list[str]:
    """Return the texts that a kind's separator lets be."""
    return ["view", "buy"] * 4 if kind.delimiter == "whitespace" else list(WORDS)


def truth(kind: Kind) -> list[tuple[Any, ...]]:
    """Return the rows that any file of a kind must be read as: the third has no user, the fourth no value."""
    ids = [unicodedata.normalize("NFC", one) for one in IDS[kind.ids]]
    rows = zip(ids, words(kind), TIMES, strict=True)
    return [
        (None if n == 2 else one, f"i{n % 3}", word, at, float(n + 1), 0.0 if n == 3 else n + 0.25)
        for n, (one, word, at) in enumerate(rows)
    ]


def write(kind: Kind, folder: Path) -> dict[str, Any]:
    """Write a kind's files; return the source of a spec that reads them."""
    rows = truth(kind)
    halves = [rows] if kind.parts == "one" else [rows[:4], rows[4:]]
    zones = [kind.zone, "Asia/Tokyo" if kind.parts == "zones" else kind.zone]
    for number, (half, zone) in enumerate(zip(halves, zones, strict=False)):
        order = NAMES[::-1] if kind.parts == "turned" and number else NAMES
        data = _text(kind, half, order, zone).encode(kind.encoding)
        path = folder / f"part-{number}.csv"
        if kind.packed:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(data))
        else:
            path.write_bytes(data)
    return {"type": "csv", "events": _table(kind)}


def _table(kind: Kind) -> dict[str, Any]:
    table: dict[str, Any] = {"path": "part-*.csv*"}
    table |= {"delimiter": kind.delimiter} if kind.told else {}
    table |= {} if kind.header else {"header": "none", "columns": {own: f"c{n}" for n, own in enumerate(NAMES, 1)}}
    table |= {"encoding": kind.encoding} if not kind.encoding.startswith("utf-8") else {}
    table |= {"nulls": [kind.nothing]} if kind.nothing else {}
    form = FORMS.get(kind.time, kind.time if kind.time.startswith("epoch") else None)
    table |= {"timestamps": form} if form else {}
    if kind.parts == "zones":
        table["timezone"] = {"part-1*": "Asia/Tokyo", "*": kind.zone}
    elif kind.time in NAIVE:
        table["timezone"] = kind.zone
    return table


def _text(kind: Kind, rows: list[tuple[Any, ...]], order: tuple[str, ...], zone: str) -> str:
    told = [dict(zip(NAMES, row, strict=True)) for row in rows]
    lines: list[list[str]] = [list(order)] if kind.header else []
    for row in told:
        nothing = kind.nothing or ('""' if kind.delimiter == "whitespace" else "")
        user = nothing if row["user_id"] is None else unicodedata.normalize(kind.spelling, row["user_id"])
        held = row | {
            "user_id": f" {user}  " if kind.blanks else user,
            "timestamp": time_text(row["timestamp"], kind.time, zone),
            "quantity": f"{row['quantity']:g}",
            "value": nothing if row["value"] == 0 else str(row["value"]),
        }
        lines.append([held[name] for name in order])
    found = kind.ends.join(_line(kind, line) for line in lines)
    return found + (kind.ends if kind.closed else "")


def _line(kind: Kind, values: list[str]) -> str:
    quote = "'" if kind.quoting == "single" else '"'
    if kind.delimiter == "whitespace":
        return "   ".join(values)
    if len(kind.delimiter) > 1:
        double = [value.replace('"', '""') for value in values]
        return kind.delimiter.join(f'"{value}"' for value in double)
    out = io.StringIO(newline="")
    every = kind.quoting in ("all", "single", "backslash")
    csv.writer(
        out,
        delimiter=kind.delimiter,
        quotechar=quote,
        quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL,
        doublequote=kind.quoting != "backslash",
        escapechar="\\" if kind.quoting == "backslash" else None,
        lineterminator="\r\n",
    ).writerow(values)
    return out.getvalue().removesuffix("\r\n")


def time_text(at: dt.datetime, form: str, zone: str) -> str:
    """Write a time in one of the zoo's forms.

    >>> time_text(TIMES[0], "offset", "UTC"), time_text(TIMES[0], "twelve", "UTC")
    ('2024-01-02T06:00:05+05:30', '01/02/2024 12:30:05 AM')
    """
    local = at.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None)
    match form:
        case "Z":
            return at.strftime("%Y-%m-%dT%H:%M:%SZ")
        case "offset":
            return at.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30))).isoformat()
        case "naive":
            return local.isoformat()
        case "epoch_s" | "epoch_ms":
            return str(int(at.timestamp()) * (1000 if form == "epoch_ms" else 1))
    return local.strftime(FORMS[form])


def read(source: dict[str, Any], folder: Path) -> list[tuple[Any, ...]]:
    """Read a source's events as the pipeline does."""
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute("SET TimeZone = 'UTC'")
        file_source.read(db, Files.model_validate(source), folder)
        return events(db)


def events(db: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Return the events in order of time."""
    rows = db.execute(f"SELECT {', '.join(NAMES)} FROM source_events ORDER BY timestamp").fetchall()
    return [(*row[:3], row[3] and row[3].astimezone(UTC), *row[4:]) for row in rows]


def counted(read_kinds: list[Kind]) -> str:
    """Say how many files were read for each value of each dimension."""
    lines = []
    for name, values in DIMENSIONS.items():
        counts = {value: sum(getattr(kind, name) == value for kind in read_kinds) for value in values}
        lines.append(f"{name:>10}: " + ", ".join(f"{value!r} {count}" for value, count in counts.items()))
    return "\n".join(lines)


def pairs(values: list[str]) -> list[tuple[str, str]]:
    """Return every ordered pair."""
    return list(itertools.product(values, values))
