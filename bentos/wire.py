"""The bodies between the door and the model services: arrays and a little JSON in one safetensors body. No pickle.

A body is a flat set of arrays, of which one holds JSON as bytes. User rows keep the types and the order that they have
in process, so that a model behind a network gives the same scores. Rows hold pseudonyms, never raw ids.

Letters: B rows, N list elements over all rows.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from feature_repo import columns
from feature_repo.errors import DataError
from feature_repo.rows import LIST_TYPES, Ragged, UserRows

MEDIA_TYPE = "application/vnd.intentflow.arrays"
FIELDS = "said"  # the array that holds JSON


def packed(arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any] | None = None) -> bytes:
    """Write arrays and JSON as a body.

    >>> unpacked(packed({"a": np.asarray([1, 2])}, {"k": 3}))
    ({'a': array([1, 2])}, {'k': 3})
    """
    text = np.frombuffer(json.dumps(fields or {}).encode(), dtype=np.uint8)
    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()} | {FIELDS: text}))


def unpacked(body: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a body; raises DataError where it is none."""
    try:
        arrays = load(body)
        fields = json.loads(arrays.pop(FIELDS).tobytes())
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise DataError(f"body: no arrays ({error}); send what bentos/wire.py writes") from None
    if not isinstance(fields, dict):
        raise DataError("body: its JSON is no object; send what bentos/wire.py writes")
    return arrays, fields


def rows_packed(rows: UserRows) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return user rows as arrays and JSON."""
    arrays = {
        "now": rows.now,
        columns.STATE_AT: rows.state_at,
        "known": rows.known,
        "numbers": np.asarray([rows.numbers[name] for name in rows.numbers], dtype=np.float64),  # [names, B]
    }
    for name, ragged in rows.lists.items():
        arrays |= {f"values:{name}": ragged.values, f"offsets:{name}": ragged.offsets}
    fields = {"users": [str(user) for user in rows.user_id], "numbers": list(rows.numbers), "lists": list(rows.lists)}
    return arrays, fields


def rows_unpacked(arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]) -> UserRows:
    """Read user rows, and see that they hang together; raises DataError where they do not."""
    try:
        users, names = fields["users"], fields["numbers"]
        rows = UserRows(
            user_id=np.asarray(users, dtype=object),
            now=arrays["now"],
            state_at=arrays[columns.STATE_AT],
            known=arrays["known"],
            numbers=dict(zip(names, arrays["numbers"].reshape(len(names), len(users)), strict=True)),
            lists={name: Ragged(arrays[f"values:{name}"], arrays[f"offsets:{name}"]) for name in fields["lists"]},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"body: no user rows ({type(error).__name__}: {error})") from None
    _check(rows)
    return rows


def _check(rows: UserRows) -> None:
    """Refuse rows whose arrays differ in length or type: they would be read past their end, or wrongly."""
    b = len(rows)
    for name in ("now", columns.STATE_AT, "known"):
        column, kind = getattr(rows, name), bool if name == "known" else np.int64
        if column.shape != (b,) or column.dtype != kind:
            raise DataError(f"body: {name} is {column.dtype}{list(column.shape)}; allowed: [{b}] {kind.__name__}")
    for name, ragged in rows.lists.items():
        offsets = ragged.offsets
        whole = offsets.shape == (b + 1,) and offsets.dtype == np.int64 and offsets[0] == 0
        if name not in LIST_TYPES or ragged.values.dtype != LIST_TYPES[name] or ragged.values.ndim != 1 or not whole:
            raise DataError(f"body: the list {name} has another type or length than {b} rows of it")
        if offsets[-1] != len(ragged.values) or (np.diff(offsets) < 0).any():
            raise DataError(f"body: the list {name} has offsets outside its values")
    if columns.USER_ID in rows.numbers:
        raise DataError(f"body: {columns.USER_ID} is no number")
