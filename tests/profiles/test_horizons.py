"""Labels look ahead as far as their intent says, and no part of the split reaches into the next one's time."""

import datetime as dt
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.intent.examples import require_purged
from components.leakage import labels, purge
from components.profiles import label_steps, profile_folder, steps
from components.profiles.build import plan
from components.profiles.label_steps import within_horizon, within_steps
from components.ranking import examples
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.clock import Pace, Step
from feature_repo.errors import DataError
from feature_repo.fallback import EVERYONE
from feature_repo.signs import Signs
from feature_repo.vocabulary import Vocabulary
from tests import worlds

WANTED = {
    "intents": [
        {"name": "buy", "event": "purchase", "column": "category", "top": 4, "horizon": 3},
        {"name": "visit", "event": None, "column": None, "top": 1},
        {"name": "back", "event": None, "column": None, "top": 1, "horizon": 4},
    ],
    "items": {"event": None, "min_sessions": 1, "min_users": 1},
    "history_weeks": 3,
}
SPLIT = {"warmup_weeks": 3, "validate_weeks": 2, "test_weeks": 2, "horizon": 4}
RANKING = json.dumps({"train_weeks": 3, "test_every_weeks": 1})


@pytest.mark.parametrize("horizon", [1, 2, 4, 28])
@pytest.mark.parametrize(("warmup", "validate", "test"), [(1, 1, 1), (4, 2, 2), (10, 5, 7)])
def test_each_part_ends_one_horizon_before_the_next(horizon: int, warmup: int, validate: int, test: int) -> None:
    split = {"warmup_weeks": warmup, "validate_weeks": validate, "test_weeks": test, "horizon": horizon}
    least = warmup + validate + test + 1 + 3 * (horizon - 1)
    for weeks in (least, least + 1, least + 30):
        made = steps.weeks_of({"weeks": weeks}, split)
        assert made.train[0] == warmup + 1
        assert made.train[-1] + horizon == made.validate[0]
        assert made.validate[-1] + horizon == made.test[0]
        assert made.test[-1] + horizon - 1 == weeks  # the last label ends with the data
        assert (len(made.validate), len(made.test), made.last) == (validate, test, weeks + 1)
        parts = {"train": [*made.train], "validate": [*made.validate], "test": [*made.test]}
        assert purge.overlaps(parts, horizon=horizon) == []
    with pytest.raises(DataError, match=f"needs at least {least}"):
        steps.weeks_of({"weeks": least - 1}, split)


def test_a_split_that_is_short_of_days_says_so_in_days() -> None:
    snapshot = {"weeks": 12, "calendar": {"first_day": "2024-01-01", "step": "day"}}
    with pytest.raises(DataError) as caught:
        steps.weeks_of(snapshot, SPLIT)
    assert str(caught.value) == (
        "data.split: the data has 12 days, the split needs at least 17, of which labels of 4 days take 9; "
        "lower warmup_steps or the intents' horizons"
    )


def test_a_part_that_goes_on_to_the_next_is_found_and_refused_under_labels_of_28_days() -> None:
    leaky = {"train": [5, 6, 7], "validate": [8], "test": [12]}  # as it is laid out for labels of one week
    assert purge.overlaps(leaky, horizon=1) == []
    found = purge.overlaps(leaky, horizon=4)
    assert [(leak.week, leak.cells) for leak in found] == [(5, 3)]
    assert "look ahead 4, past the first validate cutoff 8" in found[0].what
    with pytest.raises(DataError, match=r"labels of train week 7 look ahead 4 steps, past the first validate cutoff 8"):
        require_purged(leaky, 4)


def test_an_event_is_a_label_of_every_cutoff_whose_horizon_holds_it() -> None:
    happened = pa.table({"user_id": ["u", "u", "u"], "key": [0, 1, 0], "week": [9, 9, 8]})
    found = within_horizon(happened, np.asarray([3, 1])).sort_by([("key", "ascending"), ("week", "ascending")])
    assert found.to_pydict() == {"user_id": ["u"] * 5, "key": [0, 0, 0, 0, 1], "week": [6, 7, 8, 9, 9]}
    assert within_horizon(happened, np.asarray([1, 1])) is happened


def expected(world: worlds.World, vocabulary: Vocabulary, user: str, week: int) -> list[int]:
    """Say slowly which targets a user fulfils from a cutoff on, each within its own horizon."""
    start = world.calendar.start(week)
    return sorted(
        number
        for number, target in enumerate(vocabulary.targets)
        if any(
            number in vocabulary.fulfilled(str(e["item_id"]), str(e["event"]))
            for e in world.events
            if e["user_id"] == user and start <= e["timestamp"] < world.calendar.start(week + target.horizon)  # type: ignore[operator]
        )
    )


