"""Load one file of JSON lines: an object a line, each value as its exact text, since a parser's numbers round.

Arrays of plain values stay lists; whatever else is nested becomes JSON text, as from a database.
"""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.data.database import name, text
from feature_repo.errors import DataError, shortened

CHUNK_ROWS = 50_000
HALF = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON writes half of a character beyond 16 bits
HALVED = re.compile("[\ud800-\udfff]")


def scan(path: Path, work: Path, *, place: str, label: str) -> tuple[str, int]:
    """Write a file's rows to parquet; return SQL that reads them, and how many there are."""
    folder = work / f"{path.name}.rows"
    folder.mkdir()
    lists: dict[str, bool | None] = {}  # by key, whether all its values are lists; None: it has none yet
    rows = 0
    chunk: list[dict[str, str | None]] = []
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            chunk.append(_row(line, number, lists, place=place, label=label))
            rows += 1
            if len(chunk) == CHUNK_ROWS:
                _write(chunk, list(lists), folder, rows)
                chunk = []
    if not lists:
        raise DataError(f"{place}.path: {label} holds no row")
    _write(chunk, list(lists), folder, rows + 1)
    told = ", ".join(
        f"from_json({name(key)}, '[\"VARCHAR\"]') AS {name(key)}" if of_lists else name(key)
        for key, of_lists in lists.items()
    )
    return f"(SELECT {told} FROM read_parquet({text(folder / '*.parquet')}, union_by_name = true))", rows


def _write(chunk: list[dict[str, str | None]], keys: list[str], folder: Path, number: int) -> None:
    held = {key: pa.array([row.get(key) for row in chunk], pa.string()) for key in keys}
    pq.write_table(pa.table(held), folder / f"{number:012}.parquet")


def _row(line: str, number: int, lists: dict[str, bool | None], *, place: str, label: str) -> dict[str, str | None]:
    try:
        found = json.loads(line, parse_int=str, parse_float=_whole, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: {label}: line {number} is no JSON object: {error}; mend the line") from None
    if HALF.search(line) and HALVED.search(json.dumps(found, ensure_ascii=False)):
        raise DataError(f"{place}: {label}: line {number} holds half of a character, such as \\ud83d; mend the line")
    if not isinstance(found, dict):
        shown = shortened(line.strip(), 40)
        raise DataError(f"{place}: {label}: line {number} is no JSON object ({shown}); write an object a line")
    for key, value in found.items():
        plain = isinstance(value, list) and not any(isinstance(part, dict | list) for part in value)
        before = lists.setdefault(key, None)
        if value is not None:
            lists[key] = plain and before is not False
    return {key: _text(value) for key, value in found.items()}


def _whole(written: str) -> str:
    """Keep a number as it is written, but for the .0 that writers give whole ones.

    >>> _whole("1000.0"), _whole("2.50"), _whole("9007199254740993.0")
    ('1000', '2.50', '9007199254740993.0')
    """
    whole = written.removesuffix(".0")
    return whole if whole.lstrip("-").isdigit() and len(whole.lstrip("-")) < 16 else written


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len({key.lower() for key in found}) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
