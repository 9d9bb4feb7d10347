"""An answer's numbers come back from their packed form as they were, whatever they are."""

import json
from typing import Any

import numpy as np
import pytest

from feature_repo.logs import packed_answer

HISTORY = [11.836450576782227, 9.559448, 0.0, 1e-30]
WHAT = {
    "nothing": np.empty(0, np.float32),
    "small whole numbers": np.asarray([39.0, 1.0, 0.0], np.float32),
    "times": np.asarray([1_513_877_427, 1_505_343_061], np.int64),
    "below zero": np.asarray([-1, 300], np.int32),
    "single precision": np.asarray(HISTORY, np.float32),
    "double precision": np.asarray([0.1, 1 / 3]),
    "minus zero": np.asarray([-0.0, 2.0]),
    "more than a double counts": np.asarray([1e300, 2.0**60]),
    "no number": np.asarray([np.nan, np.inf, -np.inf]),
    "the widest": np.asarray([-(2**40), 2**40], np.int64),
}


@pytest.mark.parametrize("name", list(WHAT))
def test_every_value_comes_back_with_its_type(name: str) -> None:
    values = WHAT[name]
    arrays, more = packed_answer.unpack(packed_answer.pack({"a": values}, {"k": 1}))
    assert [repr(value) for value in arrays["a"]] == [repr(value) for value in values.tolist()]
    assert more == {"k": 1}


@pytest.mark.parametrize(
    ("name", "size"),
    [("small whole numbers", 3), ("times", 8), ("below zero", 4), ("single precision", 16), ("double precision", 16)],
)
def test_a_value_takes_the_smallest_type_that_is_exact(name: str, size: int) -> None:
    assert len(packed_answer._smallest(WHAT[name])[2]) == size


def line(user: str, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a line and its texts."""
    keys, texts = packed_answer.texts_of(
        user,
        numbers={"events_total": 2.0},
        lists={"history_slow": np.asarray(HISTORY, np.float32)},
        probabilities=np.asarray([0.25, 1 / 3]),
        items=[{"item_id": "soup", "position": 1, "score": 0.1}],
    )
    return {"request_id": "r", "user_id": user} | keys | more, texts


def test_a_line_takes_its_numbers_from_an_earlier_one() -> None:
    first, texts = line("ann")
    known: dict[str, str] = {}
    whole = packed_answer.whole(first | {packed_answer.PACKED: texts}, known)
    assert whole["lists"] == {"history_slow": np.asarray(HISTORY, np.float32).tolist()}
    assert whole["numbers"] == {"events_total": 2.0}
    assert whole["items"] == [{"item_id": "soup", "position": 1, "score": 0.1}]
    assert packed_answer.whole(line("ann")[0], known) == whole


def test_no_line_depends_on_another_users() -> None:
    assert not set(line("ann")[1]) & set(line("bo")[1])


def test_numbers_that_are_lost_or_damaged_are_refused() -> None:
    found, texts = line("ann")
    with pytest.raises(ValueError, match="no line before it holds"):
        packed_answer.whole(dict(found), {})
    for damaged in ("", "AAAA", next(iter(texts.values()))[:-8]):
        with pytest.raises(ValueError):
            packed_answer.unpack(damaged)


def test_items_of_differing_kinds_come_back_too() -> None:
    items = [{"item_id": "soup"}, {"item_id": "tea", "score": 1.0}]
    keys, texts = packed_answer.texts_of("ann", numbers={}, lists={}, probabilities=np.empty(0), items=items)
    assert packed_answer.whole(dict(keys), dict(texts))["items"] == items


def test_a_line_of_decimals_stays_as_it_is() -> None:
    old = {"request_id": "r", "numbers": {"a": 1.0}, "lists": {"b": [1]}, "probabilities": [0.5], "items": []}
    assert packed_answer.whole(json.loads(json.dumps(old)), {}) == old