@pytest.mark.world
@pytest.mark.parametrize(("step", "n"), [("week", 24), ("day", 40), ("hour", 60)])
def test_labels_count_from_the_cutoff_to_the_horizon(tmp_path: Path, step: Step, n: int) -> None:
    world = worlds.scattered(6, users=6, weeks=n, timezone="Europe/Berlin", step=step)
    clean, profiles, rows = (tmp_path / name for name in ("clean", "profiles", "rows"))
    world.write(clean)
    spec, split, wanted = json.dumps({"segments": {"k": 2}}), json.dumps(SPLIT), json.dumps(WANTED)
    steps.run_profiles(spec, split, wanted, clean=clean, destination=profiles)
    steps.run_training_set(split, RANKING, clean=clean, profiles=profiles, destination=rows)
    vocabulary, parts = Vocabulary.load(rows / "vocabulary"), files.read_json(rows / "split.json")
    assert {t.intent: t.horizon for t in vocabulary.targets} == {"buy": 3, "visit": 1, "back": 4}
    assert purge.overlaps(parts, horizon=4) == []
    table = pq.read_table(rows / "intent.parquet")
    found = {(row["user_id"], row["week"]): row["label_ids"] for row in table.to_pylist()}
    assert found
    assert found == {pair: expected(world, vocabulary, *pair) for pair in found}
    by_hand: dict[Any, Any] = defaultdict(list)
    events, users = pq.read_table(clean / "events.parquet"), pa.array(world.users)
    for week in {week for _, week in found}:
        truth = labels.of_week(
            events, users, week=week, calendar=world.calendar, vocabulary=vocabulary, item_event=None
        )
        by_hand |= {(row["user_id"], week): row["label_ids"] for row in truth.to_pylist()}
    assert found == {pair: by_hand[pair] for pair in found}


@pytest.mark.world
def test_rates_of_the_fallback_are_of_whole_horizons(tmp_path: Path) -> None:
    """Everybody comes every second day, so within one day half do and within four days all."""
    at = [dt.timedelta(days=2 * n + user % 2, hours=12) for user in range(8) for n in range(15)]
    start = Calendar(worlds.FIRST_DAY).start(1)
    events = [
        worlds.event(f"u{place // 15:02}", f"i{place % 3}", start + after, session=f"s{place}")
        for place, after in enumerate(at)
    ]
    world = worlds.World(
        events, [worlds.item(f"i{n}", f"C{n}") for n in range(3)], [f"u{n:02}" for n in range(8)], 30, step="day"
    )
    clean = world.write(tmp_path / "clean")
    steps.run_profiles(
        json.dumps({"segments": {"k": 2}}),
        json.dumps(SPLIT),
        json.dumps(WANTED),
        clean=clean,
        destination=tmp_path / "p",
    )
    names = [t.name for t in Vocabulary.load(tmp_path / "p" / "vocabulary").targets]
    everyone = dict(zip(names, files.read_json(tmp_path / "p" / "segments.json")["rates"][EVERYONE], strict=True))
    assert everyone["visit"] == pytest.approx(0.5, abs=0.08)
    assert everyone["back"] == pytest.approx(1.0)


def test_more_steps_than_decaying_sums_hold_are_refused() -> None:
    pace = Pace("hour", fast_half_life="1h")
    profile_folder._require_countable(plan.Weeks((1,), (2,), (3,), last=950), pace)
    with pytest.raises(DataError) as caught:
        profile_folder._require_countable(plan.Weeks((1,), (2,), (3,), last=951), pace)
    assert str(caught.value) == (
        "data.half_lives.fast: the data spans 951 hours, and sums that decay so fast hold 950; give a longer "
        "half-life, a coarser data.step, or fewer hours of events"
    )


def test_labels_of_the_ranker_are_of_so_many_steps_each_item_once_with_the_largest_worth() -> None:
    happened = pa.table({"user_id": ["u", "u", "u"], "key": [0, 0, 1], "week": [9, 8, 9], "worth": [0.2, 1.0, 0.5]})
    found = within_steps(happened, 3).sort_by([("key", "ascending"), ("week", "ascending")])
    assert found.column_names == happened.column_names
    assert list(zip(*(found[name].to_pylist() for name in ("key", "week", "worth")), strict=True)) == [
        (0, 6, 1.0), (0, 7, 1.0), (0, 8, 1.0), (0, 9, 0.2), (1, 7, 0.5), (1, 8, 0.5), (1, 9, 0.5),
    ]  # fmt: skip
    assert within_steps(happened, 1) is happened


