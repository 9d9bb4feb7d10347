"""Kinds of events through the profile steps: no future in a row, labels by a second hand, the store's rows."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.leakage import alternative_futures, compare
from components.leakage.alternative_futures import Cutoff
from components.profiles import steps
from components.ranking import examples
from components.ranking.spec import Ranking
from feature_repo import columns, records
from feature_repo.calendar import Calendar
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.rows import UserRows
from feature_repo.update import Event, Folding
from feature_repo.vocabulary import Vocabulary
from pipelines.leakage import checks, rebuild
from tests import worlds
from tests.profiles.conftest import PROFILES, RANKING, SPLIT, Made
from tests.signs import KINDS, SIGNS, VOCABULARY, scattered

pytestmark = pytest.mark.world

CALENDAR = Calendar(worlds.FIRST_DAY)
WEEK = 7
SPEC = Ranking(
    kinds=KINDS,
    hide=("hide",),
    undo={"return": "purchase"},
    repeat={"purchase": "forbid"},
    impression="impression",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("kinds")
    world = scattered(7, users=14)
    found = Made(world, world.write(folder / "clean"), folder / "profiles", folder / "rows")
    vocabulary = json.dumps(VOCABULARY | {"history_weeks": 3})
    steps.run_profiles(PROFILES, SPLIT, vocabulary, clean=found.clean, destination=found.profiles)
    steps.run_training_set(SPLIT, RANKING, clean=found.clean, profiles=found.profiles, destination=found.rows)
    return found


def as_run(made: Made) -> rebuild.FinishedRun:
    slices = {"profiles": PROFILES, "vocabulary": json.dumps(VOCABULARY)}
    return rebuild.FinishedRun(made.clean, made.profiles, made.rows, None, slices)


def test_the_spec_and_the_rows_speak_of_the_same_kinds() -> None:
    assert SPEC.signs(["login"]) == SIGNS


def test_no_row_knows_what_happens_from_its_week_on(made: Made, tmp_path: Path) -> None:
    cutoff, run = Cutoff.of(CALENDAR, WEEK), as_run(made)
    chosen = rebuild.SampledRows(pa.array(made.world.users), (cutoff,))
    again = rebuild.rebuilt(run, alternative_futures.without_future(cutoff), cutoff, tmp_path)
    assert [leak.line() for leak in checks.compared(run, again, chosen, cutoff, how=compare.WITHOUT_FUTURE)] == []
    assert columns.SHOWN_SLOW in pq.read_schema(made.profiles / "item_state.parquet").names


@pytest.mark.slow
def test_another_future_moves_no_row(made: Made, tmp_path: Path) -> None:
    cutoff = Cutoff.of(CALENDAR, WEEK)
    chosen = rebuild.SampledRows(pa.array(made.world.users), (cutoff,))
    assert [leak.line() for leak in checks.recomputed(as_run(made), chosen, cutoff, tmp_path)] == []


def test_labels_are_what_a_second_hand_finds(made: Made) -> None:
    chosen = rebuild.SampledRows(pa.array(made.world.users), (Cutoff.of(CALENDAR, WEEK),))
    assert checks.labels_of(as_run(made), chosen) == []


def test_the_ranker_reads_graded_labels_impressions_and_what_is_barred(made: Made, tmp_path: Path) -> None:
    rows = pq.read_table(made.rows / "ranking.parquet")
    targets = len(Vocabulary.load(made.rows / "vocabulary").targets)
    likely = pa.array([[0.5] * targets] * rows.num_rows, pa.list_(pa.float32()))
    scores = rows.select(["user_id", "week"]).append_column("probabilities", likely)
    pq.write_table(scores, tmp_path / "out_of_time.parquet")
    world = examples.load(made.rows, tmp_path, SPEC)
    found = world.examples
    assert found.worth is not None
    assert found.shown is not None
    assert set(np.round(found.worth.values, 3).tolist()) <= {0.2, 0.6, 1.0}
    assert len(found.shown.values)
    happened: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for e in made.world.events:
        key = (str(e["user_id"]), CALENDAR.week(e["timestamp"]))  # type: ignore[arg-type]
        happened.setdefault(key, set()).add((str(e["item_id"]), str(e["event"])))
    ids = world.vocabulary.item_ids
    for b, key in enumerate(zip(found.rows.user_id, found.week.tolist(), strict=True)):
        shown = {item for item, kind in happened[key] if kind == "impression"}
        assert {ids[item] for item in found.shown.row(b)} == shown
    barred = found.rows.lists[records.BARRED]
    assert len(barred.values)
    for b, (user, week) in enumerate(zip(found.rows.user_id, found.week.tolist(), strict=True)):
        before = [kinds for (one, then), kinds in happened.items() if one == user and then < week]
        hidden = {item for kinds in before for item, kind in kinds if kind == "hide"}
        assert hidden <= {ids[item] for item in barred.row(b)}


@pytest.mark.usefixtures("own_store")
def test_the_store_s_rows_are_the_batch_s_and_an_event_moves_them_at_once(made: Made) -> None:
    steps.run_materialise("kinds", profiles=made.profiles, release_version="1")
    known = Vocabulary.load(made.profiles / "vocabulary")
    online = OnlineProfiles.open("kinds", Folding(CALENDAR, known, (7, 28, 91)))
    week = made.world.weeks + 1
    now = int(CALENDAR.start(week).timestamp())
    stored = records.read(online.read(made.world.users, now=now), known.signs)
    batch = pq.read_table(made.profiles / "user_history.parquet")
    mine = {row["user_id"]: row for row in batch.filter(pc.equal(batch["week"], week)).to_pylist()}
    assert stored.known.all()
    raw = online.read(made.world.users, now=now)
    for b, user in enumerate(made.world.users):
        for name in columns.HISTORY_LISTS:
            assert raw.lists[name].row(b).tolist() == pytest.approx(mine.get(user, {}).get(name) or []), (user, name)
    user = made.world.users[0]
    shown = next(
        item for item in known.item_ids if known.index_of_item[item] not in stored.lists[records.BARRED].row(0)
    )
    online.push_all({user: [Event(shown, "hide", now + 60, "new", known_at=now + 60, key="k1")]})
    after: UserRows = records.read(online.read([user], now=now + 120), known.signs)
    assert known.index_of_item[shown] in after.lists[records.BARRED].row(0)
