"""The numbers of a logged answer as compressed text: what a line of an open segment holds in the place of decimals.

A line names its user row and its scores by short keys, `row` and `scores`. The first line of a file that names a key
holds its text too, below `packed`: users ask again within minutes, and their row is then packed and written once. A key
is made of what the text holds and of the user, so that no line depends on another user's, which `forget` may blank.
Items stand in the line in plain: where they are people, `forget` has to find them.

A text is `l1:` and base64 of four bytes of size, four of CRC-32 and an LZ4 block: a JSON head, then the arrays as the
bytes they are, which takes a door little more than copying them. A small text is `z1:` and base64 of its size and of a
frame of zstd that stores it, not compressed. Texts of before are zstd's under `z1:`, whose tables drove what an answer
needs out of the processor's cache, or before that base64 of zlib of arrays in the smallest types that give every value
back; both are read, and written no more.

>>> text = pack({"a": np.array([1.5, 2.5], np.float32), "b": np.array([1_500_000_000, 1_500_000_007])}, {"k": 1})
>>> unpack(text)
({'a': [1.5, 2.5], 'b': [1500000000, 1500000007]}, {'k': 1})
>>> arrays(text)[0]["b"]
array([1500000000, 1500000007])
"""

import base64
import hashlib
import struct
import zlib
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic_core import from_json, to_json

PACKED, ROW, SCORES = "packed", "row", "scores"  # keys of a line
NUMBERS, LISTS, PROBABILITIES, ITEMS = "numbers", "lists", "probabilities", "items"
BEGIN, LZ4 = "z1:", "l1:"  # of texts in zstd's frames and in LZ4's blocks; those of before begin with base64
SMALL = 1024  # bytes: a shorter text is stored, which zstd's own frames allow (RFC 8878, 3.1.1.2.2)
STORED = b"\x28\xb5\x2f\xfd\x60"  # begins a frame of one segment, whose size follows in two bytes
STORED_LEAST = 256  # bytes that a frame of this kind holds; its two bytes count from there
MOST_BYTES = 64 << 20  # of a text that is taken apart: a damaged size must not take the memory
WHOLE = ("B", "H", "I", "Q")  # numpy's names of unsigned types in texts of before
# What heads of before usually say. Never change it: files were written with it.
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
    return text_of(laid_out(arrays, to_json(more)))


def laid_out(arrays: Mapping[str, np.ndarray], more: bytes) -> bytes:
    """Return what a text holds: arrays by name, and something more in JSON."""
    form = _form(tuple((name, values.dtype) for name, values in arrays.items()), more)
    head = form % tuple(map(len, arrays.values()))
    return b"".join([struct.pack("<I", len(head)), head, *(values.tobytes() for values in arrays.values())])


@lru_cache(maxsize=64)
def _form(described: tuple[tuple[str, np.dtype[Any]], ...], more: bytes) -> bytes:
    """Return a head in which the lengths of the arrays are left out: `%d` stands for each."""
    arrays = b",".join(b"[%b,%%d]" % to_json([name, kind.str])[1:-1].replace(b"%", b"%%") for name, kind in described)
    return b'{"arrays":[%b],"more":%b}' % (arrays, more.replace(b"%", b"%%"))


def text_of(body: bytes) -> str:
    """Return what was laid out as text."""
    size = struct.pack("<I", len(body))
    if STORED_LEAST <= len(body) < SMALL:
        stored = (
            struct.pack("<H", len(body) - STORED_LEAST) + struct.pack("<I", len(body) << 3 | 1)[:3]
        )  # one raw block
        begin, packed = BEGIN, size + STORED + stored + body
    else:
        block = _codec("lz4_raw").compress(body, asbytes=True)
        begin, packed = LZ4, size + struct.pack("<I", zlib.crc32(body)) + block
    return begin + base64.b64encode(packed).decode("ascii")


def unpack(text: str) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return the arrays as lists, and what came with them; raises ValueError where a text is damaged."""
    found, more = arrays(text)
    return {name: values.tolist() for name, values in found.items()}, more


def arrays(text: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays, and what came with them; raises ValueError where a text is damaged."""
    try:
        return _unpacked(text) if text.startswith((BEGIN, LZ4)) else _unpacked_of_before(text)
    except (zlib.error, struct.error, KeyError, TypeError, OSError, OverflowError, MemoryError) as error:
        raise ValueError(f"packed numbers cannot be read: {error}") from error


