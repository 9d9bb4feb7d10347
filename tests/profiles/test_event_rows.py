"""Rows that hold the event memory as lists: the same offline, online and in batch, and nothing of the future."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from components.profiles.online import materialise, row_stream, scoring_rows
from components.profiles.training import training_set
from feature_repo import columns, event_lists, memory
from feature_repo.errors import DataError
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.rows import UserRows
from feature_repo.update import Event
from feature_repo.vocabulary import Vocabulary
from tests import worlds
from tests.profiles.conftest import RANKING, SPLIT, Made
from tests.profiles.test_memories import known_before

pytestmark = pytest.mark.world
PROFILES = json.dumps({"windows_days": [7, 28, 91], "segments": {"k": 2}, "memory": "training"})


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return the checkerboard's folders, of a spec whose models may read events."""
    folder, world = tmp_path_factory.mktemp("events"), worlds.checkerboard(users=12)
    made = Made(world, world.write(folder / "clean"), folder / "profiles", folder / "rows")
    vocabulary = json.dumps(worlds.VOCABULARY)
    steps.run_profiles(PROFILES, SPLIT, vocabulary, clean=made.clean, destination=made.profiles)
    steps.run_training_set(SPLIT, RANKING, clean=made.clean, profiles=made.profiles, destination=made.rows)
    return made


def test_a_training_row_holds_the_events_that_were_known_before_its_week(remembered: Made) -> None:
    table, calendar = pq.read_table(remembered.rows / "intent.parquet"), remembered.world.calendar
    rows, known = (
        UserRows.from_arrow(table.drop(["week", "label_ids"])),
        Vocabulary.load(remembered.rows / "vocabulary"),
    )
    for b in range(0, table.num_rows, 7):
        events = known_before(remembered.world, str(rows.user_id[b]), calendar.start(table["week"][b].as_py()))
        want = event_lists.of([memory.encode(events)], known)
        for name in columns.EVENT_LISTS:
            assert rows.lists[name].row(b).tolist() == want[name].values.tolist(), (b, name)
    assert max(len(rows.lists["event_at"].row(b)) for b in range(len(rows))) > 20


def test_rows_of_a_spec_that_keeps_none_hold_none(made: Made) -> None:
    assert not {*columns.EVENT_LISTS} & {*pq.read_schema(made.rows / "intent.parquet").names}


def test_a_memory_that_knows_of_its_cutoff_is_refused() -> None:
    text = memory.encode(
        [memory.Remembered(99, "s", "i1", "view", 0.0), memory.Remembered(100, "s", "i1", "view", 0.0)]
    )
    nothing = pa.table({"item_id": pa.array([], pa.string()), "target_id": pa.array([], pa.int32())})
    rows = pa.table({"user_id": ["a"], "week": [7], "now": [100], "memory": [text]})
    with pytest.raises(DataError, match=r"row of week 7 holds an event at 100, which its cutoff 100 does not know"):
        training_set.with_events(rows, rows, Vocabulary((), nothing, nothing))
    later = rows.set_column(2, "now", pa.array([101]))
    held = training_set.with_events(later, later, Vocabulary((), nothing, nothing))
    assert held["event_at"].to_pylist() == [[99, 100]]


@pytest.mark.usefixtures("own_store")
def test_the_store_and_the_batch_give_the_same_lists_and_a_push_adds_to_them(remembered: Made) -> None:
    steps.run_materialise("world", profiles=remembered.profiles, release_version="1")
    folds = materialise.folding(remembered.profiles)
    assert folds.events
    profiles, users = OnlineProfiles.open("world", folds), remembered.world.users
    end = int(materialise.data_end(remembered.profiles).timestamp())
    online = profiles.read([*users, "nobody"], now=end)
    wanted = pa.array(users, pa.string())
    states = next(
        iter(row_stream.rows(remembered.profiles, wanted, data_end=materialise.data_end(remembered.profiles), batch=99))
    )
    want = event_lists.of([states[user][columns.MEMORY] for user in users], folds.vocabulary)

    class Fresh(scoring_rows.FreshnessRule):
        def __init__(self) -> None:
            pass

        def of(self, state: scoring_rows.Row) -> dict[str, object]:
            return {"now": end, columns.STATE_AT: state[columns.STATE_AT], "group": 0, "rung": "fresh"}

    batch = UserRows.from_arrow(scoring_rows._table(states, folds, Fresh()).drop(["group", "rung"]))
    for b, user in enumerate(users):
        at = list(states).index(user)
        for name in columns.EVENT_LISTS:
            assert online.lists[name].row(b).tolist() == want[name].row(b).tolist(), (user, name)
            assert batch.lists[name].row(at).tolist() == want[name].row(b).tolist(), (user, name)
    assert not len(online.lists["event_at"].row(len(users)))
    before = online.lists["event_at"].row(3)
    profiles.push_all({users[3]: [Event("i1", "view", end + 5, "new")]})
    after = profiles.read([users[3]], now=end + 9)
    assert after.lists["event_at"].values.tolist() == [*before.tolist(), end + 5][-64:]
    assert after.lists["event_opens"].values[-1] == 1
    plain = OnlineProfiles(profiles.online, dataclasses.replace(folds, events=False))
    assert not {*columns.EVENT_LISTS} & {*plain.read(users, now=end).lists}
    assert np.array_equal(
        plain.read(users, now=end).numbers["last_at"], profiles.read(users, now=end).numbers["last_at"]
    )
