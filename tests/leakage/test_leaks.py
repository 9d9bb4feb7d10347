"""Leaks of several kinds, planted in how a small world was built: each is found and named; a clean world has none."""

import dataclasses
import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ibis import _

from components.leakage import alternative_futures, compare, skill
from components.leakage.alternative_futures import Cutoff
from components.profiles import steps
from components.profiles.build import fit_vocabulary
from feature_repo import files, transforms
from feature_repo.calendar import Calendar
from feature_repo.leak import Leak
from feature_repo.vocabulary import Vocabulary
from pipelines.leakage import checks, planted_leaks, rebuild
from pipelines.leakage.rebuild import SampledRows
from tests import worlds
from tests.profiles.conftest import PROFILES, RANKING, SPLIT, Made, make

pytestmark = pytest.mark.world

CALENDAR = Calendar(worlds.FIRST_DAY)
WEEK = 11  # a week that ranking rows exist for


def as_run(made: Made) -> rebuild.FinishedRun:
    """Return a world's folders as a run left them."""
    slices = {"profiles": PROFILES, "vocabulary": json.dumps(worlds.VOCABULARY)}
    return rebuild.FinishedRun(made.clean, made.profiles, made.rows, None, slices)


def built(world: worlds.World, folder: Path, honest: Made) -> Made:
    """Build a world's profiles alone; rows, which take longest, are the honest world's."""
    clean = world.write(folder / "clean")
    vocabulary = json.dumps(worlds.VOCABULARY)
    steps.run_profiles(PROFILES, SPLIT, vocabulary, clean=clean, destination=folder / "profiles")
    return Made(world, clean, folder / "profiles", honest.rows)


def past(run: rebuild.FinishedRun, folder: Path) -> list[Leak]:
    """Compare a run's profiles with those of the world without a future."""
    cutoff = Cutoff.of(CALENDAR, WEEK)
    again = rebuild.rebuilt(run, alternative_futures.without_future(cutoff), cutoff, folder)
    users = pq.read_table(run.clean / "users.parquet")["user_id"].combine_chunks()
    return checks.compared(run, again, SampledRows(users, (cutoff,)), cutoff, how=compare.WITHOUT_FUTURE)


def some(made: Made, *weeks: int) -> SampledRows:
    """Choose half of the users, and cutoffs."""
    return SampledRows(pa.array(made.world.users[::2]), tuple(Cutoff.of(CALENDAR, week) for week in weeks))


def named(found: list[Leak]) -> set[str]:
    return {f"{leak.table}.{leak.column}" for leak in found}


