"""User x item features from a user row, the item arrays, the clock and the intents: the one code that training,
evaluation and serving share.

`facts` says what is so, in natural units (an answer's reasons quote it); `matrix` turns facts into the numbers
that the model sees. Ages are whole weeks up to the upcoming week, decayed sums are rebased to it. Pure numpy.

Letters: B rows, I items, C targets, L levels of an item, N history entries, M candidates over all rows, F features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from components.ranking import places, sources
from components.ranking.baselines import FORMULAS
from components.ranking.candidates import CandidateSet
from components.ranking.catalogue import Catalogue
from components.ranking.graph import Ties
from components.ranking.history import History, behind
from components.ranking.sources import OF_LEARNT, graph
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.records import RECORDS
from feature_repo.rows import DAY_S, UserRows
from feature_repo.signs import NONE, Signs

NEVER = 60.0  # weeks since, where something never happened; the model sees no larger age, since tenure only grows
FEATURES = (
    "had", "weeks_bought", "week_rate", "slow", "fast", "slow_rate", "fast_slow", "weeks_since", "last_week", "gap",
    "overdue", "first_since",  # the user's record with the item
    "share_1w", "share_4w", "share_slow", "trend", "repeat_share", "price", "price_relative", "price_known",  # the item
    "near", "affinity",  # the item beside the user's history
    "intent", "intent_share", "target_weeks", "target_slow", "target_since", "target_gap", "of_target",  # its category
    "kind_slow", "of_kind", "brand_share",  # its category path and brand
    "visit", "user_rate", "user_slow", "tenure", "idle", "basket", "variety",  # the user
    "offer_flyer", "offer_display", "offer_coupon", "offer_flyer_before", "offer_display_before",
    "offer_flyer_usual", "offer_display_usual",  # the item's offers of the week, of the one before, and usually
)  # fmt: skip
# Known, but in no model by default: on the validation weeks they moved NDCG@10 by less than its noise, .001.
UNUSED = (
    "price_change", "item_gap", "item_gap_spread", "item_overdue",  # the item against what is usual for it
    "discount_share", "discounted_share",  # the user's sensitivity to price: of money, of lines
)  # fmt: skip
# Of items that are people: the person beside the user.
PEOPLE = (
    "wrote_weeks", "wrote_slow", "wrote_since", "wrote_days", "unanswered", "mutual",  # what they did to the user
    "acted_days", "contact_days",  # how long ago, finer than weeks, the user acted on them, and either on the other
    "common_acquaintances", "adamic_adar", "friends_of_friends",  # whom both know
)  # fmt: skip
# Where vectors of items are declared: the item's text and image beside those of the user's history.
CONTENT = ("content", "content_known")
# Where knowledge is declared: how much of the history shares entities with the item.
KNOWLEDGE = ("knowledge",)
# And where sources that are fitted are asked for, what each makes of the item (OF_LEARNT).
KNOWN = FEATURES + UNUSED + PEOPLE + CONTENT + KNOWLEDGE + tuple(OF_LEARNT.values())
# Where training starts from a baseline's order: the item's place in it.
PLACES = tuple(places.feature(name) for name in FORMULAS)
# Beside them where kinds of events are declared: what the user did not want of the item, its category and its brand.
AGES = ("unwanted_since", "shown_since")
UNWANTED = ("unwanted", "unwanted_since", "unwanted_target", "unwanted_brand")
SHOWN = ("shown", "shown_since", "ctr")  # where impressions are logged
SLOW_OF, SINCE_OF = "slow:", "since:"  # and the user's record with the item by kind: slow:cart, since:cart


def features(
    signs: Signs = NONE,
    *,
    people: bool = False,
    content: bool = False,
    knowledge: bool = False,
    learnt: Sequence[str] = (),
    start: str | None = None,
) -> tuple[str, ...]:
    """Name what a model sees, in its order, of items that are people or others, with vectors (`content`) or without.

    `learnt` are the fitted sources, whose scores it sees too; `start` is the baseline whose order training starts from.

    >>> features(Signs((("cart", 3.0), ("view", 1.0))))[-4:]
    ('slow:cart', 'since:cart', 'slow:view', 'since:view')
    >>> features(people=True)[:len(FEATURES)] == features() == FEATURES
    True
    """
    kinds = list(signs.wanted) if len(signs.wanted) > 1 else []  # of a single one, "slow" says it
    by_kind = tuple(f"{name}{kind}" for kind in kinds for name in (SLOW_OF, SINCE_OF))
    signed = (UNWANTED if signs.unwanted else ()) + (SHOWN if signs.shown else ()) + by_kind
    scores = tuple(OF_LEARNT[name] for name in learnt)
    started = () if start is None else (places.feature(start),)
    return (
        FEATURES
        + (PEOPLE if people else ())
        + (CONTENT if content else ())
        + (KNOWLEDGE if knowledge else ())
        + signed
        + scores
        + started
    )


@dataclass(frozen=True)
class User:
    """What of each row every candidate shares, in natural units; each array [B] float64."""

    numbers: Mapping[str, np.ndarray]
    week: np.ndarray  # [B] int64: the upcoming week
    rebase: np.ndarray  # [B] int64: weeks from the state's upcoming week to now's


def user(rows: UserRows, probabilities: np.ndarray, catalogue: Catalogue, calendar: Calendar) -> User:
    """Compute the rows' own facts; zeros for a user without a row."""
    numbers, B = rows.numbers, len(rows)
    times = [np.where(rows.known, numbers[c], rows.now).astype(np.int64) for c in columns.PROFILE_TIMES]
    weeks = calendar.weeks(np.concatenate([rows.now - 1, *times]))  # one look at the calendar for all of them
    week, first, last = weeks[:B] + 1, weeks[B : 2 * B], weeks[2 * B :]
    rebase = behind(rows, calendar)
    sessions = np.maximum(numbers["sessions_total"], 1.0)
    undiscounted = numbers["value_total"] + numbers["discount_total"]
    facts = {
        "user_weeks": numbers["weeks_total"],
        "user_slow": numbers["sessions_slow"] * calendar.pace.slow**rebase,
        "tenure": np.where(rows.known, week - first, 0).astype(np.float64),
        "idle": np.where(rows.known, np.maximum(week - last, 1), NEVER).astype(np.float64),
        "basket": numbers["events_total"] / sessions,
        "variety": numbers["items_total"] / np.maximum(numbers["events_total"], 1.0),
        "discount_share": numbers["discount_total"] / np.maximum(undiscounted, 0.01),
        "discounted_share": numbers["discounted_total"] / np.maximum(numbers["events_total"], 1.0),
        "mean_price": numbers["value_total"] / np.maximum(numbers["quantity_total"], 1.0),
        "visit": probabilities[:, catalogue.visits].max(axis=1, initial=0.0).astype(np.float64),
    }
    return User(facts, week, rebase)


