"""Image vectors of the user's own: read by value, and what is wrong with one is a line that names the item."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.vectors import image
from feature_repo.errors import DataError

IDS = ["a", "b", "c", "d"]


def table(values: list[Any], kind: Any = None) -> pa.Table:
    return pa.table({"item_id": IDS[: len(values)], "picture": pa.array(values, kind), "price": [1.0] * len(values)})


def read(values: list[Any], kind: Any = None, *, width: int = 0) -> dict[str, list[float]]:
    items = table(values, kind)
    found = image.vectors(image.ids(items), image.rows_of(items, "picture"), width=width)
    return {item: vector.tolist() for item, vector in found.items()}


def test_vectors_are_of_length_one_and_an_item_may_have_none() -> None:
    assert read([[3.0, 4.0], None, [], [0.0, 0.0]]) == {"a": np.asarray([0.6, 0.8], np.float16).tolist()}
    assert read([["3", "4"]]) == {"a": np.asarray([0.6, 0.8], np.float16).tolist()}, "CSV's lists are of texts"
    assert read([[2, 0]], pa.list_(pa.int32())) == {"a": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([[1.0, 2.0], [1.0]], "item 'b' has 1 numbers, and 'a' 2; allowed: one length for all"),
        ([[1.0, float("nan")]], "item 'a' has nan in its list; allowed: at most 4096 finite numbers; leave the whole "),
        ([[1.0, 2.0], [float("inf"), 1.0]], "item 'b' has inf in its list"),
        ([[1.0, None]], "item 'a' has None in its list; allowed: numbers"),
        ([["1", "two"]], "item 'a' has 'two' in its list; allowed: numbers"),
        ([[1.0] * 5000], "item 'a' has 5000 numbers in its list; allowed: at most 4096"),
    ],
)
def test_a_vector_that_is_none_is_one_line_with_its_item(values: list[Any], line: str) -> None:
    with pytest.raises(DataError) as refused:
        read(values)
    assert str(refused.value).startswith(f"vectors.image.column: {line}")
    assert "\n" not in str(refused.value)


def test_a_later_vector_of_another_length_is_refused() -> None:
    with pytest.raises(DataError, match="item 'a' has 2 numbers; the release's have 3"):
        read([[1.0, 2.0]], width=3)


@pytest.mark.parametrize(
    ("column", "line"),
    [
        ("pictures", "items have no column 'pictures'; columns of lists: picture; did you mean 'picture'?"),
        ("price", "'price' holds double, no lists of numbers; give parquet with a list column"),
    ],
)
def test_a_column_without_lists_is_one_line(column: str, line: str) -> None:
    with pytest.raises(DataError) as refused:
        image.rows_of(table([[1.0]]), column)
    assert str(refused.value).startswith(f"vectors.image.column: {line}")
