"""An answer's numbers come back from their packed form as they were, whatever they are."""

import base64
import json
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.logs import packed_answer

ITEMS = [{"item_id": "soup", "position": 1, "score": 0.1}]
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


@pytest.mark.parametrize("count", [0, 26, 27, 28, 100, 122, 123, 124, 5000])  # around the frames that are stored
def test_a_text_of_any_size_comes_back_stored_or_compressed(count: int) -> None:
    values = np.random.default_rng(0).random(count)
    assert packed_answer.unpack(packed_answer.pack({"a": values}, {}))[0]["a"] == values.tolist()


@pytest.mark.parametrize("count", [0, 1, 200, 20_000])
def test_a_text_is_no_longer_than_is_said_of_what_it_holds(count: int) -> None:
    body = packed_answer.laid_out({"a": np.frombuffer(np.random.default_rng(1).bytes(8 * count))}, b"{}")
    assert 0.9 * packed_answer.longest(body) - 300 < len(packed_answer.text_of(body)) <= packed_answer.longest(body)


def test_what_a_text_holds_begins_with_its_description_in_json_whatever_the_names() -> None:
    arrays = {'50 % of "a"': np.asarray([1, 2], np.int32), "": np.empty(0), "zu": np.asarray([0.5], np.float32)}
    for _ in range(2):  # the second time from what is remembered
        body = packed_answer.laid_out(arrays, json.dumps({"100 %": [1, "%d"]}).encode())
        (length,) = struct.unpack_from("<I", body)
        described = [['50 % of "a"', "<i4", 2], ["", "<f8", 0], ["zu", "<f4", 1]]
        assert json.loads(body[4 : 4 + length]) == {"arrays": described, "more": {"100 %": [1, "%d"]}}
    assert json.loads(packed_answer.laid_out({"": np.zeros(3)}, b"{}")[4:-24])["arrays"] == [["", "<f8", 3]]


def test_a_text_of_before_is_read_as_it_was_written() -> None:
    text = (
        "eLv6VIbzW8HAwICS5koyc8E6YBYY6RiaGpgamxgbmBnGAk1G95Mx0DigMEYoAPWBxNPz81KR4tQAohqLm41QnAVXYQVM0UBlSUqxtbVxlk0M"
        "ICCVZOvY8FnCEcRWY5g1EwR22jNAgAMA4yM7NA=="
    )
    arrays, more = packed_answer.unpack(text)
    assert arrays == {
        "times": [1_513_877_427, 1_505_343_061],
        "slow": [11.836450576782227, float(np.float32(9.559448)), 0.0],
        "weeks": [39.0, 1.0],
        "gone": [],
        "numbers": [0.1, 2.0],
    }
    assert isinstance(arrays["times"][0], int)
    assert isinstance(arrays["weeks"][0], float)
    assert more == {"numbers": ["a", "b"]}


def test_a_text_that_zstd_made_is_read_as_it_was_written() -> None:
    values = np.arange(400, dtype=np.int32)
    body = packed_answer.laid_out({"a": values}, b'{"k":1}')
    frame = pa.Codec("zstd", 1).compress(body, asbytes=True)
    text = "z1:" + base64.b64encode(struct.pack("<I", len(body)) + frame).decode()
    assert packed_answer.unpack(text) == ({"a": values.tolist()}, {"k": 1})


@pytest.mark.parametrize("begin", ["z1:", "l1:"])
def test_a_size_that_no_text_has_is_refused_before_memory_is_taken(begin: str) -> None:
    huge = base64.b64encode(struct.pack("<I", 2**32 - 1) + b"x").decode()
    with pytest.raises(ValueError, match="4294967295 bytes are said to follow"):
        packed_answer.unpack(begin + huge)


def test_a_text_that_is_cut_or_whose_size_lies_is_refused() -> None:
    packed = base64.b64decode(packed_answer.pack({"a": np.arange(5000)}, {})[3:])
    for damaged in (packed[:-40], struct.pack("<I", 7) + packed[4:], struct.pack("<I", 90_000) + packed[4:]):
        with pytest.raises(ValueError):
            packed_answer.unpack("l1:" + base64.b64encode(damaged).decode())


def line(user: str, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a line and its texts."""
    keys, bodies = packed_answer.bodies_of(
        user,
        numbers={"events_total": np.asarray([2.0])},
        lists={"history_slow": np.asarray(HISTORY, np.float32)},
        probabilities=np.asarray([0.25, 1 / 3]),
    )
    texts = {key: packed_answer.text_of(body) for key, body in bodies.items()}
    return {"request_id": "r", "user_id": user, "items": ITEMS} | keys | more, texts


def test_a_line_takes_its_numbers_from_an_earlier_one() -> None:
    first, texts = line("ann")
    known: dict[str, str] = {}
    whole = packed_answer.whole(first | {packed_answer.PACKED: texts}, known)
    assert whole["lists"] == {"history_slow": np.asarray(HISTORY, np.float32).tolist()}
    assert whole["numbers"] == {"events_total": 2.0}
    assert whole["items"] == ITEMS
    assert packed_answer.whole(line("ann")[0], known) == whole


def test_no_line_depends_on_another_users() -> None:
    assert not set(line("ann")[1]) & set(line("bo")[1])


def test_numbers_that_are_lost_or_damaged_are_refused() -> None:
    found, texts = line("ann")
    with pytest.raises(ValueError, match="no line before it holds"):
        packed_answer.whole(dict(found), {})
    for damaged in ("", "AAAA", "z1:", "z1:AAAA", "l1:", "l1:AAAA", *(text[:-8] for text in texts.values())):
        with pytest.raises(ValueError):
            packed_answer.unpack(damaged)


def test_a_line_of_before_has_its_items_beside_its_scores() -> None:
    packed = {
        "r": ("eLv6VIbzy2RgYEBJc7jcbgTUhmIb3L+GOkZIBsJVWEWjli+xtbVSSbaOQPvsGQC1SiUH"),
        "s": ("eLv6VIbzK2VgYEBJczh1GqHoU8pLzE0F6UAqpJBKLkh5FQstNMAGA4uuAiUdoO16hrGxtbUMDA12DAwO9gB87ygt"),
        "of differing kinds": ("eLv6VIbzK2BgYEBJc+g64d4yQNEHKQ2AOqrhpZQVqHQqUKrVQRYqSU2EF19WhnoGtbG1tQB6gCWQ"),
    }
    whole = packed_answer.whole({"row": "r", "scores": "s", "packed": packed}, {})
    assert whole == {
        "numbers": {"events_total": 2.0},
        "lists": {"history_slow": [11.836450576782227, 0.5]},
        "probabilities": [0.25, 0.75],
        "items": ITEMS,
    }
    whole = packed_answer.whole({"row": "r", "scores": "of differing kinds"}, packed)
    assert whole["items"] == [{"item_id": "soup"}, {"item_id": "tea", "score": 1.0}]


def test_a_line_of_decimals_stays_as_it_is() -> None:
    old = {"request_id": "r", "numbers": {"a": 1.0}, "lists": {"b": [1]}, "probabilities": [0.5], "items": []}
    assert packed_answer.whole(json.loads(json.dumps(old)), {}) == old
