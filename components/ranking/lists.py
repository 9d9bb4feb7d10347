"""Training lists: the candidates of user-weeks as arrays, found and encoded by the code that serves.

A row's neighbour table is fitted before its week, block by block of weeks, so no label shapes its features.

Letters: B rows, M candidates over all rows, F features.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from components.ranking import cooccurrence, encode, learnt, metrics, places
from components.ranking.candidates import CandidateSet, candidates, recall
from components.ranking.catalogue import Catalogue
from components.ranking.examples import Examples, World
from components.ranking.graph import Graph
from components.ranking.history import History
from components.ranking.neighbours import Neighbours
from components.ranking.past import Past
from components.ranking.short import Short
from components.ranking.sources import SOURCES
from components.ranking.spec import Candidates
from feature_repo.calendar import Calendar
from feature_repo.rows import Ragged

CHUNK = 64  # rows encoded at a time: bounds the dense row x item views
BLOCK_WEEKS = 4  # training weeks that share a neighbour table
SCRAMBLE = (48_271, 11, 2_147_483_647)

Report = Callable[[float], None]
Fitted = Callable[[World, int], Neighbours]  # what was known at the start of a week


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


def tables(world: World, weeks: list[int], *, fitted: Fitted | None = None) -> dict[int, Neighbours]:
    """Fit a neighbour table for each training week, known before it; weeks of a block share one."""
    fitted = fitted or fitted_until
    found: dict[int, Neighbours] = {}
    for start in range(0, len(weeks), BLOCK_WEEKS):
        block = weeks[start : start + BLOCK_WEEKS]
        found |= dict.fromkeys(block, fitted(world, block[0]))
    return found


def fitted_until(world: World, until: int) -> Neighbours:
    """Fit neighbours and the world's sources on what was known at a week, by which alone they differ."""
    n_items = world.vocabulary.items.num_rows
    return fit_until(
        world.examples, n_items, until=until, learn=world.learn, calendar=world.calendar, ahead=world.ahead
    )


def fit_until(
    examples: Examples,
    n_items: int,
    *,
    until: int,
    learn: Collection[str] = (),
    calendar: Calendar | None = None,
    ahead: int = 1,
) -> Neighbours:
    """Fit the neighbour table, and the sources to `learn`, on what was known at the start of week `until`.

    With a calendar the sources learn from rows as of that week: who left long ago weighs less than who is here. Those
    that learn from labels, which look `ahead` weeks, need one.
    """
    rows = cooccurrence.latest_rows(examples.rows, examples.week, until=until)
    table = cooccurrence.fit(rows, n_items)
    if not learn:
        return table
    rows = rows if calendar is None else cooccurrence.as_of(rows, until, calendar)
    past = None if calendar is None else past_of(examples, until, calendar, ahead=ahead)
    return replace(table, learnt=learnt.fit(rows, n_items, learn, past))


def past_of(examples: Examples, until: int, calendar: Calendar, *, ahead: int = 1) -> Past:
    """Return the rows whose labels, which look `ahead` weeks, were known at the start of week `until`."""
    known = examples.take(np.flatnonzero((examples.week + ahead <= until) & examples.labelled))
    return Past(known.rows, known.week, known.bought, calendar)


def of_weeks(
    world: World,
    weeks: list[int],
    tables: dict[int, Neighbours],
    spec: Candidates,
    *,
    report: Report,
    passed_over: int | None = None,
    short: Short | None = None,
) -> Lists:
    """Find, encode and label the candidates of every row of the weeks.

    `passed_over`: what was shown in the week is in the list too, at most so many of those that were not wanted.
    `short`: some rows stand there a second time, after those of their week, with a history that was cut.
    """
    catalogue = Catalogue.of(world.vocabulary, world.item_state, week=weeks[0])
    parts = []
    for done, week in enumerate(weeks):
        at_week, graph = catalogue.with_state(world.item_state, week=week), world.graph(week)
        examples = world.examples.of_weeks([week])
        for chunk, barred in [*_whole(examples, world), *([] if short is None else _cut(examples, world, short, week))]:
            parts.append(
                _encoded(chunk, barred, at_week, world, table=tables[week], graph=graph, spec=spec,
                         passed_over=passed_over)
            )  # fmt: skip
        report((done + 1) / len(weeks))
    return _joined(parts)


