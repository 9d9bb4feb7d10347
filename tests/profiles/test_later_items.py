"""Items that came after the training weeks: left out, or ranked too where the spec says so."""

import datetime as dt
import json
from contextlib import nullcontext
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.profiles import steps, vocabulary_rule
from components.profiles.build.fit_vocabulary import ItemRule, require_dated
from components.ranking.spec import Ranking
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.signs import Signs
from feature_repo.vocabulary import Vocabulary
from tests import worlds
from tests.profiles.conftest import PROFILES, RANKING, SPLIT

pytestmark = pytest.mark.world
WEEKS = 12
TRAINED = 9  # the first validation week of SPLIT: 2 weeks to validate, 2 to test


def world(*, later: bool = True) -> worlds.World:
    """Everybody buys i0 each week; from week 10 on also i2 and i1, which came in weeks 9 and 10."""
    calendar = worlds.Calendar(worlds.FIRST_DAY)
    items = [worlds.item(f"i{n}", "C") | {"first_seen": calendar.start(1)} for n in range(4)]
    if later:
        items[2]["first_seen"] = calendar.start(TRAINED)  # as training ends
        items[1]["first_seen"] = calendar.start(TRAINED + 1)
    events = []
    for week in range(1, WEEKS + 1):
        for user in range(8):
            at = calendar.start(week) + dt.timedelta(days=user % 7, hours=9)
            bought = ["i0", *(["i2", "i1"] if week > 9 else [])]
            events += [worlds.event(f"u{user}", item, at, session=f"{week}-{user}") for item in bought]
    return worlds.World(events, items, [f"u{n}" for n in range(8)], WEEKS)


def build(folder: Path, made: worlds.World, *, later: bool) -> Path:
    clean = made.write(folder / "clean")
    wanted = worlds.VOCABULARY | {"items": worlds.VOCABULARY["items"] | ({"later": True} if later else {})}
    steps.run_profiles(PROFILES, SPLIT, json.dumps(wanted), clean=clean, destination=folder / "profiles")
    steps.run_training_set(SPLIT, RANKING, clean=clean, profiles=folder / "profiles", destination=folder / "rows")
    return folder


def bought(folder: Path, week: int) -> set[str]:
    names = Vocabulary.load(folder / "rows/vocabulary").item_ids
    table = pq.read_table(folder / "rows/ranking.parquet", columns=["week", "bought"]).to_pylist()
    return {names[place] for row in table if row["week"] == week for place in row["bought"]}


def test_later_items_follow_the_learnt_ones_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    folder = build(tmp_path, world(), later=True)
    vocabulary = Vocabulary.load(folder / "profiles/vocabulary")
    assert list(vocabulary.item_ids) == ["i0", "i2", "i1"]  # i3 was there and nobody bought it
    assert bought(folder, 11) == {"i0", "i2", "i1"}
    state = pq.read_table(folder / "rows/item_state.parquet").to_pylist()
    shares = {(row["week"], row["item_index"]): row["share_1w"] for row in state}
    assert shares[11, 1] == 1.0  # as of week 10, everybody had it
    assert not shares.get((10, 1))  # before anybody had it, nothing is known of it


def test_they_are_left_out_by_default(tmp_path: Path) -> None:
    folder = build(tmp_path, world(), later=False)
    assert list(Vocabulary.load(folder / "profiles/vocabulary").item_ids) == ["i0"]
    assert bought(folder, 11) == {"i0"}


def test_where_none_came_later_it_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"models.ranking.later_items: no item has a first_seen of 2024-02-26 00:00 UTC"
    ):
        build(tmp_path, world(later=False), later=True)


def test_items_that_would_come_later_by_being_chosen_are_refused() -> None:
    plain = ItemRule(None, 1, 1, later=True)
    with pytest.raises(
        DataError, match=r"^models.ranking.later_items: the source has no first_seen of 2 items, so they"
    ):
        require_dated(plain, 2)
    require_dated(plain, 0)
    require_dated(plain, None)  # data of before it was counted
    require_dated(ItemRule(None, 1, 1), 2)
    require_dated(ItemRule(None, 1, 1, Signs((("click", 1.0),), shown="impression"), later=True), 2)


def test_a_run_over_such_items_is_refused(tmp_path: Path) -> None:
    clean = world().write(tmp_path / "clean")
    files.write_json(clean / "snapshot.json", files.read_json(clean / "snapshot.json") | {"items_undated": 4})
    for later in (True, False):
        wanted = worlds.VOCABULARY | {"items": worlds.VOCABULARY["items"] | ({"later": True} if later else {})}
        with pytest.raises(DataError, match="no first_seen of 4 items") if later else nullcontext():
            steps.run_profiles(PROFILES, SPLIT, json.dumps(wanted), clean=clean, destination=tmp_path / "profiles")


def test_the_rule_and_the_digest_name_them_only_where_asked() -> None:
    plain, asked = Ranking(), Ranking(later_items=True)
    assert "later_items" not in plain.model_dump()
    told = [vocabulary_rule.of([], ranking.model_dump() | {"event": None})["items"] for ranking in (plain, asked)]
    assert [items.get("later") for items in told] == [None, True]
