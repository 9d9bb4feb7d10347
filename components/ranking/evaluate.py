"""Judge a ranker and the baselines on the same user-weeks: means, intervals over users, cohorts.

A row's target is every vocabulary item bought in its week; where the spec forbids repeats, every one that is new to the
user. `explore` ranks and counts only items that the user's history does not hold. A metric that no row has a target for
is undefined, and left out. The item arrays are those known at each week; the neighbours are the model's own.

Letters: R rows, K positions.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from components.ranking import list_figures, lists, metrics, uncertainty
from components.ranking.baselines import of_world
from components.ranking.candidates import recall
from components.ranking.catalogue import Catalogue
from components.ranking.cohorts import COHORTS
from components.ranking.examples import Examples, World
from components.ranking.graph import Ties
from components.ranking.list_figures import LONGEST, Made
from components.ranking.metrics import K, PerRow
from components.ranking.score import Ranker
from components.ranking.scored import Scored, top
from components.ranking.sources import NAMES
from components.ranking.twin import Twin
from components.resamples import MODEL, Line, digest
from feature_repo import columns
from feature_repo.rows import Ragged

EXPLORE = f"explore_ndcg_at_{K}"
ACTIVITY = {
    "activity new (up to 8 {steps})": COHORTS["new"],
    "activity regular (9 to 24 {steps})": COHORTS["regular"],
    "activity frequent (over 24 {steps})": COHORTS["frequent"],
}
SHARE = columns.SHARES[1]  # of active users who had an item in the last four weeks
BY_SCORE = "by_score"  # the model's lists before they are ordered anew
CHOSEN = "personal_frequency"  # the baseline that cohorts are compared with

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Evaluation:
    """What was found on a part of the split."""

    test: dict[str, float]
    baselines: dict[str, dict[str, float]]
    intervals: dict[str, list[float]]  # 95 % over users, of the model
    gain: dict[str, list[float]]  # 95 % over users, of NDCG@10 over each baseline
    cohorts: dict[str, dict[str, float]]
    weeks: list[int]
    seconds: float
    at_k: dict[str, dict[str, float]] = field(default_factory=dict)  # of the model, by length of the list
    lists: dict[str, dict[str, float]] = field(default_factory=dict)  # by model and baseline: what ten places hold
    shown: dict[str, dict[str, float]] = field(default_factory=dict)  # of the model's ten places, by source
    sources: dict[str, dict[str, float | int]] = field(default_factory=dict)  # what each source finds by itself
    diversity: dict[str, Any] = field(default_factory=dict)  # what ordering anew costs; {}: nothing is
    choice: dict[str, Any] = field(default_factory=dict)  # what each ranker is worth that is chosen among; {}: one is
    values: dict[str, Any] = field(default_factory=dict)  # by attribute whose values are recommended: their lists
    audiences: dict[str, Any] = field(default_factory=dict)  # probabilities beside what came true, where asked for
    resamples: list[Line] = field(repr=False, default_factory=list)  # what gates make intervals of
    rows_digest: str = ""  # of which users and weeks these are

    def metrics(self) -> dict[str, Any]:
        """Return what metrics.json holds."""
        where_any = ("diversity", "choice", "values", "audiences")
        unsaid = {"resamples", "rows_digest", *(name for name in where_any if not getattr(self, name))}
        return {name: value for name, value in vars(self).items() if name not in unsaid}


@dataclass(frozen=True)
class _Ranked:
    """The first K items of every row, over all and over never-bought ones, -1 where there are fewer."""

    items: np.ndarray  # [R, K]
    explore: np.ndarray  # [R, K]
    share: np.ndarray  # [R, K] float64: of active users who had the item lately
    longer: np.ndarray | None = None  # [R, LONGEST]: of the model
    source: np.ndarray | None = None  # [R, K] int8: of the model


def evaluate(
    ranker: Ranker | Twin, world: World, *, part: str = "test", report: Report = lambda done, note: None
) -> Evaluation:
    """Rank every row of a part of the split by the model and the baselines, and compare."""
    start = time.monotonic()
    ranker, weeks = replace(ranker, eligible=world.eligible), world.weeks(part)
    baselines, plain = of_world(people=world.ties is not None), list[_Ranked]()
    ranked: dict[str, list[_Ranked]] = {name: [] for name in (MODEL, *baselines)}
    found_share, wanted_share, examples = [], [], world.examples.of_weeks(weeks)
    examples = examples.take(np.argsort(examples.week, kind="stable"))
    for done, week in enumerate(weeks):
        at_week = ranker.at(world.item_state, week=week, graph=world.graph(week))
        for chunk in lists.chunks(examples.of_weeks([week])):
            own, as_scored, share = _by_model(at_week, chunk)
            ranked[MODEL].append(own)
            plain += [] if as_scored is None else [as_scored]
            found_share.append(share * len(chunk))
            wanted_share.append(at_week.catalogue.state[SHARE][chunk.bought.values])
            for name, baseline in baselines.items():
                ranked[name].append(_by_baseline(baseline, at_week, chunk))
        report((done + 1) / len(weeks), f"week {week}")
    return _compared(
        ranked,
        examples,
        plain=plain,
        catalogue=ranker.catalogue,
        weeks=weeks,
        candidate_recall=sum(found_share) / len(examples),
        wanted_share=float(np.concatenate(wanted_share).mean()),
        rule=world.rule,
        steps=f"{world.calendar.step}s",
        seconds=lambda: round(time.monotonic() - start, 2),
    )


def _by_model(ranker: Ranker | Twin, chunk: Examples) -> tuple[_Ranked, _Ranked | None, float]:
    """Rank rows as the model shows them and, where it orders the best anew, as it scores them."""
    scored = ranker.rank(chunk.rows, chunk.probabilities)
    new = scored.facts["weeks_bought"] == 0
    best, explore = (ranker.best(scored, chunk.rows, k, allowed=mask) for k, mask in ((LONGEST, None), (K, new)))
    shown, plain = _taken(scored, ranker, best, explore), None
    if ranker.diversity is not None:
        plain = _taken(scored, ranker, top(scored, LONGEST), top(scored, K, allowed=new))
    return shown, plain, recall(scored.found, chunk.bought, len(ranker.catalogue))


def _taken(scored: Scored, ranker: Ranker | Twin, best: np.ndarray, explore: np.ndarray) -> _Ranked:
    item = np.append(scored.found.item, -1)  # position -1 reads as no item
    share = np.append(ranker.catalogue.state[SHARE], 0.0)
    items, source = item[best], np.append(scored.found.source, 0)[best[:, :K]]
    return _Ranked(items[:, :K], item[explore], share[items[:, :K]], longer=items, source=source)


def _by_baseline(baseline: Callable[..., np.ndarray], ranker: Ranker | Twin, chunk: Examples) -> _Ranked:
    known, barred = (chunk.rows, ranker.catalogue, ranker.neighbours), ranker.eligible.barred(chunk.rows)
    ties = None if ranker.graph is None else Ties.of(chunk.rows, ranker.graph)
    every, explore = (baseline(*known, k=K, unseen=unseen, barred=barred, ties=ties) for unseen in (False, True))
    return _Ranked(every, explore, np.append(ranker.catalogue.state[SHARE], 0.0)[every])


def _compared(
    ranked: dict[str, list[_Ranked]],
    examples: Examples,
    *,
    plain: list[_Ranked],
    catalogue: Catalogue,
    weeks: list[int],
    candidate_recall: float,
    wanted_share: float,
    rule: str,
    steps: str,
    seconds: Callable[[], float],
) -> Evaluation:
    n_items = len(catalogue)
    had = metrics.among(examples.bought, examples.rows.lists["history_items"], n_items)
    new, worth = metrics.only(examples.bought, ~had), examples.worth
    labels = ((examples.bought, worth), (new, None if worth is None else metrics.only(worth, ~had)))
    judged = {name: _judged(parts, labels, n_items) for name, parts in ranked.items()}
    overall, explore = judged[MODEL]
    user_id, counts = examples.rows.user_id, overall.counts
    values = {f"ndcg_at_{K}": overall.ndcg, f"recall_at_{K}": overall.recall, f"phr_at_{K}": overall.hit}
    gains = {name: overall.ndcg - judged[name][0].ndcg for name in judged if name != MODEL}
    groups = _groups(examples, steps)
    return Evaluation(
        test=_means(overall, explore) | {"rows": int(counts.sum()), "candidate_recall": round(candidate_recall, 5)},
        baselines={name: _means(*judged[name]) for name in judged if name != MODEL},
        intervals=metrics.intervals(values, user_id, counts)
        | metrics.intervals({EXPLORE: explore.ndcg}, user_id, explore.counts),
        gain=metrics.intervals(gains, user_id, counts),
        cohorts=_cohorts(judged, groups),
        weeks=weeks,
        seconds=seconds(),
        **_lists(ranked | ({BY_SCORE: plain} if plain else {}), examples.bought, wanted_share, catalogue),
        diversity=_cost(plain, overall, labels, user_id, n_items=n_items),
        resamples=uncertainty.lines(judged, user_id, groups=groups, chosen=CHOSEN, explore=EXPLORE),
        rows_digest=digest(user_id, examples.week, rule=rule),
    )


def _lists(
    ranked: dict[str, list[_Ranked]], wanted: Ragged, wanted_share: float, catalogue: Catalogue
) -> dict[str, dict[str, dict[str, float]]]:
    """Say what the model's lists are worth at several lengths, and what everyone's are made of."""
    n_items = len(catalogue)
    longer = np.concatenate([part.longer for part in ranked[MODEL] if part.longer is not None])
    codes = np.concatenate([part.source for part in ranked[MODEL] if part.source is not None])
    return {
        "at_k": list_figures.at_lengths(longer, wanted, n_items),
        "lists": {
            name: list_figures.made_of(_joined(parts), wanted_share, n_items, catalogue=catalogue)
            for name, parts in ranked.items()
        },
        "shown": list_figures.by_source(_joined(ranked[MODEL]), codes, wanted, NAMES, n_items),
    }


def _joined(parts: list[_Ranked]) -> Made:
    return Made(*(np.concatenate([getattr(part, field) for part in parts]) for field in ("items", "share")))


def _cost(
    plain: list[_Ranked],
    overall: PerRow,
    labels: tuple[tuple[Ragged, Ragged | None], ...],
    user_id: np.ndarray,
    *,
    n_items: int,
) -> dict[str, Any]:
    """Say what ordering anew costs: the figures of the order by score, and the difference with its interval."""
    if not plain:
        return {}
    without = _judged(plain, labels, n_items)
    apart = {f"ndcg_at_{K}": overall.ndcg - without[0].ndcg, f"recall_at_{K}": overall.recall - without[0].recall}
    return {
        "without": _means(*without),
        "gain": {name: round(float(value[overall.counts].mean()), 5) for name, value in apart.items()},
        "intervals": metrics.intervals(apart, user_id, overall.counts),
    }


def _judged(
    parts: list[_Ranked], labels: tuple[tuple[Ragged, Ragged | None], ...], n_items: int
) -> tuple[PerRow, PerRow]:
    (bought, worth), (new, worth_of_new) = labels
    items = metrics.per_row(np.concatenate([part.items for part in parts]), bought, n_items, worth=worth)
    explore = np.concatenate([part.explore for part in parts])
    return items, metrics.per_row(explore, new, n_items, worth=worth_of_new)


def _means(overall: PerRow, explore: PerRow) -> dict[str, float]:
    means, ndcg = overall.mean(), explore.mean().get(f"ndcg_at_{K}")
    means |= {} if ndcg is None else {EXPLORE: ndcg}
    return {name: round(value, 5) for name, value in means.items()}


def _groups(examples: Examples, steps: str) -> dict[str, np.ndarray]:
    """Name groups of rows by activity, in the clock's steps, and by segment; masks [R]."""
    weeks = examples.rows.numbers["weeks_total"]
    groups = {name.format(steps=steps): (weeks >= low) & (weeks <= high) for name, (low, high) in ACTIVITY.items()}
    segment = examples.rows.numbers[columns.SEGMENT].astype(int)
    return groups | {f"segment {s}": segment == s for s in np.unique(segment)}


def _cohorts(judged: dict[str, tuple[PerRow, PerRow]], groups: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Compare the model with the chosen baseline in each group."""
    model, chosen = judged[MODEL][0], judged[CHOSEN][0]
    return {
        name: {
            "rows": int((model.counts & where).sum()),
            **{metric: round(value, 5) for metric, value in model.mean(where).items()},
            f"{CHOSEN}_ndcg_at_{K}": round(chosen.mean(where)[f"ndcg_at_{K}"], 5),
        }
        for name, where in groups.items()
        if (model.counts & where).any()
    }
