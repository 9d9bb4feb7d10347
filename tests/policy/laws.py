"""Laws of lists by enumeration: every list of a small question with its probability, straight from the definitions."""

import itertools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from components.policy.choice import Ask, Policy
from components.policy.draw import Chances, simulated

Next = Callable[[list[int], list[int], int], dict[int, float]]  # above, allowed, place -> chances
BONFERRONI = 0.001


def allowed(ask: Ask, above: Sequence[int], place: int) -> list[int]:
    """Return which candidates rules let stand at a place, as the words of `Bounds` say."""
    pinned = dict(ask.bounds.fixed)
    counted = [*above, *(c for at, c in pinned.items() if at >= place)]
    free = [c for c in range(len(ask.scores)) if c not in above and c not in pinned.values()]
    for most, those in ask.bounds.caps:
        if sum(c in those for c in counted) >= most:
            free = [c for c in free if c not in those]
    left = sum(at not in pinned for at in range(place, ask.k))
    needs = [max(0, least - sum(c in those for c in counted)) for least, those in ask.bounds.quotas]
    for need, (_, those) in zip(needs, ask.bounds.quotas, strict=True):
        if need and sum(needs) >= left and any(c in those for c in free):
            free = [c for c in free if c in those]
    if len(ask.bounds.quotas) == 1 and ask.bounds.caps:
        ((_, those),) = ask.bounds.quotas
        wanted = min(needs[0], most_of(ask, counted, those))
        free = [c for c in free if most_of(ask, [*counted, c], those) >= wanted - (c in those)]
    return free


def most_of(ask: Ask, taken: Sequence[int], those: Sequence[int]) -> int:
    """Return how many of some candidates can be shown beside those taken, whichever these are, within caps."""
    left = [c for c in those if c not in taken]
    return max(
        len(some)
        for size in range(len(left) + 1)
        for some in itertools.combinations(left, size)
        if all(sum(c in under for c in (*taken, *some)) <= most for most, under in ask.bounds.caps)
    )


def lists(ask: Ask, law: Next) -> dict[tuple[int, ...], float]:
    """Return every list that may be shown, with its probability."""
    found: dict[tuple[int, ...], float] = {(): 1.0}
    pinned = dict(ask.bounds.fixed)
    for place in range(ask.k):
        longer: dict[tuple[int, ...], float] = {}
        for above, chance in found.items():
            chances = {pinned[place]: 1.0} if place in pinned else law([*above], allowed(ask, above, place), place)
            longer |= {(*above, c): chance * p for c, p in chances.items() if p > 0}
        found = longer
    return found


def softmax_law(
    ask: Ask, temperature: float, penalty: Callable[[int, list[int]], float] = lambda c, above: 0.0
) -> Next:
    """Return Plackett and Luce's law, an item's standardised score less a penalty."""

    def law(above: list[int], free: list[int], place: int) -> dict[int, float]:
        weights = {c: math.exp((ask.standard[c] - penalty(c, above)) / temperature) for c in free}
        return {c: weight / sum(weights.values()) for c, weight in weights.items()}

    return law


def epsilon_law(ask: Ask, epsilon: float) -> Next:
    """Return the law that keeps the greedy list's item, or shows one from outside of the list."""

    def law(above: list[int], free: list[int], place: int) -> dict[int, float]:
        own = ask.greedy[place] if ask.greedy[place] in free else free[0]
        others = [c for c in free if c not in ask.greedy and c != own]
        explored = epsilon if others else 0.0
        return {own: 1 - explored} | {c: explored / len(others) for c in others}

    return law


def at_places(found: dict[tuple[int, ...], float], ask: Ask) -> np.ndarray:
    """Return how likely each candidate is at each place, [K, M]."""
    chances = np.zeros((ask.k, len(ask.scores)))
    for shown, chance in found.items():
        for place, candidate in enumerate(shown):
            chances[place, candidate] += chance
    return chances


def require_frequencies(policy: Policy, ask: Ask, said: Chances, *, n: int, seed: int, share: float = 1.0) -> None:
    """Fail where lists that are drawn hold a candidate at a place more or less often than is said, at .001 in all."""
    counts = np.zeros((ask.k, len(ask.scores)))
    rng, at_once = np.random.default_rng(seed), 100_000
    for first in range(0, n, at_once):
        some = simulated(policy, ask, rng, min(at_once, n - first), share=share)
        for place, candidate in itertools.product(range(ask.k), range(len(ask.scores))):
            counts[place, candidate] += (some[:, place] == candidate).sum()
    z = NormalDist().inv_cdf(1 - BONFERRONI / 2 / counts.size)
    deviation = np.sqrt(said.mean * (1 - said.mean) / n + said.error**2)
    off = np.abs(counts / n - said.mean) - z * deviation - 1 / n
    assert off.max() <= 0, f"place and candidate {np.argwhere(off > 0).tolist()} of {policy.name}"
    assert counts.sum() == n * ask.k
