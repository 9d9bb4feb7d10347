"""The made-up row of the warm-up is a row like users' own."""

import dataclasses

import numpy as np

from bentos.recommender import warmup
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.rows import LIST_TYPES
from feature_repo.update import Folding
from tests.bentos.conftest import DATA_END, World, vocabulary


def test_the_row_has_a_history_and_every_list(world: World) -> None:
    folding = Folding(Calendar("2016-12-26"), vocabulary(), (7, 28, 91), "purchase")
    row = warmup.row(folding, "u", now=DATA_END)
    assert row.known.all()
    unheld = {
        *columns.RECEIVED_LISTS,
        *columns.EVENT_LISTS,
        *columns.EVENT_TEXT_LISTS,
    }  # of items that are people; of models that read events
    assert set(row.lists) == set(LIST_TYPES) - unheld
    reading = warmup.row(dataclasses.replace(folding, events=True), "u", now=DATA_END)
    assert set(reading.lists) == set(LIST_TYPES) - {*columns.RECEIVED_LISTS, *columns.EVENT_TEXT_LISTS}
    assert len(reading.lists["event_at"].values) == 6
    assert sorted(row.lists["history_items"].values.tolist()) == [0, 1, 2, 3, 4, 5]
    assert row.numbers["events_total"].tolist() == [6.0]
    assert row.state_at[0] <= row.now[0] == DATA_END
    assert all(np.isfinite(values).all() for values in row.numbers.values())


def test_warming_up_reads_the_store_once_and_logs_nothing(world: World) -> None:
    folding = Folding(Calendar("2016-12-26"), vocabulary(), (7, 28, 91), "purchase")
    door = world.door()
    before = world.profiles.reads
    door.warm_up(folding)
    assert world.profiles.reads == before + 1
    assert list((world.folder / "requests").glob("*.jsonl")) == []
