"""Draw lists from a policy under bounds, and compute how likely they were. Pure numpy, many lists at once.

A list is drawn with probability `share` from the policy, and is the greedy one else: share * policy + (1 - share) *
greedy. Guard rails (guard.py) lower the share or tighten the bounds before anything is drawn, so that what is said of
a list is true of what was shown: nothing is drawn again or repaired afterwards.

Given what stands above, a candidate's probability is exact, and their product is the list's. Over all lists it is the
mean of these over lists that are simulated (the policy's own law, not counts: Rao and Blackwell), exact at the first
place where no model is drawn, with a standard error else. Where a policy draws a model, both are means over models.

Letters: M candidates, K places, N lists at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.policy.choice import Ask, Choice, Policy
from components.policy.openings import Openings, of_rules

EXACT = 1e-12  # standard errors that are smaller are rounding
DRAWS = 256  # lists that are simulated for a propensity


@dataclass(frozen=True)
class Chances:
    """How likely each candidate is at each place."""

    mean: np.ndarray  # [K, M]
    error: np.ndarray  # [K, M] standard errors

    def mixed(self, ask: Ask, share: float) -> "Chances":
        """Return them where the greedy list is shown with probability 1 - share."""
        mean = self.mean * share
        mean[np.arange(ask.k), list(ask.greedy)] += 1 - share
        return Chances(mean, self.error * share)


def choose(
    policy: Policy, ask: Ask, seed: int, *, share: float = 1.0, draws: int = DRAWS, chances: Chances | None = None
) -> Choice:
    """Choose the list that belongs to a seed, and say how likely it was; `chances` are the policy's, where computed."""
    greedy = np.asarray(ask.greedy, dtype=np.int64)
    certain = np.ones(len(greedy))
    if share <= 0 or not len(greedy):
        return Choice(greedy, certain, certain, np.zeros(len(greedy)))
    rng = np.random.default_rng([seed, 0])
    explored = bool(rng.random() < share)
    order = _drawn(policy, ask, rng) if explored else greedy
    told = judged(policy, ask, order, seed, share=share, draws=draws, chances=chances)
    return Choice(order, told.propensities, told.given, told.errors, explored)


@dataclass(frozen=True)
class Judged:
    """How likely a list was."""

    given: np.ndarray  # [K] as in Choice
    propensities: np.ndarray  # [K]
    errors: np.ndarray  # [K]


def judged(
    policy: Policy,
    ask: Ask,
    order: np.ndarray,
    seed: int,
    *,
    share: float = 1.0,
    draws: int = DRAWS,
    chances: Chances | None = None,
) -> Judged:
    """Say how likely a list [K] is under a policy; 0 where it cannot be drawn. The seed is of the simulation alone."""
    conditional = given(policy, ask, order, seed, share=share, draws=draws)
    own = marginals(policy, ask, seed, draws=draws) if chances is None else chances
    both = own.mixed(ask, share)
    places = np.arange(len(order))
    found, error = both.mean[places, order], both.error[places, order]
    # The simulation never had the candidate free at this place, and the list itself shows that it can be.
    lone = (found <= 0) & (conditional > 0)
    found = np.where(lone, conditional / (draws + 1), found)
    return Judged(conditional, found, np.where(lone, found, error))


def simulated(policy: Policy, ask: Ask, rng: np.random.Generator, n: int, *, share: float = 1.0) -> np.ndarray:
    """Draw `n` lists, int64 [N, K]; -1 where bounds left nothing for a place."""
    lists = np.empty((n, ask.k), dtype=np.int64)
    values = _rows(policy.values(ask, rng, n), n)
    for place, law in _walk(policy, ask, values, rng=rng):
        lists[:, place] = law.picked
    stays = rng.random(n) >= share
    lists[stays] = np.asarray(ask.greedy, dtype=np.int64)
    return lists


def given(
    policy: Policy, ask: Ask, order: np.ndarray, seed: int, *, share: float = 1.0, draws: int = DRAWS
) -> np.ndarray:
    """Return how likely each place of a list [K] is, given the places above it."""
    values = policy.values(ask, np.random.default_rng([seed, 1]), draws)
    shown = np.broadcast_to(order, (len(values), len(order)))
    begun = np.ones(len(values))  # [N] of the list so far, by each model
    before, greedy = 1.0, 1.0
    found = np.zeros(len(order))
    for place, law in _walk(policy, ask, values, shown=shown):
        begun = begun * law.chances[:, order[place]]
        greedy *= float(place < ask.k and ask.greedy[place] == order[place])
        now = share * float(begun.mean()) + (1 - share) * greedy
        if now <= 0:
            return found
        found[place], before = now / before, now
    return found


