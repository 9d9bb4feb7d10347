"""Forms of one id that must not meet in a source: what makes two people of one is refused, with both forms."""

from collections.abc import Sequence

import duckdb
import pytest

from components.data import ids_agree
from feature_repo.errors import DataError

PLAIN = [str(1000 + n) for n in range(9)]
WIDE = {ord(str(n)): chr(0xFF10 + n) for n in range(10)}


def judge(users: Sequence[str]) -> None:
    with duckdb.connect() as db:
        db.execute("CREATE TABLE source_events (user_id VARCHAR, item_id VARCHAR)")
        db.executemany("INSERT INTO source_events VALUES (?, 'tea')", [[user] for user in users])
        ids_agree.require(db, {"events": "*.csv"})


@pytest.mark.parametrize(
    "form",
    ["{}.0", "'{}", "'{}'", '="{}"', "b'{}'", 'b"{}"', '"{}"', "0000{}", "wide", "thousands"],
)
def test_an_id_and_the_same_in_another_dress_are_refused(form: str) -> None:
    shown = {"wide": lambda one: one.translate(WIDE), "thousands": lambda one: f"{int(one):,}"}.get(form, form.format)
    odd = [shown(one) for one in PLAIN[:6]]
    with pytest.raises(DataError, match=r"are one id in two forms .6 such pairs.; write ids in one form") as error:
        judge([*PLAIN, *odd])
    assert f"user_id '{min(odd)}' of events" in str(error.value)
    judge(odd)  # alone it is how this shop writes ids


def test_ids_that_only_look_alike_are_two() -> None:
    judge(["7", "007", *(f"0{n}" for n in range(10, 20))])  # one of eleven has a twin: chance
    judge(["1,5", "15", "'tis", "it's", "its", "a,b", "ab", "b'x", "x"])