def _unpacked(text: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    begin, packed = text[: len(BEGIN)], base64.b64decode(text[len(BEGIN) :], validate=True)
    (size,) = struct.unpack_from("<I", packed)
    if size > MOST_BYTES:
        raise ValueError(f"packed numbers cannot be read: {size} bytes are said to follow, {MOST_BYTES} at most can")
    if begin == BEGIN:
        body = _codec("zstd").decompress(packed[4:], decompressed_size=size, asbytes=True)
    else:  # a block of LZ4 says neither how long it is nor whether it is whole
        body = _codec("lz4_raw").decompress(packed[8:], decompressed_size=size, asbytes=True)
        if struct.unpack_from("<I", packed, 4) != (zlib.crc32(body),):
            raise ValueError("packed numbers cannot be read: they are not those that were written")
    (length,) = struct.unpack_from("<I", body)
    head, at = from_json(body[4 : 4 + length]), 4 + length
    found: dict[str, np.ndarray] = {}
    for name, kind, count in head["arrays"]:
        found[name] = np.frombuffer(body, kind, count, at)
        at += found[name].nbytes
    return found, _object(head["more"])


def _unpacked_of_before(text: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    body = zlib.decompressobj(zdict=PRIMER).decompress(base64.b64decode(text, validate=True))
    (length,) = struct.unpack_from("<I", body)
    head, at = from_json(body[4 : 4 + length]), 4 + length
    found: dict[str, np.ndarray] = {}
    for name, code, whole, count, base in head["arrays"]:
        stored = np.frombuffer(body, np.dtype(code).newbyteorder("<"), count, at)
        at += stored.nbytes
        if code in WHOLE:
            stored = stored.astype(np.int64) + base
            stored = stored if whole else stored.astype(np.float64)
        found[name] = stored
    return found, _object(head["more"])


def _object(more: Any) -> dict[str, Any]:
    """Return what came with the arrays, which is an object."""
    if not isinstance(more, dict):
        raise TypeError("what came with them is no object")
    return more


@cache
def _codec(name: str) -> pa.Codec:
    return pa.Codec(name)


def bodies_of(
    user: str, *, numbers: Mapping[str, np.ndarray], lists: Mapping[str, np.ndarray], probabilities: np.ndarray
) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the keys that a line names, and what their texts hold: the user row (numbers [1] each), and the scores."""
    row = laid_out({**lists, NUMBERS: np.concatenate([*numbers.values()], dtype=np.float64)}, _names(tuple(numbers)))
    scores = laid_out({PROBABILITIES: probabilities}, b"{}")
    keys = {ROW: key_of(user, row), SCORES: key_of(user, scores)}
    return keys, {keys[ROW]: row, keys[SCORES]: scores}


@lru_cache(maxsize=64)
def _names(numbers: tuple[str, ...]) -> bytes:
    return bytes(to_json({NUMBERS: numbers}))


def longest(body: bytes) -> int:
    """Return how long the text of a body is at most."""
    return 4 * (len(body) + len(body) // 128 + 128) // 3  # base64 of what LZ4 could not make smaller


def key_of(user: str, body: bytes) -> str:
    """Return the key of a user's text."""
    return hashlib.sha256(b"%b %b" % (user.encode(), body)).hexdigest()[:18]


def whole(
    line: dict[str, Any], known: MutableMapping[str, str], *, read: Callable[[str], Any] = unpack
) -> dict[str, Any]:
    """Return a line with its numbers, and note the texts that it brings; a line of before this form stays as it is.

    `read` is `unpack`, or `arrays` for who wants numbers as arrays.
    """
    if ROW not in line:
        return line
    known.update(texts_in(line))
    line.pop(PACKED, None)
    keys = str(line.pop(ROW)), str(line.pop(SCORES, None))
    if lacking := [key for key in keys if key not in known]:
        raise ValueError(f"no line before it holds {', '.join(lacking)}")
    (row, about), (scores, shown) = (read(known[key]) for key in keys)
    try:
        values = row.pop(NUMBERS)
        numbers = dict(zip(about[NUMBERS], values if isinstance(values, list) else values.tolist(), strict=True))
        if ITEMS not in line:  # a line of before has them beside its scores
            items = shown[ITEMS]
            line[ITEMS] = [dict(zip(shown["names"], one, strict=True)) for one in items] if "names" in shown else items
        return line | {NUMBERS: numbers, LISTS: row, PROBABILITIES: scores[PROBABILITIES]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"packed numbers are not of an answer: {error!r}") from error


def items_of_before(line: Mapping[str, Any]) -> list[Any]:
    """Return what was shown as far as the texts of a line hold it: in those written before items stood in plain."""
    found: list[Any] = []
    for text in texts_in(line).values():
        if not text.startswith((BEGIN, LZ4)):
            with suppress(ValueError):  # damaged: nobody can read it
                found += unpack(text)[1].get(ITEMS) or []
    return found


def texts_in(line: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that a line brings, by their keys."""
    found = line.get(PACKED)
    return {key: text for key, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else {}