def chunks(examples: Examples) -> Iterator[Examples]:
    """Cut rows into pieces whose dense views fit in memory."""
    for start in range(0, len(examples), CHUNK):
        yield examples.take(np.arange(start, min(start + CHUNK, len(examples))))


def _whole(examples: Examples, world: World) -> Iterator[tuple[Examples, np.ndarray]]:
    """Yield rows in pieces, with what their users may not be shown, bool [B, I]."""
    for chunk in chunks(examples):
        yield chunk, world.eligible.dense(chunk.rows, world.vocabulary.items.num_rows)


def _cut(examples: Examples, world: World, short: Short, week: int) -> Iterator[tuple[Examples, np.ndarray]]:
    """Yield some rows with a history that was cut; barred is what the whole history bars."""
    whom, kept = short.whom(examples, week)
    for start in range(0, len(whom), CHUNK):
        some = examples.take(whom[start : start + CHUNK])
        barred = world.eligible.dense(some.rows, world.vocabulary.items.num_rows)
        yield short.cut(some, kept[start : start + CHUNK]), barred


def _encoded(
    chunk: Examples,
    barred: np.ndarray,
    catalogue: Catalogue,
    world: World,
    *,
    table: Neighbours,
    graph: Graph | None,
    spec: Candidates,
    passed_over: int | None,
) -> Lists:
    history = History.of(chunk.rows, table, graph, world.vectors, calendar=world.calendar)
    brought = found = candidates(history, catalogue, spec, barred=barred)
    if chunk.shown is not None and passed_over is not None:
        found = with_shown(brought, chunk.shown, chunk.bought, ~barred, most=passed_over)
    facts = encode.facts(
        chunk.rows,
        found,
        history=history,
        probabilities=chunk.probabilities,
        catalogue=catalogue,
        calendar=world.calendar,
        signs=world.vocabulary.signs,
        starts=places.baselines_of(world.features),
    )
    n_items, keys = len(catalogue), found.row * len(catalogue) + found.item
    bought = np.isin(keys, chunk.bought.row_of_value() * n_items + chunk.bought.values)
    worth = chunk.worth
    return Lists(
        features=encode.matrix(facts, world.features),
        bought=bought,
        wanted=np.diff(chunk.bought.offsets),
        offsets=found.offsets,
        recall=recall(brought, chunk.bought, n_items),
        worth=None if worth is None else metrics.worth_of(keys, chunk.bought, worth, n_items).astype(np.float32),
        ideal=None if worth is None else metrics.ideal_gain(worth, metrics.K),
    )


def with_shown(found: CandidateSet, shown: Ragged, wanted: Ragged, allowed: np.ndarray, *, most: int) -> CandidateSet:
    """Add what each row's user was shown and may be, bool [B, I]: all that was wanted, and `most` of the rest.

    Whoever was shown an item and left it says more than one who never saw it. Which ones are taken is a scramble of
    row and item, so that neither popular items nor the first of a page are preferred.
    """
    n_items = allowed.shape[1]
    row = shown.row_of_value()
    keys = np.unique(row * n_items + shown.values)
    keys = keys[allowed.reshape(-1)[keys] & ~np.isin(keys, found.row * n_items + found.item)]
    left = ~np.isin(keys, wanted.row_of_value() * n_items + wanted.values)
    place = (keys * SCRAMBLE[0] + SCRAMBLE[1]) % SCRAMBLE[2]
    order = np.lexsort((place, left, keys // n_items))
    keys, left = keys[order], left[order]
    passed = np.cumsum(left)
    before = np.concatenate([[0], passed])[np.searchsorted(keys // n_items, keys // n_items)]
    keys = keys[~left | (passed - before <= most)]
    every = np.concatenate([found.row * n_items + found.item, keys])
    source = np.concatenate([found.source, np.full(len(keys), SOURCES[-1].code, dtype=np.int8)])
    order = np.argsort(every)
    rows, items = np.divmod(every[order], n_items)
    return CandidateSet(items, source[order], np.searchsorted(rows, np.arange(len(found.offsets))))


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
