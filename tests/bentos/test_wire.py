"""User rows over the wire: the same arrays on the other side, and nothing else gets in."""

from dataclasses import replace

import numpy as np
import pytest

from bentos import wire
from feature_repo.errors import DataError
from feature_repo.rows import LIST_TYPES, Ragged, UserRows


def some_rows(n: int) -> UserRows:
    """Users with 0, 1, 2 … items."""
    rows = UserRows.unknown([f"user {i}" for i in range(n)], now=100)
    offsets = np.concatenate([[0], np.cumsum(np.arange(n))]).astype(np.int64)
    lists = {
        name: Ragged(np.arange(offsets[-1]).astype(LIST_TYPES[name]), offsets)
        for name in rows.lists
        if name.startswith("history")
    }
    return replace(
        rows,
        known=np.arange(n) > 0,
        state_at=np.arange(n, dtype=np.int64),
        numbers=dict(rows.numbers) | {"events_total": np.arange(n) / 3},
        lists=dict(rows.lists) | lists,
    )


@pytest.mark.parametrize("n", [0, 1, 3])
def test_rows_arrive_as_they_were_sent(n: int) -> None:
    sent = some_rows(n)
    got = wire.rows_unpacked(*wire.unpacked(wire.packed(*wire.rows_packed(sent))))
    assert got.user_id.tolist() == sent.user_id.tolist()
    assert list(got.numbers) == list(sent.numbers), "in the same order"
    for name in ("now", "state_at", "known"):
        np.testing.assert_array_equal(getattr(got, name), getattr(sent, name))
        assert getattr(got, name).dtype == getattr(sent, name).dtype
    for name, values in sent.numbers.items():
        np.testing.assert_array_equal(got.numbers[name], values)
    for name, ragged in sent.lists.items():
        np.testing.assert_array_equal(got.lists[name].values, ragged.values)
        np.testing.assert_array_equal(got.lists[name].offsets, ragged.offsets)
        assert got.lists[name].values.dtype == ragged.values.dtype


def test_rows_that_do_not_hang_together_are_refused() -> None:
    arrays, said = wire.rows_packed(some_rows(3))
    name = "offsets:history_items"
    for wrong in (
        {"now": arrays["now"][:2]},
        {"known": arrays["now"]},
        {name: arrays[name] + 1},
        {name: arrays[name] * 9},
        {name: arrays[name][::-1].copy()},
        {"values:history_items": arrays["values:history_items"].astype(np.float64)},
    ):
        with pytest.raises(DataError, match="body: "):
            wire.rows_unpacked(arrays | wrong, said)
    for wrong_words in ({"users": ["a"]}, {"numbers": ["x"]}, {"lists": ["unheard_of"]}, {"users": 3}):
        with pytest.raises(DataError, match="body: "):
            wire.rows_unpacked(arrays, said | wrong_words)
