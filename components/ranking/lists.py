"""Training lists: the candidates of user-weeks as arrays, found and encoded by the code that serves.

A row's neighbour table is fitted before its week, block by block of weeks, so no label shapes its features.

Letters: B rows, M candidates over all rows, F features.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from components.ranking import cooccurrence, encode, metrics
from components.ranking.candidates import candidates, recall
from components.ranking.catalogue import Catalogue
from components.ranking.examples import Examples, World
from components.ranking.graph import Graph
from components.ranking.history import History
from components.ranking.neighbours import Neighbours
from components.ranking.spec import Candidates
from feature_repo.dropped_features import kept

CHUNK = 64  # rows encoded at a time: bounds the dense row x item views
BLOCK_WEEKS = 4  # training weeks that share a neighbour table

Report = Callable[[float], None]


@dataclass(frozen=True)
class Lists:
    """Encoded candidates of B rows, by row; row b owns offsets[b]:offsets[b + 1]."""

    features: np.ndarray  # [M, F] float32
    bought: np.ndarray  # [M] bool: the candidate was bought in the row's week
    wanted: np.ndarray  # [B] int64: items bought in the week, candidates or not
    offsets: np.ndarray  # [B + 1] int64
    worth: np.ndarray | None = field(default=None, kw_only=True)  # [M] float32: how much bought ones are wanted, 0..1
    ideal: np.ndarray | None = field(default=None, kw_only=True)  # [B]: gain of the best order; None: all alike
    recall: float  # mean share of the bought items that are candidates

    def __len__(self) -> int:
        return len(self.wanted)


def tables(world: World, weeks: list[int]) -> dict[int, Neighbours]:
    """Fit a neighbour table for each training week, known before it; weeks of a block share one."""
    n_items = world.vocabulary.items.num_rows
    found: dict[int, Neighbours] = {}
    for start in range(0, len(weeks), BLOCK_WEEKS):
        block = weeks[start : start + BLOCK_WEEKS]
        found |= dict.fromkeys(block, fit_until(world.examples, n_items, until=block[0]))
    return found


def fit_until(examples: Examples, n_items: int, *, until: int) -> Neighbours:
    """Fit the neighbour table on what was known at the start of week `until`."""
    return cooccurrence.fit(cooccurrence.latest_rows(examples.rows, examples.week, until=until), n_items)


def of_weeks(
    world: World, weeks: list[int], tables: dict[int, Neighbours], spec: Candidates, *, report: Report
) -> Lists:
    """Find, encode and label the candidates of every row of the weeks."""
    catalogue = Catalogue.of(world.vocabulary, world.item_state, week=weeks[0])
    parts = []
    for done, week in enumerate(weeks):
        at_week, graph = catalogue.with_state(world.item_state, week=week), world.graph(week)
        for chunk in chunks(world.examples.of_weeks([week])):
            parts.append(_encoded(chunk, at_week, world, table=tables[week], graph=graph, spec=spec))
        report((done + 1) / len(weeks))
    return _joined(parts)


def chunks(examples: Examples) -> Iterator[Examples]:
    """Cut rows into pieces whose dense views fit in memory."""
    for start in range(0, len(examples), CHUNK):
        yield examples.take(np.arange(start, min(start + CHUNK, len(examples))))


def _encoded(
    chunk: Examples, catalogue: Catalogue, world: World, *, table: Neighbours, graph: Graph | None, spec: Candidates
) -> Lists:
    history = History.of(chunk.rows, table, graph)
    found = candidates(history, catalogue, spec, barred=world.eligible.dense(chunk.rows, len(catalogue)))
    facts = encode.facts(
        chunk.rows,
        found,
        history=history,
        probabilities=chunk.probabilities,
        catalogue=catalogue,
        calendar=world.calendar,
    )
    n_items, keys = len(catalogue), found.row * len(catalogue) + found.item
    bought = np.isin(keys, chunk.bought.row_of_value() * n_items + chunk.bought.values)
    worth = chunk.worth
    return Lists(
        features=encode.matrix(facts, kept(encode.features(people=graph is not None), world.dropped)),
        bought=bought,
        wanted=np.diff(chunk.bought.offsets),
        offsets=found.offsets,
        recall=recall(found, chunk.bought, n_items),
        worth=None if worth is None else metrics.worth_of(keys, chunk.bought, worth, n_items).astype(np.float32),
        ideal=None if worth is None else metrics.ideal_gain(worth, metrics.K),
    )


def _joined(parts: list[Lists]) -> Lists:
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    rows = np.asarray([len(part) for part in parts])
    return Lists(
        features=np.concatenate([part.features for part in parts]),
        bought=np.concatenate([part.bought for part in parts]),
        wanted=np.concatenate([part.wanted for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        recall=float(np.average([part.recall for part in parts], weights=rows)),
        worth=_all([part.worth for part in parts]),
        ideal=_all([part.ideal for part in parts]),
    )


def _all(parts: list[np.ndarray | None]) -> np.ndarray | None:
    found = [part for part in parts if part is not None]
    return np.concatenate(found) if found else None