@pytest.mark.parametrize("folded", [1, 40, 4_000_000])
@pytest.mark.parametrize("weeks", [None, (3, 7, 8, 20)])
def test_labels_of_long_horizons_are_folded_as_they_are_made_and_only_for_wanted_cutoffs(
    monkeypatch: pytest.MonkeyPatch, folded: int, weeks: tuple[int, ...] | None
) -> None:
    """An hour a step and a horizon of a week would copy every label 168 times at once."""
    rng = np.random.default_rng(1)
    user, key, week = (rng.integers(0, n, 60) for n in (2, 2, 30))
    worth = rng.random(60)
    happened = pa.table({"user_id": [f"u{n}" for n in user], "key": key, "week": week, "worth": worth})
    largest: dict[tuple[str, int, int], float] = defaultdict(float)
    for one in happened.to_pylist():
        for back in range(12):
            at = (one["user_id"], one["key"], one["week"] - back)
            largest[at] = max(largest[at], one["worth"])
    held: list[int] = []
    whole = pa.concat_tables

    def concat(tables: list[pa.Table]) -> pa.Table:
        held.append(sum(table.num_rows for table in tables))
        return whole(tables)

    monkeypatch.setattr(label_steps, "FOLDED_ROWS", folded)
    monkeypatch.setattr(pa, "concat_tables", concat)
    found = within_steps(happened, 12, weeks=weeks)
    want = {at: value for at, value in largest.items() if weeks is None or at[2] in weeks}
    named = (found[name].to_pylist() for name in ("user_id", "key", "week", "worth"))
    assert {(u, k, w): value for u, k, w, value in zip(*named, strict=True)} == want
    assert found.num_rows == len(want)
    if folded < 100:
        assert max(held) <= 2 * len(want) + folded + happened.num_rows < 12 * happened.num_rows


@pytest.mark.world
@pytest.mark.parametrize("step", ["week", "day"])
def test_rows_of_the_ranker_list_what_was_had_within_its_horizon(tmp_path: Path, step: Step) -> None:
    world = worlds.scattered(6, users=6, weeks=24, step=step)
    clean, profiles, rows = (tmp_path / name for name in ("clean", "profiles", "rows"))
    world.write(clean)
    spec, split = json.dumps({"segments": {"k": 2}}), json.dumps(SPLIT | {"horizon": 3})
    wanted = json.dumps(WANTED | {"intents": [{"name": "visit", "event": None, "column": None, "top": 1}]})
    ranking = json.dumps({"train_weeks": 3, "test_every_weeks": 1, columns.LABELS_AHEAD: 3})
    steps.run_profiles(spec, split, wanted, clean=clean, destination=profiles)
    steps.run_training_set(split, ranking, clean=clean, profiles=profiles, destination=rows)
    vocabulary, parts = Vocabulary.load(rows / "vocabulary"), files.read_json(rows / "split.json")
    assert parts[columns.LABELS_AHEAD] == [3]
    table = pq.read_table(rows / "ranking.parquet")
    found = {(row["user_id"], row["week"]): row["bought"] for row in table.to_pylist()}
    events, users = pq.read_table(clean / "events.parquet"), pa.array(world.users)
    assert found
    for user, week in found:
        start, end = world.calendar.start(week), world.calendar.start(week + 3)
        had = {str(e["item_id"]) for e in world.events if e["user_id"] == user and start <= e["timestamp"] < end}  # type: ignore[operator]
        assert found[user, week] == sorted(vocabulary.index_of_item[i] for i in had if i in vocabulary.index_of_item)
        truth = labels.of_week(
            events, users, week=week, calendar=world.calendar, vocabulary=vocabulary, item_event=None, items_ahead=3
        )
        by_hand = {row["user_id"]: row["bought"] for row in truth.to_pylist()}
        assert by_hand[user] == found[user, week]
    assert any(len(had) > 1 for had in found.values())
    examples.require_purged(parts)
    with pytest.raises(DataError, match=r"labels of the train step \d+ look 9 steps ahead, into the validate steps"):
        examples.require_purged(parts | {columns.LABELS_AHEAD: [9]})


def test_a_kind_taken_back_in_a_later_step_of_the_horizon_is_judged_step_by_step() -> None:
    """As the rows are: what one step wanted and another took back is a label, by both hands."""
    signs = Signs((("buy", 1.0), ("return", -1.0)), undoes=(("return", "buy"),))
    items = pa.table({"item_index": pa.array([0], pa.int32()), "item_id": ["i"]})
    pairs = pa.table({"item_id": pa.array([], pa.string()), "target_id": pa.array([], pa.int32()),
                      "kind": pa.array([], pa.string())})  # fmt: skip
    words = Vocabulary((), items, pairs, signs=signs)
    calendar = Calendar("2024-01-01")
    events = pa.table({
        "user_id": ["a", "a", "b", "b"], "item_id": ["i"] * 4, "event": ["buy", "return", "buy", "return"],
        "timestamp": pa.array([calendar.start(week) for week in (3, 4, 3, 3)], pa.timestamp("us", tz="UTC")),
    })  # fmt: skip
    found = labels.of_week(
        events, pa.array(["a", "b"]), week=3, calendar=calendar, vocabulary=words, item_event=None, items_ahead=2
    )
    assert found["bought"].to_pylist() == [[0], []]
