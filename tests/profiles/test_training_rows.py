"""Training rows grow with what happened: silent users' rows are sampled with weights, and only in training weeks."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.profiles import steps
from components.profiles.build import training_rows
from components.profiles.spec import Profiles
from components.profiles.training.feature_selection import instability
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.clock import Pace
from tests import worlds
from tests.profiles.conftest import RANKING, SPLIT, Made

WEEKS, USERS = 30, 400
SILENT_WEEKS = Pace().silent
LEAVERS = {"windows_days": [7], "segments": {"k": 2}}
VOCABULARY = json.dumps(worlds.VOCABULARY)
VIEWS = ("user_profile", "user_targets", "user_history")


def weight_by_hand(gap: int, *, active: bool, one_in: int) -> int:
    """Return what a row counts for, if it is kept."""
    return 1 if active or gap <= SILENT_WEEKS else min(one_in, -(-(gap**2) // SILENT_WEEKS**2))


def pairs(came: dict[int, list[int]], cuts: range, *, one_in: int) -> dict[tuple[int, int], int]:
    """Run the expressions on users and the weeks in which they came; return weights by (user, week)."""
    events = [{"user_id": user, "week": week, "known": week} for user, weeks in came.items() for week in weeks]
    schema = pa.schema([("user_id", pa.int32()), ("week", pa.int64()), ("known", pa.int64())])
    found = training_rows.chosen(
        ibis.memtable(pa.Table.from_pylist(events, schema)),
        ibis.memtable(pa.table({"week": pa.array(cuts, pa.int64())})),
        one_in=one_in,
    ).to_pyarrow()
    return {(row["user_id"], row["week"]): row["weight"] for row in found.to_pylist()}


def test_rows_are_those_whose_hash_the_weight_divides() -> None:
    came = {0: [1, 2, 3, 17], 1: [4], 2: [9, 11, 12]}
    for one_in in (1, 5, 64):
        expected = {}
        for user, weeks in came.items():
            for week in range(3, 21):
                before = [w for w in weeks if w < week]
                if before:
                    weight = weight_by_hand(week - before[-1], active=week in weeks, one_in=one_in)
                    if training_rows.place(user, week) % weight == 0:
                        expected[user, week] = weight
        assert pairs(came, range(3, 21), one_in=one_in) == expected, one_in


def test_a_week_in_which_the_user_comes_is_always_kept() -> None:
    came = {user: [1, 15 + user % 5] for user in range(50)}
    found = pairs(came, range(2, 21), one_in=1000)
    assert {(user, weeks[1]): found[user, weeks[1]] for user, weeks in came.items()} == {
        (user, weeks[1]): 1 for user, weeks in came.items()
    }


def test_weights_sum_to_the_possible_rows() -> None:
    came = {user: [1] for user in range(2_000)}
    found = pairs(came, range(2, 42), one_in=16)
    by_week = np.bincount([week for _, week in found], list(found.values()), minlength=42)[2:]
    # A row of weight w is there with chance 1 / w: its weight has mean 1 and variance w - 1.
    weights = np.array([weight_by_hand(week - 1, active=False, one_in=16) for week in range(2, 42)])
    error = np.sqrt(2_000 * (weights - 1))
    assert (np.abs(by_week - 2_000) <= 4 * error).all(), by_week
    assert abs(sum(found.values()) - 80_000) <= 4 * np.sqrt((error**2).sum())
    assert len(found) < 15_000


def test_an_event_that_became_known_late_gives_no_earlier_row() -> None:
    events = pa.table({"user_id": pa.array([0], pa.int32()), "week": [2], "known": [6]})
    cuts = ibis.memtable(pa.table({"week": pa.array(range(1, 10), pa.int64())}))
    found = training_rows.possible(ibis.memtable(events), cuts).order_by("week").to_pyarrow()
    assert found["week"].to_pylist() == [7, 8, 9]
    assert found["gap"].to_pylist() == [5, 6, 7]


@pytest.mark.parametrize("wrong", [0, 1001, True, "all", 2.5])
def test_only_numbers_and_auto_bound_silent_rows(wrong: object) -> None:
    with pytest.raises(ValidationError, match=r"use a number from 1 to 1000, or auto"):
        Profiles.model_validate({"silent_one_in": wrong})


def leavers() -> worlds.World:
    """Everyone comes in two weeks and is gone; a few come back much later, and some come all the time."""
    calendar, events = Calendar(worlds.FIRST_DAY), []
    for user in range(USERS):
        first = 1 + user % 6
        weeks = [first, first + 1] + ([20 + user % 11] if user % 10 == 0 else [])
        for week in range(1, WEEKS + 1) if user % 40 == 0 else weeks:
            at = calendar.start(week) + dt.timedelta(days=user % 7, hours=9)
            events += [
                worlds.event(f"u{user:03}", f"i{(user + n) % 12}", at, session=f"s{week}-{user}") for n in (0, 2)
            ]
    catalogue = [worlds.item(f"i{n}", f"C{n % 4}") for n in range(12)]
    return worlds.World(events, catalogue, [f"u{n:03}" for n in range(USERS)], WEEKS)


def make(folder: Path, name: str, **spec: Any) -> Made:
    """Build profiles and rows of the leavers under a spec of profiles."""
    clean = folder / "clean"
    made = Made(leavers(), clean if clean.is_dir() else leavers().write(clean), folder / name, folder / f"{name}-rows")
    profiles = json.dumps(LEAVERS | spec)
    steps.run_profiles(profiles, SPLIT, VOCABULARY, clean=clean, destination=made.profiles)
    steps.run_training_set(SPLIT, RANKING, clean=clean, profiles=made.profiles, destination=made.rows)
    return made


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """The same events with all rows, with few silent ones, with few users, and with both bounds."""
    folder = tmp_path_factory.mktemp("leavers")
    return {
        "all": make(folder, "all", silent_one_in=1),
        "thinned": make(folder, "thinned", silent_one_in=16),
        "users": make(folder, "users", train_users=100),
        "both": make(folder, "both", train_users=100, silent_one_in=16),
    }


def of_weeks(table: pa.Table, split: dict[str, Any], *parts: str) -> pa.Table:
    weeks = [week for part in parts for week in split[part]]
    return table.filter(pc.is_in(table["week"], pa.array(weeks, pa.int64())))


def read(made: Made, table: str) -> tuple[pa.Table, dict[str, Any]]:
    return pq.read_table(made.rows / f"{table}.parquet"), files.read_json(made.rows / "split.json")


@pytest.mark.world
@pytest.mark.parametrize("side", ["thinned", "users", "both"])
@pytest.mark.parametrize("table", ["intent", "ranking"])
def test_rows_that_judge_are_the_same_with_and_without_a_bound(sides: dict[str, Made], side: str, table: str) -> None:
    (whole, split), (bounded, _) = read(sides["all"], table), read(sides[side], table)
    keys = ["user_id", "week"]
    mine, theirs = (of_weeks(t, split, "validate", "test") for t in (bounded, whole))
    assert mine.num_rows > 0
    # Segments are fitted on the rows at the end of training, all of which are there: the whole row is equal.
    same = [name for name in theirs.column_names if name in mine.column_names]
    assert mine.select(same).equals(theirs.select(same))
    if table == "intent":
        train = of_weeks(bounded, split, "train")
        assert train.num_rows < 0.5 * of_weeks(whole, split, "train").num_rows
        assert train.select(keys).num_rows == train.select(keys).group_by(keys).aggregate([]).num_rows


@pytest.mark.world
def test_kept_rows_hold_what_the_same_rows_hold_among_all(sides: dict[str, Made]) -> None:
    (whole, _), (thinned, split) = read(sides["all"], "intent"), read(sides["thinned"], "intent")
    assert set(thinned.column_names) - set(whole.column_names) == {"row_weight"}
    code = {pair: n for n, pair in enumerate(zip(whole["user_id"].to_pylist(), whole["week"].to_pylist(), strict=True))}
    place = [code[pair] for pair in zip(thinned["user_id"].to_pylist(), thinned["week"].to_pylist(), strict=True)]
    assert thinned.drop(["row_weight"]).equals(whole.take(pa.array(place)))
    train = of_weeks(thinned, split, "train")
    happened = pc.greater(pc.list_value_length(train["label_ids"]), 0)
    assert pc.max(train.filter(happened)["row_weight"]).as_py() == 1
    assert pc.max(train["row_weight"]).as_py() == 16


@pytest.mark.world
def test_training_rows_of_the_ranker_are_all_there(sides: dict[str, Made]) -> None:
    (whole, _), (thinned, _) = read(sides["all"], "ranking"), read(sides["thinned"], "ranking")
    assert thinned.equals(whole)


@pytest.mark.world
def test_the_step_says_how_many_rows_were_possible(sides: dict[str, Made]) -> None:
    split = read(sides["all"], "intent")[1]
    whole, kept = (of_weeks(read(sides[side], "intent")[0], split, "train").num_rows for side in ("all", "thinned"))
    told = files.read_json(sides["thinned"].rows / training_rows.FILE)
    assert told == {"possible": whole, "kept": kept, "silent_one_in": 16}
    thinned = of_weeks(read(sides["thinned"], "intent")[0], split, "train")["row_weight"].to_numpy()
    assert abs(thinned.sum() - whole) <= 4 * np.sqrt(((thinned - 1) * thinned).sum())  # variance, itself by weights


@pytest.mark.world
def test_sizes_of_segments_count_the_rows_that_rows_stand_for(sides: dict[str, Made]) -> None:
    week = "20"
    whole, thinned = (
        sum(files.read_json(sides[side].profiles / "segments.json")["by_week"][week].values())
        for side in ("all", "thinned")
    )
    rows = pq.read_table(sides["thinned"].profiles / "user_profile.parquet", columns=["week"])
    stored = int(pc.sum(pc.equal(rows["week"], 20)).as_py())
    assert stored < 0.3 * whole
    assert thinned == pytest.approx(whole, rel=0.25)


@pytest.mark.world
def test_a_dense_world_is_left_as_it_is(made: Made, tmp_path: Path) -> None:
    """Users who come every week have no silent rows: the default, all rows, and one in 64 give the same files."""
    for name, spec in {"all": {"silent_one_in": 1}, "thinned": {"silent_one_in": 64}}.items():
        profiles = tmp_path / name
        text = json.dumps({"windows_days": [7, 28, 91], "segments": {"k": 2}} | spec)
        steps.run_profiles(text, SPLIT, VOCABULARY, clean=made.clean, destination=profiles)
        keys = [("week", "ascending"), ("user_id", "ascending")]
        for view in VIEWS:
            ours, theirs = (pq.read_table(folder / f"{view}.parquet") for folder in (profiles, made.profiles))
            assert ours.sort_by(keys).equals(theirs.sort_by(keys)), (name, view)
        assert files.read_json(profiles / training_rows.FILE)["kept"] == 24 * 8


@pytest.mark.world
def test_by_default_a_set_of_few_rows_is_not_thinned(sides: dict[str, Made], tmp_path: Path) -> None:
    clean = sides["all"].clean
    steps.run_profiles(json.dumps(LEAVERS), SPLIT, VOCABULARY, clean=clean, destination=tmp_path / "profiles")
    assert not (tmp_path / "profiles" / training_rows.WEIGHTS).exists()
    for view in VIEWS:
        assert pq.read_table(tmp_path / "profiles" / f"{view}.parquet").equals(
            pq.read_table(sides["all"].profiles / f"{view}.parquet")
        ), view


@pytest.mark.world
def test_by_default_a_large_silent_set_is_thinned(
    sides: dict[str, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_rows, "FEW_ROWS", 1_000)
    clean = sides["all"].clean
    steps.run_profiles(json.dumps(LEAVERS), SPLIT, VOCABULARY, clean=clean, destination=tmp_path / "profiles")
    told = training_rows.TrainingRows(**files.read_json(tmp_path / "profiles" / training_rows.FILE))
    assert told.silent_one_in == 64
    assert told.kept < 0.5 * told.possible


def test_instability_counts_rows_as_often_as_they_stand_for() -> None:
    rng = np.random.default_rng(0)
    column, week = rng.normal(size=400), np.repeat([1, 2, 3, 4], 100)
    weight = rng.integers(1, 5, 400)
    again = np.repeat(np.arange(400), weight)
    weighted = instability(column, week, weight=weight.astype(float))
    assert weighted == pytest.approx(instability(column[again], week[again]), abs=0.02)
    assert abs(weighted - instability(column, week)) > 0.001
