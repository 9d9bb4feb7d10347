"""The contract of every candidate source."""

import dataclasses
import functools

import numpy as np
import pytest

from components.ranking import encode, learnt
from components.ranking.candidates import given
from components.ranking.catalogue import Catalogue
from components.ranking.graph import Graph
from components.ranking.history import History
from components.ranking.neighbours import Arrays, Neighbours
from components.ranking.past import Past
from components.ranking.score import Ranker
from components.ranking.scored import FACT
from components.ranking.sources import LEARNT, NAMES, PHRASES, SOURCES, Source, finder
from components.ranking.sources.context import Context
from components.ranking.spec import Candidates, Ranking
from feature_repo import columns
from feature_repo.rows import Ragged, UserRows
from tests.ranking.board import CALENDAR, ITEMS, Happened, checkerboard, intents, known_row, user_rows
from tests.ranking.content_worlds import vectors_of_numbers

ENTITIES = np.stack([np.arange(ITEMS) % 4, 4 + np.arange(ITEMS) % 5], axis=1)  # two of each item
EVERY = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)


@pytest.fixture
def context(ranker: Ranker, catalogue: Catalogue, happened: dict[str, Happened]) -> Context:
    """Give six users, of whom every third item is taken: brought before, or not to be shown."""
    rows = user_rows(*(known_row(user, happened[user], 21) for user in list(happened)[:6]))
    return of_rows(history_of(rows, ranker), catalogue)


def history_of(rows: UserRows, ranker: Ranker) -> History:
    """Tie the items as if they were people: each to those seven and eleven on, and five of them to each user.

    Each has a vector of its number, so that some are like a user's own.
    """
    one = np.repeat(np.arange(ITEMS), 2)
    graph = Graph.of(one, (one + np.tile([7, 11], ITEMS)) % ITEMS, {f"i{n}": n for n in range(ITEMS)})
    wrote = [(np.arange(5) * 6 + int(str(user)[1:]) + 1) % ITEMS for user in rows.user_id]
    offsets = np.arange(len(rows) + 1) * 5
    values = dict.fromkeys(columns.RECEIVED_LISTS, np.ones(5 * len(rows)))
    values |= {"received_items": np.concatenate(wrote), "received_last_at": np.tile(np.arange(5.0) + 9, len(rows))}
    lists = {name: Ragged(value, offsets) for name, value in values.items()}
    tied = dataclasses.replace(rows, lists={**rows.lists, **lists})
    return History.of(tied, fitted(ranker), graph, vectors_of_numbers(ITEMS), calendar=CALENDAR)


@functools.cache
def _arrays() -> dict[str, Arrays]:
    world = checkerboard()
    everyone = user_rows(*(known_row(user, world[user], 19) for user in world))
    known = [known_row(user, world[user], week) for week in (17, 18) for user in world]
    bought = [row["bought"] for row in known]
    labels = Ragged(np.array([item for items in bought for item in items]), np.cumsum([0, *map(len, bought)]))
    past = Past(user_rows(*known), np.array([row["week"] for row in known]), labels, CALENDAR)
    return learnt.fit(everyone, ITEMS, LEARNT, past)


def fitted(ranker: Ranker) -> Neighbours:
    """Give the ranker's neighbours with what every source learns of the board."""
    return dataclasses.replace(ranker.neighbours, learnt=_arrays())


def of_rows(history: History, catalogue: Catalogue) -> Context:
    """Take every third item, put every other one into the week's flyer, and let the last three be later ones."""
    had = np.zeros((history.n_rows, ITEMS), dtype=bool)
    had[history.row, history.item] = True
    taken = np.zeros_like(had)
    taken[:, ::3] = True
    flyer = {"offer_flyer": (np.arange(ITEMS) % 2).astype(np.float64)}
    shown = dataclasses.replace(catalogue, state=catalogue.state | flyer, learnt=ITEMS - 3, entities=ENTITIES)
    return Context(history, shown, had, taken)


