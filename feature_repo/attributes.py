"""Declared attributes of users as codes: 0 for unknown, else 1 + the value's place in the vocabulary.

The values are fitted on the users of the training weeks and travel with the vocabulary; a value that training never
saw is unknown, and so is every attribute of a user who declared nothing. A user row holds the codes in one list, in
the order of the vocabulary's attributes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import columns
from feature_repo.errors import SpecError, nearest
from feature_repo.rows import UserRows

MOST_VALUES = (
    32  # of one attribute; a column with more is a name or an id, but if the spec asks: then the rest is unknown
)
Values = Mapping[str, tuple[str, ...]]


def fit(users: pa.Table, seen: pa.Array, wanted: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """List each attribute's values among the `seen` users, most users first, ties by value.

    Without `wanted` every text column with few values is an attribute.

    >>> users = ["a", "b", "c", "d"]
    >>> table = pa.table({"user_id": users, "age": ["65+", "19-24", "65+", "19-24"], "email": users})
    >>> fit(table, pa.array(users), None)
    {'age': ('19-24', '65+')}
    """
    have = [name for name in users.column_names if name != columns.USER_ID]
    for name in wanted or ():
        if name not in have:
            raise SpecError(
                f"profiles.attributes: users have no column '{name}'; have {', '.join(have) or 'none'}"
                + nearest(name, have)
            )
    known = users.filter(pc.is_in(users[columns.USER_ID], seen))
    texts = [n for n in have if pa.types.is_string(users[n].type) or pa.types.is_large_string(users[n].type)]
    found = {name: _values(known[name]) for name in (texts if wanted is None else wanted)}
    if wanted is None:  # a value must stand for several users, or it is a name
        most = {name: min(MOST_VALUES, (known.num_rows - known[name].null_count) / 2) for name in found}
        found = {name: values for name, values in found.items() if 0 < len(values) <= most[name]}
    return {name: values[:MOST_VALUES] for name, values in list(found.items())[: columns.MOST_ATTRIBUTES]}


def _values(column: pa.ChunkedArray) -> tuple[str, ...]:
    counts = pc.value_counts(column.cast(pa.string()).drop_null()).to_pylist()
    return tuple(c["values"] for c in sorted(counts, key=lambda c: (-c["counts"], c["values"])))


def codes(users: pa.Table, values: Values) -> pa.ListArray:
    """Return each user's codes, list<int32> of one code an attribute.

    >>> codes(pa.table({"user_id": ["a", "b"], "age": ["65+", None]}), {"age": ("19-24", "65+")}).to_pylist()
    [[2], [0]]
    """
    found = np.zeros((users.num_rows, len(values)), dtype=np.int32)  # [B, A]
    for a, (name, known) in enumerate(values.items()):
        place = pc.index_in(users[name].cast(pa.string()), pa.array(known, pa.string()))
        found[:, a] = np.asarray(pc.fill_null(place, -1).to_numpy()) + 1
    offsets = pa.array(np.arange(users.num_rows + 1) * len(values), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(found.ravel(), pa.int32()))


def names(values: Values) -> list[str]:
    """Name the columns of `indicators`.

    >>> names({"age": ("19-24", "65+")})
    ['age=unknown', 'age=19-24', 'age=65+']
    """
    return [f"{name}={value}" for name, known in values.items() for value in ("unknown", *known)]


def indicators(rows: UserRows, values: Values) -> np.ndarray:
    """Return one column of 0 and 1 for each value and each unknown, float32 [B, N]; no codes: all unknown."""
    lists = rows.lists.get(columns.ATTRIBUTES)
    dense = np.zeros((len(rows), len(values)), dtype=np.int64)
    if lists is not None and len(values):
        full = np.diff(lists.offsets) == len(values)
        dense[full] = lists.values[np.repeat(full, np.diff(lists.offsets))].reshape(-1, len(values))
    sizes = np.array([1 + len(known) for known in values.values()], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    out = np.zeros((len(rows), int(sizes.sum())), dtype=np.float32)
    np.put_along_axis(out, starts + np.minimum(dense, sizes - 1), 1.0, axis=1)
    return out
