"""What a model sees of facts: logs of rates and ages, ratios, flags. The one code of training and serving.

A feature is a function of facts, element by element, so it is derived where its facts are kept (levels.py): of the
user once, of each item once a catalogue, of each record and category of the user once. What needs facts of two levels
is derived of each candidate. Logarithms of a level are taken together: for one row a call costs more than its numbers.

Letters: M candidates over all rows, n what is kept of a level, F features.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np

from components.ranking import places
from components.ranking.levels import ITEM, RECORD, TARGET, USER, Facts, Level
from components.ranking.sources import OF_LEARNT
from feature_repo import columns

NEVER = 60.0  # weeks since, where something never happened; the model sees no larger age, since tenure only grows
KNOWLEDGE = ("knowledge",)  # how much of the history shares entities with the item
AGES = ("unwanted_since", "shown_since")
UNWANTED = ("unwanted", "unwanted_since", "unwanted_target", "unwanted_brand")
SLOW_OF, SINCE_OF = "slow:", "since:"  # the user's record with the item by kind: slow:cart, since:cart
CANDIDATE = ""  # the level of what each candidate has for itself


def matrix(facts: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Turn facts into what the model sees, float32 [M, F] in names' order."""
    levels = facts.levels if isinstance(facts, Facts) else {}
    M = facts.size if isinstance(facts, Facts) else len(facts["slow"])
    seen = np.empty((len(names), M), dtype=np.float32)
    for level, where, features in _plan(tuple(names), tuple(levels)):
        seen[where] = _block(facts, features, M).T if level == CANDIDATE else _looked_up(levels[level], features)
    return np.ascontiguousarray(seen.T)


def _looked_up(level: Level, features: tuple[str, ...]) -> np.ndarray:
    """Derive features of a level and look them up for each candidate, float32 [F, M]; [F, 1] where all have the same.

    What is kept longer than an answer is derived once.
    """
    block = None if level.kept is None else level.kept.get(features)
    if block is None:
        n = len(next(iter(level.facts.values())))
        block = _block({**level.beside, **level.facts}, features, n)
        if level.kept is not None:
            level.kept[features] = block
    return block.T if len(block) == 1 else block.take(level.place, axis=0).T


def _block(facts: Mapping[str, np.ndarray], features: tuple[str, ...], n: int) -> np.ndarray:
    """Derive features, those of `_LOGS` first and of `_LOGS_1P` next as `_plan` gives them, float32 [n, F]."""
    derived, found = _Derived(facts), np.empty((len(features), n))
    logs = logs_1p = 0
    for f, name in enumerate(features):
        if (argument := _LOGS.get(name)) is not None:
            logs = f + 1
        elif (argument := _LOGS_1P.get(name)) is not None:
            logs_1p = f + 1
        found[f] = derived.of(name) if argument is None else argument(derived)
    if logs:
        np.log(found[:logs], out=found[:logs])
    if logs_1p:
        np.log1p(found[logs:logs_1p], out=found[logs:logs_1p])
    return np.ascontiguousarray(found.T, dtype=np.float32)


@lru_cache(maxsize=64)
def _plan(names: tuple[str, ...], levels: tuple[str, ...]) -> list[tuple[str, np.ndarray, tuple[str, ...]]]:
    """Say which features are derived at which of the levels that there are, and where they stand in `names`."""
    level_of = {name: level for level in levels for name in LEVELS[level]}
    plan = []
    for level in (*levels, CANDIDATE):
        mine = [(_kind(name), f) for f, name in enumerate(names) if level_of.get(name, CANDIDATE) == level]
        where = np.asarray([f for _, f in sorted(mine)], dtype=np.int64)
        if mine:
            plan.append((level, where, tuple(names[f] for f in where)))
    return plan


def _kind(name: str) -> int:
    """Tell logarithms, those of 1 + x and the rest apart."""
    return 0 if name in _LOGS else 1 if name in _LOGS_1P else 2


class _Derived:
    """What a model sees of facts, each [n]; made when it is asked for, since no model sees all."""

    def __init__(self, facts: Mapping[str, np.ndarray]) -> None:
        self.facts = facts

    def of(self, name: str) -> np.ndarray:
        """Return one feature that is no logarithm of `_LOGS` or `_LOGS_1P`."""
        f = self.facts
        if (derive := _OTHERS.get(name)) is not None:
            return derive(self)
        if name.startswith((*UNWANTED, "shown", SLOW_OF, SINCE_OF)):
            return np.asarray(np.log(_age(f[name])) if name.startswith((*AGES, SINCE_OF)) else np.log1p(f[name]))
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

    @property
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