def facts(
    rows: UserRows,
    found: CandidateSet,
    *,
    history: History,
    probabilities: np.ndarray,
    catalogue: Catalogue,
    calendar: Calendar,
    signs: Signs = NONE,
    starts: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Say what is so of each candidate and its user, in natural units; each array [M] float64."""
    shared = user(rows, probabilities, catalogue, calendar)
    row = found.row
    result = dict(zip(shared.numbers, np.asarray(list(shared.numbers.values()))[:, row], strict=True))
    result |= _own(rows, found, row, history=history, shared=shared, calendar=calendar)
    result |= _targets(rows, found, row, shared=shared, catalogue=catalogue, calendar=calendar)
    result["intent"] = _widest(probabilities.astype(np.float64), row, catalogue.targets[found.item])
    result |= _affinity(found, row, history=history, shared=shared, catalogue=catalogue, calendar=calendar)
    known = catalogue.numbers[found.item].T.copy()  # [ITEM_NUMBERS, M]
    result |= dict(zip(columns.ITEM_NUMBERS, known, strict=True))
    result |= _by_kind(rows, found, row, signs=signs, shared=shared, catalogue=catalogue, calendar=calendar)
    result["near"] = history.near[row, found.item]
    result["affinity"] = history.neighbours.affinity(history.tastes[row], found.item)
    if history.content is not None:
        result["content"] = history.content.of_candidates(row, found.item)
        known = history.content.known[row] & history.content.vectors.known[found.item]
        result["content_known"] = known.astype(np.float64)
    if catalogue.entities is not None:
        result["knowledge"] = graph.known(history, catalogue)[found.row, found.item]
    for name in history.neighbours.learnt:
        result[OF_LEARNT[name]] = sources.learnt(name).scores(history)[found.row, found.item]
    if history.ties is not None:
        result |= _ties(rows, found, row, ties=history.ties, shared=shared, calendar=calendar)
    return result | places.places(starts, rows, found, history=history, catalogue=catalogue)


def matrix(facts: Mapping[str, np.ndarray], names: Sequence[str] = FEATURES) -> np.ndarray:
    """Turn facts into what the model sees: logs of rates and ages, ratios, flags; float32 [M, F] in names' order."""
    derived = _Derived(facts)
    out = np.empty((len(facts["slow"]), len(names)), dtype=np.float32)
    for f, name in enumerate(names):
        out[:, f] = derived.of(name)
    return out


class _Derived:
    """What a model sees of facts, each [M]; made when it is asked for, since no model sees all."""

    def __init__(self, facts: Mapping[str, np.ndarray]) -> None:
        self.facts = facts

    def of(self, name: str) -> np.ndarray:
        """Return one feature."""
        f = self.facts
        if (derive := _DERIVED.get(name)) is not None:
            return derive(self)
        if name.startswith((*UNWANTED, "shown", SLOW_OF, SINCE_OF)):
            return _log_age(f[name]) if name.startswith((*AGES, SINCE_OF)) else np.log1p(f[name])
        if name.startswith(places.PLACE_OF):
            return np.asarray(np.log(f[name]))
        if name in _BY_SOURCE:
            return np.asarray(np.log1p(np.maximum(f[name], 0.0)))
        return self.of_people[name] if "wrote_weeks" in f and name in self.of_people else f[name]

    @cached_property
    def had(self) -> np.ndarray:
        return (self.facts["weeks_bought"] > 0).astype(np.float64)

    @cached_property
    def gap(self) -> np.ndarray:
        f = self.facts
        return np.where(self.had > 0, f["first_since"] / np.maximum(f["weeks_bought"], 1.0), NEVER)

    @cached_property
    def target_gap(self) -> np.ndarray:
        return np.asarray(self.facts["tenure"] / np.maximum(self.facts["target_weeks"], 0.5))

    @cached_property
    def price(self) -> np.ndarray:
        return _log_price(self.facts["price"])

    @cached_property
    def item_gap(self) -> np.ndarray:
        return np.where(self.facts["gap_weeks"] > 0, self.facts["gap_weeks"], NEVER)

    @cached_property
    def of_people(self) -> dict[str, np.ndarray]:
        return _derived_of_people(self.facts)


_DERIVED: Mapping[str, Callable[[_Derived], np.ndarray]] = {
    "had": lambda d: d.had,
    "weeks_bought": lambda d: np.log1p(d.facts["weeks_bought"]),
    "week_rate": lambda d: d.facts["weeks_bought"] / np.maximum(d.facts["user_weeks"], 1.0),
    "slow": lambda d: np.log1p(d.facts["slow"]),
    "fast": lambda d: np.log1p(d.facts["fast"]),
    "slow_rate": lambda d: np.log(d.facts["slow"] / np.maximum(d.facts["user_slow"], 0.1) + 0.003),
    "fast_slow": lambda d: d.facts["fast"] / np.maximum(d.facts["slow"], 1e-3),
    "weeks_since": lambda d: _log_age(d.facts["weeks_since"]),
    "last_week": lambda d: (d.facts["weeks_since"] <= 1).astype(np.float64),
    "gap": lambda d: _log_age(d.gap),
    "overdue": lambda d: np.log(np.clip(d.facts["weeks_since"] / d.gap, 0.02, 50.0)) * d.had,
    "first_since": lambda d: _log_age(d.facts["first_since"]),
    "share_1w": lambda d: np.log(d.facts["share_1w"] + 3e-4),
    "share_4w": lambda d: np.log(d.facts["share_4w"] + 1e-4),
    "share_slow": lambda d: np.log(d.facts["share_slow"] + 1e-4),
    "trend": lambda d: np.log((d.facts["share_1w"] + 3e-4) / (d.facts["share_slow"] + 3e-4)),
    "price": lambda d: _zero_where_unknown(d.price),
    "price_relative": lambda d: np.clip(
        _zero_where_unknown(d.price - np.log(np.maximum(d.facts["mean_price"], 0.01))), -3.0, 3.0
    ),
    "price_known": lambda d: np.isfinite(d.price).astype(np.float64),
    "near": lambda d: np.log(d.facts["near"] + 1e-4),
    "intent": lambda d: _logit(d.facts["intent"]),
    "intent_share": lambda d: np.log(d.facts["intent"] * d.facts["of_target"] + 1e-3),
    "target_weeks": lambda d: np.log1p(d.facts["target_weeks"]),
    "target_slow": lambda d: np.log1p(d.facts["target_slow"]),
    "target_since": lambda d: _log_age(d.facts["target_since"]),
    "target_gap": lambda d: np.log(np.clip(d.target_gap, 0.1, NEVER)),
    "kind_slow": lambda d: np.log1p(d.facts["kind_slow"]),
    "visit": lambda d: _logit(d.facts["visit"]),
    "user_rate": lambda d: d.facts["user_weeks"] / np.maximum(d.facts["tenure"], 1.0),
    "user_slow": lambda d: np.log1p(d.facts["user_slow"]),
    "tenure": lambda d: _log_age(d.facts["tenure"] + 1),
    "idle": lambda d: _log_age(d.facts["idle"]),
    "basket": lambda d: np.log1p(d.facts["basket"]),
    "price_change": lambda d: np.clip(_zero_where_unknown(d.price - _log_price(d.facts["price_usual"])), -3.0, 3.0),
    "item_gap": lambda d: _log_age(d.item_gap),
    "item_gap_spread": lambda d: d.facts["gap_spread"] / d.item_gap,
    "item_overdue": lambda d: np.log(np.clip(d.facts["weeks_since"] / d.item_gap, 0.02, 50.0)) * d.had,
    "ctr": lambda d: np.log((d.facts["share_slow"] + 1e-4) / (d.facts[columns.SHOWN_SLOW] + 1e-3)),
}
_BY_SOURCE = frozenset((*OF_LEARNT.values(), *KNOWLEDGE))


def _derived_of_people(f: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    wrote = f["wrote_weeks"] > 0
    return {
        "wrote_weeks": np.log1p(f["wrote_weeks"]),
        "wrote_slow": np.log1p(f["wrote_slow"]),
        "wrote_since": _log_age(f["wrote_since"]),
        "wrote_days": _log_days(f["wrote_days"]),
        "acted_days": _log_days(f["acted_days"]),
        "contact_days": _log_days(np.minimum(f["wrote_days"], f["acted_days"])),
        "unanswered": f["unanswered"],
        "mutual": (wrote & (f["weeks_bought"] > 0)).astype(np.float64),
        "common_acquaintances": np.log1p(f["common_acquaintances"]),
        "adamic_adar": np.log1p(f["adamic_adar"]),
        "friends_of_friends": np.log1p(f["friends_of_friends"]),
    }


def _ties(
    rows: UserRows, found: CandidateSet, row: np.ndarray, *, ties: Ties, shared: User, calendar: Calendar
) -> dict[str, np.ndarray]:
    """Say what each candidate did to the user, and whom they both know."""
    at = ties.received_last_at[row, found.item]
    wrote = at > 0
    since = np.where(wrote, np.maximum(shared.week[row] - calendar.weeks(np.where(wrote, at, rows.now[row])), 1), NEVER)
    answered = np.zeros(len(rows) * ties.common.shape[1])
    had = rows.lists["history_items"]
    answered[had.row_of_value() * ties.common.shape[1] + had.values] = rows.lists["history_last_at"].values
    last = answered.reshape(ties.common.shape)[row, found.item]
    now = rows.now[row].astype(np.float64)
    return {
        "wrote_at": at,
        "wrote_days": np.where(wrote, np.clip((now - at) / DAY_S, 0.0, 7 * NEVER), 7 * NEVER),
        "acted_days": np.where(last > 0, np.clip((now - last) / DAY_S, 0.0, 7 * NEVER), 7 * NEVER),
        "wrote_weeks": ties.received[row, found.item],
        "wrote_slow": ties.received_slow[row, found.item] * columns.SLOW_DECAY ** shared.rebase[row],
        "wrote_since": since.astype(np.float64),
        "unanswered": (wrote & (at > last)).astype(np.float64),
        "common_acquaintances": ties.common[row, found.item],
        "adamic_adar": ties.adamic_adar[row, found.item],
        "friends_of_friends": ties.followed[row, found.item],
    }


_OWN = ("weeks_bought", "slow", "fast", "acted_at", "weeks_since", "first_since")


def _own(
    rows: UserRows, found: CandidateSet, row: np.ndarray, *, history: History, shared: User, calendar: Calendar
) -> dict[str, np.ndarray]:
    """Look up the user's own record of each candidate; an item never had is NEVER weeks ago."""
    entry = history.position[row * history.n_items + found.item]  # [M], -1 never had
    had = entry >= 0
    entry, mine = entry[had], row[had]
    lists, rebase = rows.lists, shared.rebase[mine]
    last, first = (lists[column].values[entry] for column in ("history_last_at", "history_first_at"))
    weeks = calendar.weeks(np.concatenate([last, first])).reshape(2, -1)
    found_of = np.zeros((6, len(had)))
    found_of[4:] = NEVER
    found_of[:, had] = [
        lists["history_weeks"].values[entry],
        history.slow[entry] * calendar.pace.slow**rebase,
        lists["history_fast"].values[entry] * calendar.pace.fast**rebase,
        last,
        *np.maximum(shared.week[mine] - weeks, 1),
    ]
    return dict(zip(_OWN, found_of, strict=True))


def _targets(
    rows: UserRows, found: CandidateSet, row: np.ndarray, *, shared: User, catalogue: Catalogue, calendar: Calendar
) -> dict[str, np.ndarray]:
    """Look up the user's record of each candidate's target (category); the liveliest one where it has several."""
    lists, shape = rows.lists, (len(rows), catalogue.n_targets)
    owner, target = lists["target_ids"].row_of_value(), lists["target_ids"].values
    since = np.maximum(shared.week[owner] - calendar.weeks(lists["target_last_at"].values), 1).astype(np.float64)
    wanted = catalogue.targets[found.item]  # [M, L]
    values = {
        "target_weeks": lists["target_weeks"].values,
        "target_slow": lists["target_slow"].values * calendar.pace.slow ** shared.rebase[owner],
        "target_since": -since,  # widest of the negated age: the most recent
    }
    result = {}
    for name, value in values.items():
        dense = np.full(shape, -NEVER if name == "target_since" else 0.0)
        dense[owner, target] = value
        result[name] = _widest(dense, row, wanted)
    result["target_since"] = np.where(result["target_since"] < 0, -result["target_since"], NEVER)
    return result


def _affinity(
    found: CandidateSet,
    row: np.ndarray,
    *,
    history: History,
    shared: User,
    catalogue: Catalogue,
    calendar: Calendar,
) -> dict[str, np.ndarray]:
    """Sum the user's decayed weight by category path and by brand, and the item's share of it."""
    slow = history.slow * calendar.pace.slow ** shared.rebase[history.row]
    total = np.maximum(np.bincount(history.row, slow, minlength=history.n_rows), 1e-9)[row]
    kind = _group(history, slow, catalogue.kind, catalogue.kinds)[row, catalogue.kind[found.item]]
    brand = _group(history, slow, catalogue.brand, catalogue.brands)[row, catalogue.brand[found.item]]
    target = catalogue.targets[:, 0]
    of_target = _group(history, slow, target, catalogue.n_targets + 1)[row, target[found.item]]
    entry = history.position[row * history.n_items + found.item]
    mine = np.where(entry >= 0, slow[entry] if len(slow) else 0.0, 0.0)
    return {
        "kind_slow": kind,
        "of_kind": mine / np.maximum(kind, 1e-9),
        "of_target": mine / np.maximum(of_target, 1e-9),
        "brand_share": brand / total,
    }


def _by_kind(
    rows: UserRows,
    found: CandidateSet,
    row: np.ndarray,
    *,
    signs: Signs,
    shared: User,
    catalogue: Catalogue,
    calendar: Calendar,
) -> dict[str, np.ndarray]:
    """Look up the user's records by kind, and what of the item, its category and its brand was not wanted."""
    if not signs:
        return {}
    kinds, items, slow, last = (rows.lists[name].values for name in RECORDS)
    owner, n_items = rows.lists[RECORDS[0]].row_of_value(), len(catalogue)
    slow = slow * calendar.pace.slow ** shared.rebase[owner]
    since = np.maximum(shared.week[owner] - calendar.weeks(last), 1).astype(np.float64)
    wanted = row * n_items + found.item

    def spread(which: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum the weight of some records of each candidate, and find the weeks since the last of them."""
        keys = owner[which] * n_items + items[which]
        sums = np.bincount(keys, weight, minlength=len(rows) * n_items)
        ages = np.full(len(rows) * n_items, NEVER)
        np.minimum.at(ages, keys, since[which])
        return sums[wanted], ages[wanted]

    result = {}
    for kind in signs.wanted:
        which = np.flatnonzero((kinds == signs.numbers[kind]) & (slow > 0))
        result[f"{SLOW_OF}{kind}"], result[f"{SINCE_OF}{kind}"] = spread(which, slow[which])
    if signs.shown:
        which = np.flatnonzero(kinds == signs.numbers[signs.shown])
        result["shown"], result["shown_since"] = spread(which, slow[which])
        result[columns.SHOWN_SLOW] = catalogue.state.get(columns.SHOWN_SLOW, np.zeros(n_items))[found.item]
    share = np.zeros(len(signs.weights))
    share[[signs.numbers[kind] for kind in signs.unwanted]] = list(signs.unwanted.values())
    which = np.flatnonzero((share[kinds] > 0) & (slow > 0))
    weight = share[kinds[which]] * slow[which]
    result["unwanted"], result["unwanted_since"] = spread(which, weight)
    target = catalogue.targets[:, 0]
    codes = {"unwanted_target": np.where(target < catalogue.n_targets, target, -1), "unwanted_brand": catalogue.brand}
    for name, code in codes.items():
        size = int(code.max(initial=-1)) + 2  # the last is for -1, unknown
        sums = np.bincount(owner[which] * size + code[items[which]] % size, weight, minlength=len(rows) * size)
        mine = code[found.item]
        result[name] = np.where(mine >= 0, sums[row * size + mine % size], 0.0)
    return result


def _group(history: History, weight: np.ndarray, code: np.ndarray, size: int) -> np.ndarray:
    """Sum history weights by row and group, [B, size + 1]; unknown groups (-1) fall on the last column, 0."""
    size += 1
    sums = np.bincount(history.row * size + code[history.item] % size, weight, minlength=history.n_rows * size)
    sums = sums.reshape(history.n_rows, size)
    sums[:, -1] = 0.0
    return sums


def _widest(dense: np.ndarray, row: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the largest of a candidate's targets' values, 0 where it has none; dense [B, C], wanted [M, L] -> [M]."""
    if wanted.shape[1] == 1 and dense.shape[1]:  # every item has one category, or none
        only = wanted[:, 0]
        return np.where(only == dense.shape[1], 0.0, dense[row, np.minimum(only, dense.shape[1] - 1)])
    padded = np.concatenate([dense, np.full((len(dense), 1), dense.min(initial=0.0))], axis=1)  # C: no target
    best: np.ndarray = padded[row[:, None], wanted].max(axis=1)
    return np.where(wanted[:, 0] == dense.shape[1], 0.0, best)


def _zero_where_unknown(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), 0.0, values)


def _log_price(price: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.where(price > 0, price, np.nan)))


def _log_age(weeks: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.minimum(weeks, NEVER)))


def _log_days(days: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(days + 0.02))  # half an hour, below which nothing is told apart


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))
