"""Values of an item attribute for a user, such as brands or artists: from the very candidates and scores of the items.

A value's score is a mix of two shares: what its items have of the ranker's softmax over the candidates (a network is
trained listwise, so that is what it predicts), and what they have of the user's decayed history. How much of each is
chosen on the validation weeks, attribute by attribute. Popularity orders what both leave at nothing. A value is listed
only if the user may be shown an item of it, so the rules of items hold. `offers` is an attribute too, where the items
have none of that name: its values are the items that are in the week's flyer, on display or have a coupon.

Letters: B rows, I items, M candidates over all rows, V values, P pairs of an item and a value.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ranking import lists, metrics
from components.ranking.baseline_net import BaselineNet
from components.ranking.metrics import K
from feature_repo import columns
from feature_repo.errors import SpecError, nearest
from feature_repo.rows import Ragged, UserRows
from feature_repo.vocabulary import Vocabulary

if TYPE_CHECKING:
    from components.ranking.catalogue import Catalogue
    from components.ranking.examples import Examples, World
    from components.ranking.score import Ranker
    from components.ranking.scored import Scored

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the ranker in the mix; ties in validation take the first
LESS = 1e-6  # of popularity: below any share of a history or of a softmax that matters
OFFERS = "offers"  # in the place of an attribute: the items on offer
SHOWN = 3  # items that stand for a value in an answer
SHARE = columns.SHARES[1]
NO_VALUES = (columns.ITEM_INDEX, columns.ITEM_ID, columns.TITLE)
DIGITS = 6


@dataclass(frozen=True)
class ValueTable:
    """Which values of one attribute the items have; an item may have several."""

    values: tuple[str, ...]  # [V] in the order of text
    item: np.ndarray  # [P] int64
    value: np.ndarray  # [P] int64

    @classmethod
    def of(cls, vocabulary: Vocabulary, column: str) -> "ValueTable":
        """Read a column of the items, text or lists of text."""
        held = vocabulary.items[column].to_pylist()
        pairs = {(n, one) for n, row in enumerate(held) for one in (row if isinstance(row, list) else [row]) if one}
        values = tuple(sorted({one for _, one in pairs}))
        place = {one: number for number, one in enumerate(values)}
        ordered = sorted((n, place[one]) for n, one in pairs)
        item, value = (np.asarray([pair[side] for pair in ordered], dtype=np.int64) for side in (0, 1))
        return cls(values, item, value)

    @classmethod
    def of_offers(cls, catalogue: "Catalogue", item_ids: Sequence[str]) -> "ValueTable":
        """Take each item that is on offer as a value of its own, by its id."""
        item = np.flatnonzero(np.max([catalogue.state[name] for name in columns.TARGET_OFFERS], axis=0) > 0)
        return cls(tuple(item_ids[n] for n in item.tolist()), item, np.arange(len(item)))

    def spread(self, weight: np.ndarray) -> np.ndarray:
        """Sum items' weights [B, I] over their values, [B, V]; an item of several values counts for each."""
        found = np.zeros((len(weight), len(self.values)))
        np.add.at(found.T, self.value, weight[:, self.item].T)
        return found

    def wanted(self, items: Ragged) -> Ragged:
        """Return the values of each row's items, each once, in order."""
        row = items.row_of_value()
        order = np.argsort(self.item, kind="stable")
        first, last = (np.searchsorted(self.item[order], items.values, side) for side in ("left", "right"))
        length = last - first
        at = np.repeat(first - np.concatenate([[0], np.cumsum(length)[:-1]]), length) + np.arange(length.sum())
        keys = np.unique(np.repeat(row, length) * max(len(self.values), 1) + self.value[order][at])
        rows, values = np.divmod(keys, max(len(self.values), 1))
        return Ragged(values, np.searchsorted(rows, np.arange(len(items.offsets))).astype(np.int64))


@dataclass(frozen=True)
class RecommendedValue:
    """One value for a user: why, and the items that stand for it."""

    value: str
    score: float  # share, 0..1
    source: str  # of its best item; history or popular where no candidate has it
    items: tuple[int, ...]  # its best candidates, best first
    reasons: dict[str, float]


def require(vocabulary: Vocabulary, wanted: Sequence[str], item_state: pa.Table | None = None) -> None:
    """Refuse an attribute that items lack, or that is no text; offers where `item_state` has none in any step."""
    have = [field.name for field in vocabulary.items.schema if _is_text(field.type) and field.name not in NO_VALUES]
    for place, name in enumerate(wanted):
        if name == OFFERS and name not in have and item_state is not None:
            if not any(pc.max(item_state[one]).as_py() for one in columns.TARGET_OFFERS):
                raise SpecError(
                    f"models.ranking.recommend[{place}]: the source has no offers of these items; say "
                    "data.source.offers, or leave it out"
                )
            continue
        if name not in have:
            raise SpecError(
                f"models.ranking.recommend[{place}]: '{name}' is no text attribute of the items; have "
                f"{', '.join(have) or 'none'}{nearest(name, have)}"
            )
        if not ValueTable.of(vocabulary, name).values:
            raise SpecError(f"models.ranking.recommend[{place}]: no item has a value of '{name}'; leave it out")


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