@pytest.fixture(scope="module")
def world() -> worlds.World:
    """Give a world in which users come in some weeks only, and prices and baskets change by the week."""
    base = worlds.checkerboard(users=16)
    rng = np.random.default_rng(0)
    kept = [e for e in base.events if rng.random() < 0.7]
    return dataclasses.replace(base, events=[e | {"value": float(CALENDAR.week(e["timestamp"]))} for e in kept])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def honest(world: worlds.World, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(world, tmp_path_factory.mktemp("honest"))


@pytest.fixture(scope="module")
def examined(honest: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[checks.Findings, Path]:
    """Give the findings of a clean world, and the folder with the worlds that it was compared with."""
    scratch = tmp_path_factory.mktemp("examined")
    return checks.examine(as_run(honest), some(honest, WEEK), scratch), scratch


def test_a_clean_world_has_no_leak(examined: tuple[checks.Findings, Path]) -> None:
    found, _ = examined
    assert [leak.line() for leak in found.leaks] == []
    assert found.checked["cutoffs"] == [WEEK]
    assert {*found.checked["tables"]} >= {"profiles/user_profile", "profiles/item_state", "rows/intent", "rows/ranking"}


def test_every_planted_leak_is_caught(honest: Made, examined: tuple[checks.Findings, Path]) -> None:
    proved = planted_leaks.prove(as_run(honest), some(honest, WEEK), examined[1])
    assert [plant.name for plant in proved if not plant.caught] == []
    assert len(proved) == 7


def _peek(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cutoff see the week that begins at it: <= where < belongs."""
    dated = transforms.dated

    def peeking(events: Any, days: Any, **options: Any) -> Any:
        return dated(events, days, **options).mutate(known=_.known - 1)

    monkeypatch.setattr(transforms, "dated", peeking)


def test_a_transform_that_peeks_into_the_label_week_is_named(
    world: worlds.World, honest: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peeking code also builds the rows again, but there is nothing to peek at where the future is cut off."""
    _peek(monkeypatch)
    found = past(as_run(built(world, tmp_path, honest)), tmp_path / "again")
    assert named(found) >= {"profiles/user_profile.value_total", "profiles/item_state.price"}
    example = next(leak for leak in found if leak.column == "value_total")
    assert (example.week, example.row[:6]) == (WEEK, "user u")


@pytest.mark.slow
def test_a_peeking_transform_is_named_by_both_worlds_and_in_the_rows(
    world: worlds.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _peek(monkeypatch)
    made = make(world, tmp_path / "world")
    found = checks.recomputed(as_run(made), some(made, WEEK), Cutoff.of(CALENDAR, WEEK), tmp_path / "again")
    assert named(found) >= {"profiles/user_profile.value_total", "profiles/item_state.price", "rows/intent.target_slow"}
    assert {leak.how for leak in found} >= {compare.WITHOUT_FUTURE, compare.PERMUTED}


def test_an_item_price_over_all_weeks_is_named_and_nothing_else(
    honest: Made, examined: tuple[checks.Findings, Path], tmp_path: Path
) -> None:
    profiles = tmp_path / "profiles"
    shutil.copytree(honest.profiles, profiles)
    events = pq.read_table(honest.clean / "events.parquet").to_pandas()
    price = events.groupby("item_id")["value"].median()
    state = pq.read_table(profiles / "item_state.parquet")
    items = pq.read_table(profiles / "vocabulary/items.parquet")["item_id"].to_pylist()
    values = pa.array([price[items[i]] for i in state["item_index"].to_pylist()], pa.float32())
    leaking = state.set_column(state.schema.get_field_index("price"), "price", values)
    pq.write_table(leaking, profiles / "item_state.parquet")
    run, cutoff = dataclasses.replace(as_run(honest), profiles=profiles), Cutoff.of(CALENDAR, WEEK)
    again = examined[1] / f"past-{WEEK}"
    found = checks.compared(run, again, some(honest, WEEK), cutoff, how=compare.WITHOUT_FUTURE)
    assert named(found) == {"profiles/item_state.price"}
    assert found[0].row.startswith("item ")


def test_an_item_that_only_later_weeks_know_is_named_in_the_vocabulary(
    honest: Made, examined: tuple[checks.Findings, Path], tmp_path: Path
) -> None:
    profiles = tmp_path / "profiles"
    shutil.copytree(honest.profiles, profiles)
    vocabulary = Vocabulary.load(profiles / "vocabulary")
    newcomer = vocabulary.items.slice(0, 1)
    newcomer = newcomer.set_column(newcomer.schema.get_field_index("item_id"), "item_id", pa.array(["i99"]))
    items = pa.concat_tables([vocabulary.items, newcomer])
    dataclasses.replace(vocabulary, items=items).save(profiles / "vocabulary")
    again = examined[1] / "fitted/profiles"
    (leak,) = checks.fitted_apart(dataclasses.replace(as_run(honest), profiles=profiles), again, 13)
    assert (leak.table, leak.column, leak.week) == ("vocabulary", "items", 13)
    assert leak.what == "has 'i99', which the training weeks alone do not give"
    assert checks.fitted_apart(as_run(honest), again, 13) == []


def test_segments_of_other_weeks_are_named(
    honest: Made, examined: tuple[checks.Findings, Path], tmp_path: Path
) -> None:
    profiles = tmp_path / "profiles"
    shutil.copytree(honest.profiles, profiles)
    segments = files.read_json(profiles / "segments.json")
    files.write_json(profiles / "segments.json", segments | {"sizes": [n + 1 for n in segments["sizes"]]})
    run = dataclasses.replace(as_run(honest), profiles=profiles)
    assert named(checks.fitted_apart(run, examined[1] / "fitted/profiles", 13)) == {"segments.sizes"}


@pytest.mark.slow
def test_a_vocabulary_fitted_on_all_weeks_is_named(
    world: worlds.World, honest: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item that is sold from week 13 on only, after training, is in the vocabulary."""
    hours = dt.timedelta(hours=9)
    late = [worlds.event("u00", "i99", CALENDAR.start(w) + hours, session=f"l{w}") for w in (13, 14, 15)]
    later = dataclasses.replace(world, events=[*world.events, *late], items=[*world.items, worlds.item("i99", "C9")])
    counting = fit_vocabulary.counting
    with monkeypatch.context() as patch:
        patch.setattr(fit_vocabulary, "counting", lambda rule, *, until_week: counting(rule, until_week=99))
        made = built(later, tmp_path, honest)
    found = checks.refitted(as_run(made), tmp_path / "again")
    assert "vocabulary.items" in named(found)
    assert any("'i99'" in leak.what for leak in found)


def test_a_late_row_that_was_treated_as_known_is_named(world: worlds.World, honest: Made, tmp_path: Path) -> None:
    """u00's purchases of week 6 arrive in week 12 only; the run took them as known at once."""

    def arrived(e: dict[str, object]) -> dict[str, object]:
        late = e["user_id"] == "u00" and CALENDAR.week(e["timestamp"]) == 6  # type: ignore[arg-type]
        return e | {"created_at": CALENDAR.start(12)} if late else e

    true = dataclasses.replace(world, events=[arrived(e) for e in world.events])
    assert true.events != world.events
    run = dataclasses.replace(as_run(honest), clean=true.write(tmp_path / "true"))
    found = past(run, tmp_path / "again")
    assert "profiles/user_profile.events_total" in named(found)
    assert {leak.row for leak in found if leak.row.startswith("user")} == {"user u00"}


def test_labels_of_another_week_are_named(honest: Made, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    for path in honest.rows.iterdir():
        (rows / path.name).symlink_to(path)
    table = pq.read_table(honest.rows / "intent.parquet")
    shifted = pa.array([[], *table["label_ids"].to_pylist()[:-1]], table.schema.field("label_ids").type)
    (rows / "intent.parquet").unlink()
    index = table.schema.get_field_index("label_ids")
    pq.write_table(table.set_column(index, "label_ids", shifted), rows / "intent.parquet")
    made = dataclasses.replace(as_run(honest), rows=rows)
    assert checks.labels_of(as_run(honest), some(honest)) == []
    found = checks.labels_of(made, some(honest))
    assert named(found) == {"rows/intent.label_ids"}
    assert found[0].how == compare.LABEL_WEEK


def test_a_column_that_holds_its_own_weeks_label_is_suspicious() -> None:
    """Users differ in how often they come, which `rate` honestly knows; `visited` knows whether they came."""
    rng = np.random.default_rng(0)
    users, weeks = 60, 20
    rate = rng.random(users)
    came = rng.random((users, weeks)) < rate[:, None]
    rows = pa.table(
        {
            "user_id": np.repeat([f"u{u:02}" for u in range(users)], weeks),
            "week": np.tile(np.arange(weeks), users),
            "label_ids": pa.array([[0] if c else [] for c in came.ravel()], pa.list_(pa.int64())),
            "rate": np.repeat(rate, weeks),
            "visited": came.ravel() * 1.0 + rng.normal(0, 0.3, users * weeks),
        }
    )
    found = skill.suspicious(rows, ["visit"])
    assert [(leak.column, leak.severity) for leak in found] == [("visited", "warning")]
    assert skill.noticeable(rows, ["visit"]) is not None


def test_thinned_rows_have_no_leak_and_their_weight_is_no_feature(tmp_path: Path) -> None:
    """Half of the users leave for good: most of their rows go, and the others are what they would have been."""
    whole = worlds.checkerboard()
    gone = [e for e in whole.events if str(e["user_id"]) < "u12" or e["timestamp"] < CALENDAR.start(3)]  # type: ignore[operator]
    world = dataclasses.replace(whole, events=gone)
    spec = json.dumps(json.loads(PROFILES) | {"silent_one_in": 4})
    clean, vocabulary = world.write(tmp_path / "clean"), json.dumps(worlds.VOCABULARY)
    made = Made(world, clean, tmp_path / "profiles", tmp_path / "rows")
    steps.run_profiles(spec, SPLIT, vocabulary, clean=clean, destination=made.profiles)
    steps.run_training_set(SPLIT, RANKING, clean=clean, profiles=made.profiles, destination=made.rows)
    run = dataclasses.replace(as_run(made), slices={"profiles": spec, "vocabulary": vocabulary})
    assert pc.max(pq.read_table(made.rows / "intent.parquet")["row_weight"]).as_py() == 4
    assert "profiles/row_weights" not in run.tables()
    chosen = SampledRows(pa.array(world.users), (Cutoff.of(CALENDAR, WEEK),))
    assert checks.recomputed(run, chosen, chosen.cutoffs[0], tmp_path / "scratch") == []
    assert checks.labels_of(run, chosen) == []


def test_a_rows_weight_counts_as_so_many_rows() -> None:
    rng = np.random.default_rng(0)
    values, label, weight = rng.integers(0, 9, 300), rng.random(300) < 0.3, rng.integers(1, 6, 300)
    again = np.repeat(np.arange(300), weight)
    assert skill.auroc(values, label, weight.astype(float)) == pytest.approx(skill.auroc(values[again], label[again]))
    rows = pa.table(
        {
            "user_id": np.repeat([f"u{u:02}" for u in range(30)], 10),
            "week": np.tile(np.arange(10), 30),
            "label_ids": pa.array([[0] if yes else [] for yes in label], pa.list_(pa.int64())),
            "row_weight": np.where(label, 1.0, 16.0),  # tells the label, and is no feature
        }
    )
    assert skill.suspicious(rows, ["visit"]) == []


def test_other_futures_keep_the_past_and_change_the_rest() -> None:
    events = pa.Table.from_pylist(worlds.scattered(3).events)
    cutoff, rng = Cutoff.of(CALENDAR, 5), np.random.default_rng(0)
    known = events.filter(pa.array(alternative_futures.known(events, cutoff.at)))
    changed = alternative_futures.permuted(cutoff, rng)("events", events)
    mask = pa.array(alternative_futures.known(changed, cutoff.at))
    assert changed.filter(mask).equals(known)
    unknown = changed.filter(pc.invert(mask))
    late = unknown.filter(pc.less(unknown["timestamp"], cutoff.at))
    assert late.num_rows > 0
    assert pc.all(pc.greater_equal(late["created_at"], cutoff.at)).as_py()
    assert pc.max(unknown["created_at"]).as_py() < cutoff.until
    alone = alternative_futures.without_future(cutoff)("events", changed)
    assert alone.slice(0, known.num_rows).equals(known)
    assert [at >= CALENDAR.start(7) for at in alone["timestamp"].to_pylist()[known.num_rows :]] == [True]


def test_an_offer_is_known_from_the_instant_it_was_made_known() -> None:
    at = CALENDAR.start(5)
    moments = [at - dt.timedelta(days=1), at, at + dt.timedelta(seconds=1)]
    offers = pa.table({"item_id": ["a", "b", "c"], "created_at": pa.array(moments, pa.timestamp("us", tz="UTC"))})
    assert alternative_futures.known(offers, at).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("change", "column", "what"),
    [
        (lambda t: t.append_column("extra", pa.array([1.0, 2.0])), "extra", compare.MISSING),
        (
            lambda t: t.set_column(2, "x", pa.array([[1.0], [2.0, 4.0]])),
            "x",
            "at position 1, 4 is stored, recomputed 3",
        ),
    ],
)
def test_what_differs_is_said(change: Callable[[pa.Table], pa.Table], column: str, what: str) -> None:
    fair = pa.table({"user_id": ["a", "b"], "week": [7, 7], "x": pa.array([[1.0], [2.0, 3.0]])})
    (leak,) = compare.differences(change(fair), fair, table="t", how="h")
    assert (leak.column, leak.what, leak.week) == (column, what, 7)
    assert compare.differences(fair, fair, table="t", how="h") == []
