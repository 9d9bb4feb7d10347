"""The registry's example of a ranker of people has who acted on the user, and the ranker reads it."""

import datetime as dt

import numpy as np

from components.ranking.graph import Graph, Ties
from components.registry import frames
from feature_repo import columns
from feature_repo.calendar import Calendar


def test_the_example_of_people_is_read_as_a_row_with_ties() -> None:
    lists = frames.RANKING_LISTS + columns.RECEIVED_LISTS
    last = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
    frame = frames.example(lists=lists, windows_days=(7,), last=last, calendar=Calendar("2024-01-01"))
    rows = frames.user_rows(frame)
    graph = Graph.of(np.array([0]), np.array([1]), {"known": 0, "other": 1})
    assert Ties.of(rows, graph).received.tolist() == [[1.0, 0.0], [0.0, 0.0]]  # the second user is nobody
    assert {one.name for one in frames.schema(frame).inputs} >= {*columns.RECEIVED_LISTS}