@dataclass(frozen=True)
class Parts:
    """What values are scored by, each [B, V]."""

    by_ranker: np.ndarray  # share of the softmax
    by_history: np.ndarray  # share of the decayed history
    popular: np.ndarray  # share of users who had an item of it lately
    allowed: np.ndarray  # bool: there is an item that the user may be shown

    def mixed(self, share: float) -> np.ndarray:
        """Mix what the ranker and the history say; -1 where nothing may be shown."""
        found = share * self.by_ranker + (1 - share) * self.by_history + LESS * self.popular
        return np.where(self.allowed, np.round(found, DIGITS + 4), -1.0)


def parts(
    table: ValueTable,
    rows: UserRows,
    scored: "Scored",
    catalogue: "Catalogue",
    *,
    barred: np.ndarray | None,
    formula: bool,
    without: Collection[int] = (),
) -> Parts:
    """Score every value for rows [B]; `without` are items that no row may be shown."""
    n_rows, n_items = len(rows), len(catalogue)
    free = np.ones((n_rows, n_items), dtype=bool) if barred is None else ~barred
    free[:, list(without)] = False
    weight = np.zeros((n_rows, n_items))
    weight[scored.found.row, scored.found.item] = shares(scored, formula=formula)
    history = np.zeros((n_rows, n_items))
    had = rows.lists["history_items"]
    history[had.row_of_value(), had.values] = np.maximum(rows.lists["history_slow"].values, 0)
    weight *= free
    return Parts(
        by_ranker=table.spread(weight),
        by_history=table.spread(history / np.maximum(history.sum(axis=1, keepdims=True), 1e-12)),
        popular=np.tile(table.spread(catalogue.state[SHARE][None]), (n_rows, 1)),
        allowed=table.spread(free.astype(np.float64)) > 0,
    )


def shares(scored: "Scored", *, formula: bool) -> np.ndarray:
    """Return each candidate's share of its row, float64 [M]: a softmax; of a formula's scores their own share."""
    row, starts = scored.found.row, scored.found.offsets[:-1]
    if not len(row):
        return np.empty(0)
    scores, n_rows = scored.scores.astype(np.float64), len(starts)
    if formula:
        raised = np.maximum(scores, 0.0)
    else:
        highest = np.full(n_rows, -np.inf)
        np.maximum.at(highest, row, scores)
        raised = np.exp(scores - highest[row])
    return np.asarray(raised / np.maximum(np.bincount(row, raised, minlength=n_rows), 1e-12)[row])


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return each row's best k values of scores [B, V] that may be shown, -1 past the last, ties by value, [B, k]."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    kept = np.where(np.take_along_axis(scores, order, axis=1) >= 0, order, -1)
    return np.pad(kept, ((0, 0), (0, k - kept.shape[1])), constant_values=-1)


def recommended(
    ranker: "Ranker", rows: UserRows, scored: "Scored", *, attribute: str, k: int, exclude: Collection[int] = ()
) -> list[RecommendedValue]:
    """Return the best k values for one row (B = 1), given its scored candidates."""
    table = ranker.value_table(attribute)
    formula, barred = isinstance(ranker.net, BaselineNet), ranker.barred(rows)
    known = parts(table, rows, scored, ranker.catalogue, barred=barred, formula=formula, without=exclude)
    mixed = known.mixed(ranker.recommends[attribute])
    unwanted = np.asarray(list(exclude), dtype=np.int64)
    order = np.argsort(-scored.scores, kind="stable")
    order = order[~np.isin(scored.found.item[order], unwanted)]
    return [_one(attribute, table, ranker, scored, known, mixed, order, int(v)) for v in best(mixed, k)[0] if v >= 0]


def _one(
    attribute: str,
    table: ValueTable,
    ranker: "Ranker",
    scored: "Scored",
    known: Parts,
    mixed: np.ndarray,
    order: np.ndarray,
    value: int,
) -> RecommendedValue:
    mine = order[np.isin(scored.found.item[order], table.item[table.value == value])][:SHOWN]
    history = float(known.by_history[0, value])
    if len(mine):
        first = scored.recommended(mine[:1])[0]
        source, reasons = first.source, first.reasons
    else:
        source, reasons = ("history" if history > 0 else "popular"), {}
    shares_of = {
        "share_of_ranking": float(known.by_ranker[0, value]),
        "share_of_history": history,
        "popular_share": float(known.popular[0, value]),
    }
    if ranker.lists_offers(attribute):
        shares_of |= {name: float(ranker.catalogue.state[name][table.item[value]]) for name in columns.TARGET_OFFERS}
    told = reasons | {name: round(share, 4) for name, share in shares_of.items() if round(share, 4) > 0}
    return RecommendedValue(
        table.values[value], float(mixed[0, value]), source, tuple(scored.found.item[mine].tolist()), told
    )


