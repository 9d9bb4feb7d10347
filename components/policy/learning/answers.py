"""Logged answers with their rewards, as arrays that learning reads; what cannot be learnt from is refused.

Letters: N answers, M candidates, K places, F features of a candidate.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.policy.choice import Ask, Bounds
from components.policy.evaluation.logged import PLACE, require_propensities
from feature_repo.errors import DataError

ABSENT = -1  # a place that a short answer lacks


@dataclass(frozen=True)
class Answers:
    """Answers whose rewards are known. Short ones are padded: `there` and `shown` say where."""

    request: np.ndarray  # [N] text
    user: np.ndarray  # [N] pseudonyms
    features: np.ndarray  # [N, M, F] float64, 0 where there is no candidate
    there: np.ndarray  # [N, M] bool
    greedy: np.ndarray  # [N, K] int64, the candidates that greedy would have shown; ABSENT
    shown: np.ndarray  # [N, K] int64, the candidate at each place; ABSENT
    propensity: np.ndarray  # [N, K] marginal probability of this item at this place; 1 where ABSENT
    reward: np.ndarray  # [N, K] 0 where ABSENT
    asks: np.ndarray | None = None  # [N] of Ask, where rules left bounds in some of them; None: nowhere

    @property
    def filled(self) -> np.ndarray:
        """Return which places hold an item, [N, K]."""
        return np.asarray(self.shown != ABSENT)

    def take(self, rows: np.ndarray) -> "Answers":
        """Return some answers."""
        every = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Answers(**{name: value[rows] for name, value in every.items() if value is not None})

    def chosen(self) -> np.ndarray:
        """Return the features of what was shown, [N, K, F]; those of an absent place are of candidate 0."""
        at = np.maximum(self.shown, 0)[:, :, None]
        return np.take_along_axis(self.features, at, axis=1)


@dataclass(frozen=True)
class LoggedAnswer:
    """One answer of the log, as whoever reads it hands it on."""

    request: str
    user: str
    at: float  # epoch seconds
    features: np.ndarray  # [M, F]
    greedy: Sequence[int]
    shown: Sequence[int]  # candidates, by place
    propensity: Sequence[float]
    ask: Ask | None = None  # what its policy was asked, with the bounds that rules set


def joined(answers: Iterable[LoggedAnswer], rewards: Iterable[Mapping[str, Any]], *, now: float) -> Answers:
    """Join answers with the rewards of their places: rows with `request_id`, `position` (from 1), `reward`, maybe `at`.

    An answer counts once each of its places has a reward; None is one that is not known yet. Raises DataError for a log
    without answers, for a reward given twice or of the future, and for a propensity of 0.
    """
    given = list(answers)
    if not given:
        raise DataError(
            f"{PLACE}: holds no answer of a policy that explores; declare `policy`, serve, and learn once answers have "
            "their rewards"
        )
    twice = [name for name, times in Counter(one.request for one in given).items() if times > 1]
    if twice:
        raise DataError(f"{PLACE}: answer {twice[0]} is logged {len(twice) + 1} times; read each answer once")
    found = _rewards(rewards, {one.request: one for one in given}, now)
    ripe = [one for one in given if all((one.request, k + 1) in found for k in range(len(one.shown))) and one.shown]
    if not ripe:
        raise DataError(
            f"{PLACE}: none of {len(given)} answers has its rewards yet; wait for the KPI's window to close"
        )
    for one in ripe:
        if not len(one.shown) == len(one.propensity) or max(one.shown) >= len(one.features) or min(one.shown) < 0:
            raise DataError(f"{PLACE}: answer {one.request} shows what is none of its candidates; leave it out")
    return _laid_out(ripe, found)


def _rewards(
    rows: Iterable[Mapping[str, Any]], answers: Mapping[str, LoggedAnswer], now: float
) -> dict[tuple[str, int], float]:
    """Return the known rewards by answer and place."""
    found: dict[tuple[str, int], float] = {}
    seen: set[tuple[str, int]] = set()
    for row in rows:
        key = str(row["request_id"]), int(row["position"])
        if key in seen:
            raise DataError(
                f"policy rewards: place {key[1]} of answer {key[0]} is rewarded twice; join the logs once "
                "(a purchase counts for one place)"
            )
        seen.add(key)
        if row["reward"] is None or key[0] not in answers:
            continue
        at = row.get("at")
        late, early = at is not None and at > now, at is not None and at < answers[key[0]].at
        if late or early or answers[key[0]].at > now:
            which = "is of the future" if late or answers[key[0]].at > now else "came before the answer was shown"
            raise DataError(
                f"policy rewards: place {key[1]} of answer {key[0]} {which} (now {now:.0f}); mend the clock of what "
                "writes the log, or leave it out"
            )
        if not np.isfinite(row["reward"]):
            raise DataError(
                f"policy rewards: place {key[1]} of answer {key[0]} has reward {row['reward']}; give a number"
            )
        found[key] = float(row["reward"])
    return found


def _laid_out(answers: Sequence[LoggedAnswer], rewards: Mapping[tuple[str, int], float]) -> Answers:
    n, most = len(answers), max(len(one.features) for one in answers)
    places, width = max(len(one.shown) for one in answers), answers[0].features.shape[1]
    features, there = np.zeros((n, most, width)), np.zeros((n, most), dtype=bool)
    greedy, shown = (np.full((n, places), ABSENT, dtype=np.int64) for _ in range(2))
    propensity, reward = np.ones((n, places)), np.zeros((n, places))
    for row, one in enumerate(answers):
        features[row, : len(one.features)], there[row, : len(one.features)] = one.features, True
        shown[row, : len(one.shown)], propensity[row, : len(one.shown)] = one.shown, one.propensity
        some = list(one.greedy)[: len(one.shown)]
        greedy[row, : len(some)] = some
        reward[row, : len(one.shown)] = [rewards[one.request, k + 1] for k in range(len(one.shown))]
    require_propensities(propensity)
    request, user = np.array([one.request for one in answers]), np.array([one.user for one in answers])
    asks = None
    if any(one.ask is not None and one.ask.bounds != Bounds() for one in answers):
        asks = np.empty(n, dtype=object)
        asks[:] = [one.ask for one in answers]
    return Answers(request, user, features, there, greedy, shown, propensity, reward, asks)


def halves(user: np.ndarray, *, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split answers by user: row numbers of about `share` of the users to learn from, and of the others to judge by.

    Raises DataError where one side would be empty: nobody could judge what was learnt.
    """
    names, number = np.unique(user, return_inverse=True)
    learns = np.zeros(len(names), dtype=bool)
    learns[np.random.default_rng(seed).permutation(len(names))[: round(share * len(names))]] = True
    if learns.all() or not learns.any():
        have = f"{len(names)} user{'s' * (len(names) != 1)}"
        raise DataError(f"{PLACE}: holds {have}; at least 2 are needed, to learn from one and judge by another")
    side = learns[number.reshape(-1)]
    return np.flatnonzero(side), np.flatnonzero(~side)
