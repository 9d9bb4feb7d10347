"""Lists go to Feast's form and back, whatever they hold."""

import numpy as np
import pytest

from feature_repo import plain_feast
from feature_repo.online import feast_values

LISTS = {
    "target_ids": ("int32_list_val", np.int32),
    "target_first_at": ("int64_list_val", np.int64),
    "target_slow": ("float_list_val", np.float32),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_many_users_come_back_as_they_went(name: str) -> None:
    plain_feast.load()
    from feast.type_map import python_values_to_proto_values  # seconds, which a process without this test saves
    from feast.value_type import ValueType

    rng = np.random.default_rng(0)
    kind, dtype = LISTS[name]
    feasts = ValueType[kind.removesuffix("_val").upper()]
    low, high = (-(2**31), 2**31 - 1) if dtype == np.int32 else (-(2**40), 2**40)
    wide = [rng.integers(low, high, n).astype(dtype) for n in (0, 1, 30, 0, 200, 3_000, 0)]
    small = [rng.integers(0, 300, 50).astype(dtype), np.asarray([0, 127, 128, 16_383, 16_384], dtype)]
    lists = wide + small
    rows = [{name: feast_values.value(kind, values)} for values in lists]
    for row, values in zip(rows, lists, strict=True):
        theirs = python_values_to_proto_values([values.tolist()], feasts)[0]
        assert row[name].SerializeToString() == theirs.SerializeToString() or not len(values)
    found = feast_values.arrays([None, *rows, {}], {name: kind, "segment": "int64_val"})[1][name]
    assert (found.values.dtype, len(found.offsets)) == (dtype, len(lists) + 3)
    for place, values in enumerate([[], *lists, []]):
        np.testing.assert_array_equal(found.row(place), np.asarray(values, dtype=dtype))


def test_numbers_and_texts_have_a_default_where_a_row_has_none() -> None:
    row = {"segment": feast_values.value("int64_val", 3.0), "vocabulary": feast_values.value("string_val", "abc")}
    numbers, lists = feast_values.arrays([row, None, {}], {"segment": "int64_val", "vocabulary": "string_val"})
    assert (numbers["segment"].tolist(), list(numbers), lists) == ([3.0, 0.0, 0.0], ["segment"], {})
    assert len(feast_values.arrays([], {"segment": "int64_val"})[0]["segment"]) == 0
    assert feast_values.number(row, "vocabulary", "string_val", "") == "abc"
    assert feast_values.number({}, "vocabulary", "string_val", "") == ""


def test_bytes_are_neither_numbers_nor_lists() -> None:
    row = {"memory": feast_values.value("bytes_val", b"1\n\xc3\xa9")}
    assert feast_values.number(row, "memory", "bytes_val", b"") == b"1\n\xc3\xa9"
    assert feast_values.number({}, "memory", "bytes_val", b"") == b""
    assert feast_values.arrays([row], {"memory": "bytes_val"}) == ({}, {})
