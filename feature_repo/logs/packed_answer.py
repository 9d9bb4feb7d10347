"""The numbers of a logged answer as compressed text: what a line of an open segment holds in the place of decimals.

A line names its user row and its scores by short keys, `row` and `scores`. The first line of a file that names a key
holds its text too, below `packed`: users ask again within minutes, and their row is then written once. A key is made of
the text and of the user, so that no line depends on another user's, which `forget` may blank.

A text is base64 of zlib of a JSON head and of arrays: the smallest type that gives every value back exactly.

>>> text = pack({"a": np.array([1.5, 2.5], np.float32), "b": np.array([1_500_000_000, 1_500_000_007])}, {"k": 1})
>>> unpack(text)
({'a': [1.5, 2.5], 'b': [1500000000, 1500000007]}, {'k': 1})
"""

import base64
import hashlib
import struct
import zlib
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

PACKED, ROW, SCORES = "packed", "row", "scores"  # keys of a line
NUMBERS, LISTS, PROBABILITIES, ITEMS = "numbers", "lists", "probabilities", "items"
WHOLE = ("B", "H", "I", "Q")  # numpy's names of unsigned types, by size
EXACT = 2**53  # whole numbers up to here are the same as a double
# What heads usually say, so that it costs next to nothing. Never change it: files were written with it.
PRIMER = (
    b'["position","item_id","score","source","propensity"],"history","neighbours","popular",'
    b'["first_at","last_at","events_total","sessions_total","weeks_total","items_total","quantity_total","value_total",'
    b'"discount_total","discounted_total","weekend_share","evening_share","sessions_slow","value_slow","events_7d",'
    b'"sessions_7d","quantity_7d","value_7d","discount_7d","events_28d","sessions_28d","quantity_28d","value_28d",'
    b'"discount_28d","events_91d","sessions_91d","quantity_91d","value_91d","discount_91d","segment"],'
    b'{"arrays":[["recent_targets","B",true,["recent_weeks","B",true,["attributes","B",true,["daily_days","H",true,'
    b'["daily_events","B",false,["daily_sessions","B",false,["daily_quantity","B",false,["daily_value","f",false,'
    b'["daily_discount","f",false,["target_ids","B",true,["target_weeks","B",false,["target_slow","f",false,'
    b'["target_fast","f",false,["target_first_at","I",true,["target_last_at","I",true,["history_items","H",true,'
    b'["history_weeks","B",false,["history_slow","f",false,["history_fast","f",false,["history_first_at","I",true,'
    b'["history_last_at","I",true,["numbers","d",false,["probabilities","f",false,101,0]],"more":{'
)


def pack(arrays: Mapping[str, np.ndarray], more: Mapping[str, Any]) -> str:
    """Return arrays by name, and something more that JSON can hold, as text."""
    described, parts = [], []
    for name, values in arrays.items():
        code, base, part = _smallest(values)
        described.append([name, code, values.dtype.kind in "iu", len(values), base])
        parts.append(part)
    head = to_json({"arrays": described, "more": more})
    squeeze = zlib.compressobj(6, zdict=PRIMER)
    body = b"".join([struct.pack("<I", len(head)), head, *parts])
    return base64.b64encode(squeeze.compress(body) + squeeze.flush()).decode("ascii")


def unpack(text: str) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return the arrays as lists, and what came with them; raises ValueError where a text is damaged."""
    try:
        body = zlib.decompressobj(zdict=PRIMER).decompress(base64.b64decode(text, validate=True))
        (length,) = struct.unpack_from("<I", body)
        head, at = from_json(body[4 : 4 + length]), 4 + length
        arrays: dict[str, list[Any]] = {}
        for name, code, whole, count, base in head["arrays"]:
            stored = np.frombuffer(body, np.dtype(code).newbyteorder("<"), count, at)
            at += stored.nbytes
            if code in WHOLE:
                values = stored.astype(np.int64) + base
                arrays[name] = (values if whole else values.astype(np.float64)).tolist()
            else:
                arrays[name] = stored.tolist()
        if not isinstance(head["more"], dict):
            raise TypeError("what came with them is no object")
    except (zlib.error, struct.error, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"packed numbers cannot be read: {error}") from error
    return arrays, head["more"]


def texts_of(
    user: str,
    *,
    numbers: Mapping[str, float],
    lists: Mapping[str, np.ndarray],
    probabilities: np.ndarray,
    items: Any,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the keys that a line names, and their texts: of the user row, and of scores with items."""
    row = pack({**lists, NUMBERS: np.asarray(list(numbers.values()), np.float64)}, {NUMBERS: list(numbers)})
    names = list(items[0]) if items else []
    rows = [[item.get(name) for name in names] for item in items]
    alike = all(list(item) == names for item in items)
    shown = {"names": names, ITEMS: rows} if alike else {ITEMS: list(items)}
    scores = pack({PROBABILITIES: np.asarray(probabilities)}, shown)
    keys = {ROW: key_of(user, row), SCORES: key_of(user, scores)}
    return keys, {keys[ROW]: row, keys[SCORES]: scores}


def key_of(user: str, text: str) -> str:
    """Return the key of a user's text."""
    return hashlib.blake2b(f"{user} {text}".encode(), digest_size=9).hexdigest()


def whole(line: dict[str, Any], known: MutableMapping[str, str]) -> dict[str, Any]:
    """Return a line with its numbers, and note the texts that it brings; a line of before this form stays as it is."""
    if ROW not in line:
        return line
    known.update(texts_in(line))
    line.pop(PACKED, None)
    keys = str(line.pop(ROW)), str(line.pop(SCORES, None))
    if lacking := [key for key in keys if key not in known]:
        raise ValueError(f"no line before it holds {', '.join(lacking)}")
    (row, about), (scores, shown) = (unpack(known[key]) for key in keys)
    try:
        numbers = dict(zip(about[NUMBERS], row.pop(NUMBERS), strict=True))
        items = shown[ITEMS]
        if "names" in shown:
            items = [dict(zip(shown["names"], item, strict=True)) for item in items]
        return line | {NUMBERS: numbers, LISTS: row, PROBABILITIES: scores[PROBABILITIES], ITEMS: items}
    except (KeyError, TypeError) as error:
        raise ValueError(f"packed numbers are not of an answer: {error!r}") from error


def texts_in(line: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that a line brings, by their keys."""
    found = line.get(PACKED)
    return {key: text for key, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else {}


def _smallest(values: np.ndarray) -> tuple[str, int, bytes]:
    """Return the type, the offset and the bytes that give every value back exactly."""
    wide = values.astype(np.float64) if values.dtype.kind == "f" else values
    if not len(wide):
        return "B", 0, b""
    if values.dtype.kind in "iu" or _are_whole(wide):
        base = int(wide.min())
        offsets = wide.astype(np.int64) - base
        code = next(c for c in WHOLE if int(offsets.max()) <= np.iinfo(np.dtype(c)).max)
        return code, base, offsets.astype(np.dtype(code).newbyteorder("<")).tobytes()
    with np.errstate(over="ignore"):
        narrow = wide.astype("<f4")
    if np.array_equal(narrow.astype(np.float64), wide):
        return "f", 0, narrow.tobytes()
    return "d", 0, wide.astype("<f8").tobytes()


def _are_whole(values: np.ndarray) -> bool:
    """Tell whether an offset and small integers can hold doubles: no fraction, no -0.0, no infinity."""
    if not np.isfinite(values).all() or np.abs(values).max() >= EXACT:
        return False
    return bool((values == np.floor(values)).all() and not np.signbit(values[values == 0]).any())