@EVERY
def test_a_source_brings_each_row_at_most_its_limit_of_items_and_none_twice(source: Source, context: Context) -> None:
    for limit in (1, 3, 500):
        keys = finder(source.name).candidates(context, limit)
        assert keys.dtype == np.int64
        assert len(set(keys.tolist())) == len(keys)
        assert ((keys >= 0) & (keys < context.had.size)).all()
        assert np.bincount(keys // ITEMS, minlength=6).max() <= limit


@EVERY
def test_a_source_brings_nothing_that_is_taken(source: Source, context: Context) -> None:
    keys = finder(source.name).candidates(context, 500)
    assert len(keys)
    assert not context.taken.reshape(-1)[keys].any()


@EVERY
def test_a_source_brings_no_item_of_a_history_that_is_taken(source: Source, context: Context) -> None:
    """Under `repeat: forbid` candidates.py has taken it: who brings only what a user had brings nothing."""
    keys = finder(source.name).candidates(dataclasses.replace(context, taken=context.had.copy()), 500)
    assert not context.had.reshape(-1)[keys].any()
    assert bool(len(keys)) == source.brings_new


@EVERY
def test_a_source_brings_nothing_where_everything_is_taken(source: Source, context: Context) -> None:
    everything = dataclasses.replace(context, taken=np.ones_like(context.had))
    assert len(finder(source.name).candidates(everything, 500)) == 0


@EVERY
def test_rows_together_get_what_each_gets_alone(
    source: Source, context: Context, ranker: Ranker, catalogue: Catalogue, happened: dict[str, Happened]
) -> None:
    together = finder(source.name).candidates(context, 4)
    for b, user in enumerate(list(happened)[:6]):
        rows = user_rows(known_row(user, happened[user], 21))
        alone = finder(source.name).candidates(of_rows(history_of(rows, ranker), catalogue), 4)
        assert sorted(alone) == sorted(together[together // ITEMS == b] - b * ITEMS)


@EVERY
def test_a_source_that_is_off_brings_nothing(source: Source, context: Context) -> None:
    if not source.least:
        assert len(finder(source.name).candidates(context, 0)) == 0


@EVERY
def test_an_answer_can_quote_what_a_source_names_as_its_reasons(
    source: Source, ranker: Ranker, happened: dict[str, Happened]
) -> None:
    rows = user_rows(known_row("u00", happened["u00"], 21))
    history = history_of(rows, ranker)
    facts = encode.facts(
        rows,
        given(history, np.arange(ITEMS)),
        history=history,
        probabilities=np.array([intents("u00")], np.float32),
        catalogue=dataclasses.replace(ranker.catalogue, entities=ENTITIES),
        calendar=ranker.calendar,
    )
    reasons = finder(source.name).REASONS
    assert reasons
    assert {FACT.get(reason, reason) for reason in reasons} <= {*facts, *columns.ITEM_NUMBERS}
    assert {reason for reason, _ in source.phrases} <= {*reasons} & {*PHRASES}


@EVERY
def test_the_spec_has_a_sources_limit(source: Source) -> None:
    assert Candidates().limit(source.name) == source.limit
    with pytest.raises(ValueError, match="greater than or equal"):
        Candidates(**{source.name: source.least - 1})
    assert Candidates.model_fields[source.name].description == source.about


def test_codes_are_the_positions_of_the_names_and_never_move() -> None:
    assert sorted(source.code for source in SOURCES) == list(range(len(SOURCES)))
    assert NAMES[:4] == ("history", "neighbours", "popular", "offers")


def test_the_last_source_fills_up_and_claims_what_nobody_claims() -> None:
    assert SOURCES[-1].name == "popular"
    assert finder("popular").brings(None, np.arange(3)).all()  # type: ignore[arg-type]


def test_the_spec_of_before_reads_the_same() -> None:
    assert Ranking().model_dump()["candidates"] == {"history": 150, "neighbours": 100, "offers": 50, "popular": 50}
    assert Candidates(history=150, neighbours=100, popular=50).limit("offers") == 50
    with pytest.raises(ValueError, match="extra"):
        Candidates(histories=1)