def fitted(ranker: "Ranker", world: "World", weeks: Sequence[int], wanted: Sequence[str]) -> "Ranker":
    """Choose for each attribute how much the ranker counts beside the history, by NDCG@10 of its values."""
    if not wanted:
        return ranker
    ranker = replace(ranker, recommends=dict.fromkeys(wanted, SHARES[0]))
    ndcg = {name: np.zeros(len(SHARES)) for name in wanted}
    for at_week, chunk, scored in ranked(ranker, world, weeks):
        for name in wanted:
            table = at_week.value_table(name)
            known = of_chunk(at_week, chunk, scored, table)
            for place, share in enumerate(SHARES):
                found = metrics.per_row(best(known.mixed(share), K), table.wanted(chunk.bought), len(table.values))
                ndcg[name][place] += found.ndcg[found.counts].sum()
    return replace(ranker, recommends={name: SHARES[int(np.argmax(np.round(ndcg[name], 6)))] for name in wanted})


def ranked(ranker: "Ranker", world: "World", weeks: Sequence[int]) -> "Iterator[tuple[Ranker, Examples, Scored]]":
    """Yield the rows of weeks in chunks, with the ranker as of the week and its scored candidates."""
    for week in weeks:
        at_week = ranker.at(world.item_state, week=week, graph=world.graph(week))
        for chunk in lists.chunks(world.examples.of_weeks([week])):
            yield at_week, chunk, at_week.rank(chunk.rows, chunk.probabilities)


def of_chunk(ranker: "Ranker", chunk: "Examples", scored: "Scored", table: ValueTable) -> Parts:
    """Score the values for all rows of a chunk."""
    formula = isinstance(ranker.net, BaselineNet)
    rows = ranker.read(chunk.rows)
    return parts(table, rows, scored, ranker.catalogue, barred=ranker.barred(rows), formula=formula)


def report(
    ranker: "Ranker", world: "World", *, part: str = "test"
) -> dict[str, dict[str, Mapping[str, float] | list[float] | float]]:
    """Judge each attribute's lists on test weeks beside what is popular and the decayed frequency of the history.

    `gain` is the 95 % interval over users of NDCG@10 over the better of the two, chosen by its mean.
    """
    if not ranker.recommends:
        return {}
    ranker = replace(ranker, eligible=world.eligible)
    found: dict[str, dict[str, list[metrics.PerRow]]] = {
        name: {"model": [], "popular": [], "decayed_frequency": []} for name in ranker.recommends
    }
    users = []
    for at_week, chunk, scored in ranked(ranker, world, world.weeks(part)):
        users.append(chunk.rows.user_id)
        for name, share in ranker.recommends.items():
            table = at_week.value_table(name)
            known, wanted = of_chunk(at_week, chunk, scored, table), table.wanted(chunk.bought)
            nothing = np.zeros_like(known.by_ranker)
            orders = {
                "model": known.mixed(share),
                "popular": replace(known, by_history=nothing).mixed(0.0),
                "decayed_frequency": known.mixed(0.0),
            }
            for label, scores in orders.items():
                found[name][label].append(metrics.per_row(best(scores, K), wanted, len(table.values)))
    return {
        name: _judged(ones, np.concatenate(users), ranker.recommends[name], len(ranker.value_table(name).values))
        for name, ones in found.items()
    }


def _judged(
    found: Mapping[str, Sequence[metrics.PerRow]], user_id: np.ndarray, share: float, values: int
) -> dict[str, Mapping[str, float] | list[float] | float]:
    whole = {
        name: metrics.PerRow(
            *(np.concatenate([getattr(one, part) for one in ones]) for part in ("ndcg", "recall", "hit", "counts"))
        )
        for name, ones in found.items()
    }
    means = {name: {metric: round(v, 5) for metric, v in one.mean().items()} for name, one in whole.items()}
    counts, ndcg = whole["model"].counts, f"ndcg_at_{K}"
    told: dict[str, Mapping[str, float] | list[float] | float] = {**means}
    told |= {"share_of_ranking": share, "values": float(values), "rows": float(counts.sum())}
    if counts.any():
        beside = max(("popular", "decayed_frequency"), key=lambda name: means[name][ndcg])
        gain = {"gain": whole["model"].ndcg - whole[beside].ndcg}
        told |= metrics.intervals(gain, user_id, counts)
    return told