_Derive = Callable[[_Derived], np.ndarray]
_LOGS: Mapping[str, _Derive] = {  # the feature is the logarithm of this
    "slow_rate": lambda d: d.facts["slow"] / np.maximum(d.facts["user_slow"], 0.1) + 0.003,
    "weeks_since": lambda d: _age(d.facts["weeks_since"]),
    "gap": lambda d: _age(d.gap),
    "first_since": lambda d: _age(d.facts["first_since"]),
    "share_1w": lambda d: d.facts["share_1w"] + 3e-4,
    "share_4w": lambda d: d.facts["share_4w"] + 1e-4,
    "share_slow": lambda d: d.facts["share_slow"] + 1e-4,
    "trend": lambda d: (d.facts["share_1w"] + 3e-4) / (d.facts["share_slow"] + 3e-4),
    "near": lambda d: d.facts["near"] + 1e-4,
    "intent": lambda d: _odds(d.facts["intent"]),
    "intent_share": lambda d: d.facts["intent"] * d.facts["of_target"] + 1e-3,
    "target_since": lambda d: _age(d.facts["target_since"]),
    "target_gap": lambda d: _between(d.target_gap, 0.1, NEVER),
    "visit": lambda d: _odds(d.facts["visit"]),
    "tenure": lambda d: _age(d.facts["tenure"] + 1),
    "idle": lambda d: _age(d.facts["idle"]),
    "item_gap": lambda d: _age(d.item_gap),
    "ctr": lambda d: (d.facts["share_slow"] + 1e-4) / (d.facts[columns.SHOWN_SLOW] + 1e-3),
}
_LOGS_1P: Mapping[str, _Derive] = {  # the feature is the logarithm of 1 + this
    "weeks_bought": lambda d: d.facts["weeks_bought"],
    "slow": lambda d: d.facts["slow"],
    "fast": lambda d: d.facts["fast"],
    "target_weeks": lambda d: d.facts["target_weeks"],
    "target_slow": lambda d: d.facts["target_slow"],
    "kind_slow": lambda d: d.facts["kind_slow"],
    "user_slow": lambda d: d.facts["user_slow"],
    "basket": lambda d: d.facts["basket"],
}
_OTHERS: Mapping[str, _Derive] = {
    "had": lambda d: d.had,
    "week_rate": lambda d: d.facts["weeks_bought"] / np.maximum(d.facts["user_weeks"], 1.0),
    "fast_slow": lambda d: d.facts["fast"] / np.maximum(d.facts["slow"], 1e-3),
    "last_week": lambda d: (d.facts["weeks_since"] <= 1).astype(np.float64),
    "overdue": lambda d: np.log(_between(d.facts["weeks_since"] / d.gap, 0.02, 50.0)) * d.had,
    "price": lambda d: _zero_where_unknown(d.price),
    "price_relative": lambda d: _between(
        _zero_where_unknown(d.price - np.log(np.maximum(d.facts["mean_price"], 0.01))), -3.0, 3.0
    ),
    "price_known": lambda d: np.isfinite(d.price).astype(np.float64),
    "user_rate": lambda d: d.facts["user_weeks"] / np.maximum(d.facts["tenure"], 1.0),
    "price_change": lambda d: _between(_zero_where_unknown(d.price - _log_price(d.facts["price_usual"])), -3.0, 3.0),
    "item_gap_spread": lambda d: d.facts["gap_spread"] / d.item_gap,
    "item_overdue": lambda d: np.log(_between(d.facts["weeks_since"] / d.item_gap, 0.02, 50.0)) * d.had,
}
_BY_SOURCE = frozenset((*OF_LEARNT.values(), *KNOWLEDGE))
# Where a feature is derived: its level has all of its facts. What stands nowhere is derived of each candidate.
LEVELS: Mapping[str, tuple[str, ...]] = {
    USER: ("visit", "user_rate", "user_slow", "tenure", "idle", "basket", "variety", "discount_share",
           "discounted_share"),
    ITEM: ("share_1w", "share_4w", "share_slow", "trend", "repeat_share", "price", "price_known", "price_change",
           "item_gap", "item_gap_spread", *columns.OFFER_NUMBERS),
    RECORD: ("had", "weeks_bought", "week_rate", "slow", "fast", "slow_rate", "fast_slow", "weeks_since", "last_week",
             "gap", "overdue", "first_since", "of_target", "of_kind", "intent_share"),
    TARGET: ("intent", "target_weeks", "target_slow", "target_since", "target_gap"),
}  # fmt: skip


def _derived_of_people(f: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    wrote = f["wrote_weeks"] > 0
    return {
        "wrote_weeks": np.log1p(f["wrote_weeks"]),
        "wrote_slow": np.log1p(f["wrote_slow"]),
        "wrote_since": np.log(_age(f["wrote_since"])),
        "wrote_days": _log_days(f["wrote_days"]),
        "acted_days": _log_days(f["acted_days"]),
        "contact_days": _log_days(np.minimum(f["wrote_days"], f["acted_days"])),
        "unanswered": f["unanswered"],
        "mutual": (wrote & (f["weeks_bought"] > 0)).astype(np.float64),
        "common_acquaintances": np.log1p(f["common_acquaintances"]),
        "adamic_adar": np.log1p(f["adamic_adar"]),
        "friends_of_friends": np.log1p(f["friends_of_friends"]),
    }


def _zero_where_unknown(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), 0.0, values)


def _log_price(price: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.where(price > 0, price, np.nan)))


def _between(values: np.ndarray, least: float, most: float) -> np.ndarray:
    return np.asarray(np.minimum(np.maximum(values, least), most))  # np.clip, which costs three times that of a few


def _age(weeks: np.ndarray) -> np.ndarray:
    return np.asarray(np.minimum(weeks, NEVER))


def _log_days(days: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(days + 0.02))  # half an hour, below which nothing is told apart


def _odds(p: np.ndarray) -> np.ndarray:
    p = _between(p, 1e-4, 1 - 1e-4)
    return np.asarray(p / (1 - p))