def marginals(policy: Policy, ask: Ask, seed: int, *, draws: int = DRAWS) -> Chances:
    """Return how likely the policy shows each candidate at each place, without the greedy list's share."""
    rng = np.random.default_rng([seed, 2])
    mean, error = np.zeros((ask.k, len(ask.scores))), np.zeros((ask.k, len(ask.scores)))
    values = _rows(policy.values(ask, rng, draws), draws)
    for place, law in _walk(policy, ask, values, rng=rng):
        mean[place] = law.chances.mean(axis=0)
        found = np.sqrt(((law.chances - mean[place]) ** 2).mean(axis=0) / draws)
        error[place] = np.where(found < EXACT, 0.0, found)
    return Chances(mean, error)


def ends_early(ask: Ask) -> bool:
    """Tell whether a drawn list may lack what the greedy one has: a place that caps leave nothing for, or a quota.

    The last cap may be the guard's own, on what the greedy list does not show. Of caps of which no candidate is under
    two, what is not full suffices; where caps overlap, as many candidates must be left as could be shut out. A quota
    beside caps is kept where it is one, and no candidate is under two caps (openings.py).
    """
    m, k = len(ask.scores), ask.k
    if m < k:
        return True
    caps = [(most, frozenset(those)) for most, those in of_rules(ask)]
    under = [candidate for _, those in caps for candidate in those]
    apart = len(under) == len(set(under))
    if caps and ask.bounds.quotas and not (apart and len(ask.bounds.quotas) == 1):
        return True
    if apart:
        room = sum(min(most, len(those)) for most, those in caps)
        return room + m - len(under) < k
    if len(caps) < len(ask.bounds.caps):
        return True
    return m - (k - 1) - sum(max(0, len(those) - most) for most, those in caps) <= 0


@dataclass(frozen=True)
class _Law:
    """A place of many lists."""

    chances: np.ndarray  # [N, M]; all 0 where the list ended
    picked: np.ndarray  # [N], -1 where it ended


def _drawn(policy: Policy, ask: Ask, rng: np.random.Generator) -> np.ndarray:
    laws = _walk(policy, ask, policy.values(ask, rng, 1), rng=rng)
    order = np.asarray([int(law.picked[0]) for _, law in laws], dtype=np.int64)
    if (order < 0).any():
        raise ValueError(f"bounds left nothing for place {int(np.argmax(order < 0)) + 1}; ask ends_early first")
    return order


def _rows(values: np.ndarray, n: int) -> np.ndarray:
    return np.broadcast_to(values, (n, values.shape[1]))


def _walk(
    policy: Policy,
    ask: Ask,
    values: np.ndarray,
    *,
    rng: np.random.Generator | None = None,
    shown: np.ndarray | None = None,
) -> Iterator[tuple[int, _Law]]:
    """Yield each place of N lists from the top: drawn with `rng`, or as `shown` [N, K]."""
    n, open_ = len(values), Openings(ask, len(values))
    above = np.empty((n, 0), dtype=np.int64)
    fixed = dict(ask.bounds.fixed)
    for place in range(ask.k):
        if place in fixed:
            chances = np.zeros((n, len(ask.scores)))
            chances[:, fixed[place]] = 1.0
        else:
            allowed = open_.allowed(place)
            some = allowed.any(axis=1)
            chances = np.zeros((n, len(ask.scores)))
            if some.all():
                chances = policy.next(ask, values, allowed, above)
            elif some.any():
                chances[some] = policy.next(ask, values[some], allowed[some], above[some])
        picked = _picked(chances, rng) if shown is None and rng is not None else np.asarray(shown)[:, place]
        yield place, _Law(chances, picked)
        open_.take(picked)
        above = np.concatenate([above, picked[:, None]], axis=1)


def _picked(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a candidate of each row, -1 where none has a chance."""
    below = np.cumsum(chances, axis=1)
    total = below[:, -1]
    found = np.argmax(below > (rng.random(len(chances)) * total)[:, None], axis=1)
    return np.where(total > 0, found, -1)
