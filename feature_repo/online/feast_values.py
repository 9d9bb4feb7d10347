"""Numbers, texts and lists in Feast's own form, and back: what the online store holds is what Feast would write.

Feast turns lists into Python objects one element at a time, both ways. Here floats are copied as the bytes they are,
and integers are decoded for all users at once; a test compares every cell with Feast's own reading.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from feature_repo import plain_feast
from feature_repo.rows import LIST_TYPES, Ragged

LIST = "_list_val"
TEXTS = ("string_val", "bytes_val")  # neither numbers nor lists
PACKED = 0x0A  # the tag of a list's only field: packed values follow, after their length
Row = Mapping[str, Any]  # feature name -> Value


def kinds(view: Any) -> dict[str, str]:
    """Name for each feature of a view the field of Feast's Value that holds it, such as `double_val`."""
    return {field.name: f"{field.dtype.to_value_type().name.lower()}_val" for field in view.features}


@cache
def _messages() -> Any:
    plain_feast.load()
    from feast.protos.feast.types import Value_pb2

    return Value_pb2


def value(kind: str, cell: Any) -> Any:
    """Return a cell as a Value."""
    pb = _messages()
    if kind == "float_list_val":
        return pb.Value(float_list_val=pb.FloatList.FromString(_packed(np.asarray(cell, dtype="<f4").tobytes())))
    if kind.endswith(LIST):
        message = pb.Int32List if kind == "int32_list_val" else pb.Int64List
        return pb.Value(**{kind: message(val=np.asarray(cell).tolist())})
    if kind == "string_val":
        return pb.Value(string_val=str(cell))
    if kind == "bytes_val":
        return pb.Value(bytes_val=bytes(cell))
    return pb.Value(**{kind: int(cell) if kind.startswith("int") else float(cell)})


def entity_key(join_key: str, entity: str) -> Any:
    """Return the key of one entity."""
    return _entity_key()(join_keys=[join_key], entity_values=[_messages().Value(string_val=entity)])


@cache
def _entity_key() -> Any:
    plain_feast.load()
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    return EntityKey


def number(row: Row | None, name: str, kind: str, default: Any = 0.0) -> Any:
    """Return a number, a text or bytes of a row, `default` where it has none."""
    found = None if row is None else row.get(name)
    return default if found is None or not found.HasField(kind) else getattr(found, kind)


def arrays(rows: Sequence[Row | None], kinds: Mapping[str, str]) -> tuple[dict[str, np.ndarray], dict[str, Ragged]]:
    """Return the numbers (float64 [B]) and the lists of rows, 0 and empty where a row has none; texts are left out.

    All features are taken together: for one user numpy's calls would cost more than what they do.
    """
    plain = [(name, kind) for name, kind in kinds.items() if not kind.endswith(LIST) and kind not in TEXTS]
    cells = [[number(row, name, kind, 0) for name, kind in plain] for row in rows]
    matrix = np.asarray(cells, dtype=np.float64).reshape(len(rows), len(plain)).T
    lists: dict[str, Ragged] = {}
    for floats in (True, False):
        some = [(name, k) for name, k in kinds.items() if k.endswith(LIST) and (k == "float_list_val") is floats]
        parts = [_bytes(row, name, kind) for name, kind in some for row in rows]
        sizes = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
        data = np.frombuffer(b"".join(parts), dtype=np.uint8)
        values, lengths = (data.view("<f4"), sizes // 4) if floats else _varints(data, sizes)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        for place, (name, _) in enumerate(some):
            offsets = ends[place * len(rows) : (place + 1) * len(rows) + 1]
            mine = values[offsets[0] : offsets[-1]].astype(LIST_TYPES[name])
            lists[name] = Ragged(mine, (offsets - offsets[0]).astype(np.int64))
    return {name: matrix[place] for place, (name, _) in enumerate(plain)}, lists


def _bytes(row: Row | None, name: str, kind: str) -> bytes:
    """Return the packed values of a list, without tag and length."""
    found = None if row is None else row.get(name)
    if found is None:
        return b""
    whole: bytes = getattr(found, kind).SerializeToString()
    start = 1
    while start < len(whole) and whole[start] >= 0x80:
        start += 1
    return whole[start + 1 :]


def _packed(data: bytes) -> bytes:
    """Put tag and length before packed values."""
    if not data:
        return b""
    length, head = len(data), bytearray([PACKED])
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + data


def _varints(data: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decode protobuf's varints: seven bits a byte, the lowest first, the last below 128.

    `data` holds the bytes of lists one after another, `sizes` how many each has; returns values and lengths.

    >>> values, lengths = _varints(np.array([5, 0xAC, 2, 7], dtype=np.uint8), np.array([3, 1]))
    >>> values.tolist(), lengths.tolist()
    ([5, 300, 7], [2, 1])
    """
    last = np.flatnonzero(data < 0x80)  # of each value
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    values = np.zeros(len(last), dtype=np.uint64)
    width = last - first + 1
    for k in range(int(width.max(initial=0))):
        has = width > k
        values[has] |= (data[first[has] + k] & 0x7F).astype(np.uint64) << np.uint64(7 * k)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    lengths = np.diff(np.searchsorted(last, ends, side="left"))
    return values.astype(np.int64), lengths
