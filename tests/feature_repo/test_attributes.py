"""Declared attributes become codes; what training never saw is unknown."""

import numpy as np
import pyarrow as pa
import pytest

from feature_repo import attributes
from feature_repo.errors import SpecError
from feature_repo.rows import Ragged, UserRows
from feature_repo.vocabulary import Vocabulary

USERS = pa.table(
    {
        "user_id": ["a", "b", "c", "d", "e"],
        "age": ["65+", "65+", "19-24", "19-24", "35-44"],
        "email": ["a@x", "b@x", "c@x", "d@x", "e@x"],
        "visits": [1, 2, 3, 4, 5],
    }
)
KNOWN = pa.array(["a", "b", "c", "d"])


def test_values_come_from_users_of_the_training_weeks_and_names_are_no_attribute() -> None:
    assert attributes.fit(USERS, KNOWN, None) == {"age": ("19-24", "65+")}


def test_the_spec_may_name_what_to_take() -> None:
    assert attributes.fit(USERS, KNOWN, ["visits"]) == {"visits": ("1", "2", "3", "4")}
    assert attributes.fit(USERS, KNOWN, []) == {}


def test_a_column_that_users_lack_is_named() -> None:
    with pytest.raises(SpecError, match=r"profiles\.attributes: users have no column 'agee'; have age, .*mean 'age'"):
        attributes.fit(USERS, KNOWN, ["agee"])


def test_a_value_that_training_never_saw_is_unknown() -> None:
    assert attributes.codes(USERS, {"age": ("19-24", "65+")}).to_pylist() == [[2], [2], [1], [1], [0]]


def test_a_user_who_is_unknown_has_every_attribute_unknown() -> None:
    values = {"age": ("19-24", "65+"), "kids": ("0",)}
    unknown = UserRows.unknown(["x"], now=1)
    assert attributes.indicators(unknown, values).tolist() == [[1, 0, 0, 1, 0]]
    lists = dict(unknown.lists) | {"attributes": Ragged(np.array([2, 1]), np.array([0, 2]))}
    known = UserRows(**(vars(unknown) | {"lists": lists}))
    assert attributes.indicators(known, values).tolist() == [[0, 0, 1, 0, 1]]
    assert attributes.names(values) == ["age=unknown", "age=19-24", "age=65+", "kids=unknown", "kids=0"]


def test_codes_of_other_values_are_of_another_vocabulary() -> None:
    items = pa.table({"item_id": ["i"]})
    pairs = pa.table({"item_id": ["i"], "target_id": [0], "kind": [""]})
    one, other, none = (Vocabulary((), items, pairs, attributes=v) for v in ({"age": ("a",)}, {"age": ("b",)}, {}))
    assert len({one.digest, other.digest, none.digest}) == 3
