"""The platform's ranker `basket` and its trees on trips (next_basket.py): the nets are components/ranking's own.

Signals are of weeks up to the day of the trip to rank for, so exact here: a trip is known by its day.

Letters: U users, N pairs, E items of a user, H steps of a signal, F features.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import next_basket_sized
from benchmarks.trips import Past, at_pairs, up_cf
from components.ranking import basket_fit
from components.ranking.basket_fit import FORMS, HORIZON, MOST_ITEMS, Net, Sets, Told
from components.ranking.item_signals import Signals, read
from components.ranking.lists import Lists
from components.ranking.models import lambdamart
from components.ranking.models.trees import Trees
from components.ranking.sources import sized

if TYPE_CHECKING:
    from benchmarks.next_basket import Pairs

WEEK, SLOW = 7.0, 0.96
SIZED_HALF_LIFE = 80.0  # days, of what trees see of baskets' sizes beside the scores that are chosen


def sets_of(past: Past, *, most: int) -> Sets:
    """Take each user's items of a past, those with the largest decayed counts first cut to `most`, ordered by item."""
    age = 1 + ((past.at[past.user] - past.day) // WEEK).astype(np.int64)  # [L] weeks, 1 is the last
    key, inverse = np.unique(past.user * past.n_items + past.item, return_inverse=True)
    user, item = np.divmod(key, past.n_items)
    weight = np.bincount(inverse, SLOW**age)
    order = np.lexsort((key, -weight, user))
    rank = np.arange(len(order)) - np.searchsorted(user, user)
    kept = np.sort(order[rank < most])
    place = np.full(len(key), -1)
    place[kept] = np.arange(len(kept))
    mine = place[inverse]
    signal = np.zeros((len(kept), HORIZON), dtype=np.float32)
    near = (mine >= 0) & (age <= HORIZON)
    signal[mine[near], age[near] - 1] = 1.0
    week = np.unique(inverse * 10_000 + age) // 10_000  # a week of two trips counts once
    steps = np.bincount(week, minlength=len(key)).astype(np.float64)
    first, last = np.zeros(len(key), dtype=np.int64), np.full(len(key), 10_000)
    np.maximum.at(first, inverse, age)
    np.minimum.at(last, inverse, age)
    offsets = np.searchsorted(user[kept], np.arange(past.n_users + 1))
    known = read(Signals(signal, steps[kept], first[kept], last[kept], offsets))
    wanted = np.isin(key[kept], past.wanted_user * past.n_items + past.wanted_item)
    return Sets(item[kept].astype(np.int64), known.signal, known.numbers, wanted.astype(np.float32), offsets)


def fit_forms(earlier: Sequence[Past], check: Past, n_items: int, *, seed: int) -> dict[str, tuple[Net, Told]]:
    """Fit both forms on earlier trips; return each at its best on the validation trip."""
    early = basket_fit.joined([_filled(sets_of(past, most=MOST_ITEMS)) for past in earlier])
    held = _filled(sets_of(check, most=MOST_ITEMS))
    made = {form: basket_fit.fit_form(form, early, held, n_items, seed=seed) for form in FORMS}
    return {form: (net, max(told)) for form, (net, told) in made.items()}


def _filled(sets: Sets) -> Sets:
    """Leave out users without a history."""
    ends = np.unique(sets.offsets)
    return Sets(sets.item, sets.signal, sets.number, sets.label, ends)


def chances(net: Net, past: Past, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return the chance that pairs [N] come again, 0 of items that a user never had."""
    import torch

    sets = sets_of(past, most=past.n_items)
    owner = np.repeat(np.arange(past.n_users), np.diff(sets.offsets))
    filled, parts = _filled(sets), []
    net.eval()
    with torch.inference_mode():
        for start in range(0, len(filled), 16):
            batch = filled.batch(np.arange(start, min(start + 16, len(filled))))
            logit = net(batch.item, batch.signal, batch.number, batch.there)
            parts.append(torch.sigmoid(logit[batch.there]).numpy())
    keys, value = owner * past.n_items + sets.item, np.concatenate(parts)
    asked = user * past.n_items + item
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, value[place], 0.0).astype(np.float64)


def features(of: "Pairs", chosen: Mapping[str, str], again: Mapping[str, np.ndarray]) -> np.ndarray:
    """Lay out what trees see of pairs: the peers' scores as chosen, the nets', and plain counts, [N, F]."""
    past, pair = of.past, of.user * of.past.n_items + of.item
    keys, inverse = np.unique(past.user * past.n_items + past.item, return_inverse=True)
    last, first = np.full(len(keys), -np.inf), np.full(len(keys), np.inf)
    np.maximum.at(last, inverse, past.day)
    np.minimum.at(first, inverse, past.day)
    place = np.minimum(np.searchsorted(keys, pair), len(keys) - 1)
    had = keys[place] == pair
    at = past.at[of.user]
    count = np.bincount(inverse)[place]
    since, age = np.where(had, at - last[place], 999.0), np.where(had, at - first[place], 999.0)
    newest = np.full(past.n_users, -np.inf)
    np.maximum.at(newest, past.user, past.day)
    idle = past.at - newest
    size = np.bincount(past.user, minlength=past.n_users) / np.maximum(past.trips, 1)
    gap = age / np.maximum(count, 1)
    again_rate, alone = _again_rate(past), _alone(past)
    own = sized.at_length_1(next_basket_sized.weights(past, SIZED_HALF_LIFE, by_trip=True))
    within = basket_sizes(past).astype(np.float64)
    smallest = np.full(len(keys), np.inf)
    np.minimum.at(smallest, inverse, within)
    usual = np.bincount(inverse, within) / np.bincount(inverse)
    last_trip = np.zeros(len(keys))
    np.maximum.at(last_trip, inverse, past.trip)
    columns = [
        *(of.scores[name] for name in (*chosen.values(), "popular", "personal")),
        *(of.scores[name] for name in of.scores if name.startswith("decay ")),
        *again.values(),
        count * had, since, age, gap, since / np.maximum(gap, 0.5), past.trips[of.user], idle[of.user], size[of.user],
        count * had / np.maximum(past.trips[of.user], 1), again_rate[of.item],
        alone[of.item], smallest[place] * had, usual[place] * had, (past.trips[of.user] + 1 - last_trip[place]) * had,
        np.asarray(own[of.user, of.item]).ravel(), at_pairs(up_cf(past, power=5.0), own, of.user, of.item),
    ]  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)


def _again_rate(past: Past) -> np.ndarray:
    """Return in what share of an item's lines its user had had it before, [I]."""
    lines = np.bincount(past.item, minlength=past.n_items)
    pairs = np.bincount(np.unique(past.user * past.n_items + past.item) % past.n_items, minlength=past.n_items)
    return np.asarray((lines - pairs + 1) / (lines + 2))


def basket_sizes(past: Past) -> np.ndarray:
    """Return how many lines the trip of each line has, [L]."""
    _, of_trip, sizes = np.unique(past.user * 100_000 + past.trip, return_inverse=True, return_counts=True)
    return np.asarray(sizes[of_trip])


def _alone(past: Past) -> np.ndarray:
    """Return the mean share that an item is of the trips that hold it, 1 where always alone, [I]."""
    shares = np.bincount(past.item, 1 / basket_sizes(past), minlength=past.n_items)
    return np.asarray(shares / np.maximum(np.bincount(past.item, minlength=past.n_items), 1))


def fit_trees(
    learn: Sequence["Pairs"], check: "Pairs", columns: Mapping[int, np.ndarray], *, seed: int, trees: int | None = None
) -> tuple[Trees, list[float]]:
    """Fit LambdaMART to earlier trips, stopped by NDCG@10 on the validation trip, or `trees` to that trip as well."""
    from benchmarks.next_basket import per_user

    parts = [_lists(of, columns[id(of)]) for of in (learn if trees is None else [*learn, check])]
    ends = np.cumsum([0, *(len(part.bought) for part in parts)])
    whole = Lists(
        features=np.concatenate([part.features for part in parts]),
        bought=np.concatenate([part.bought for part in parts]),
        wanted=np.concatenate([part.wanted for part in parts]),
        offsets=np.concatenate([*(part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)), ends[-1:]]),
        recall=1.0,
    )
    if trees is not None:
        return lambdamart.fit(whole, seed=seed, trees=trees)
    return lambdamart.fit(
        whole,
        seed=seed,
        check=_lists(check, columns[id(check)]),
        ndcg=lambda scores: float(per_user(check, scores)[1].mean()),
    )


def _lists(of: "Pairs", features: np.ndarray) -> Lists:
    offsets = np.searchsorted(of.user, np.arange(of.past.n_users + 1))
    wanted: Any = np.bincount(of.past.wanted_user, minlength=of.past.n_users)
    return Lists(features=features, bought=of.wanted, wanted=wanted, offsets=offsets, recall=1.0)
