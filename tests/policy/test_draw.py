"""Drawing and judging lists, against every list of a small question with its probability by definition."""

import dataclasses
import itertools

import numpy as np
import pytest

from components.policy import draw, guard
from components.policy.choice import Ask, Bounds
from components.policy.guard import Rails, Request
from components.policy.policies.epsilon import Epsilon
from components.policy.policies.greedy import Greedy
from components.policy.policies.slate import Slate, likeness
from components.policy.policies.softmax import Softmax
from components.policy.policies.thompson import Thompson
from tests.policy import laws

ASK = Ask.of(np.array([1.0, 0.8, 0.5, 0.1, -0.6]), 3)
CODES = np.array([[0], [0], [1], [1], [-1]])
BOUNDS = {
    "none": Bounds(),
    "pin": Bounds(fixed=((1, 4),)),
    "cap": Bounds(caps=((1, (0, 1)),)),
    "quota": Bounds(quotas=((2, (3, 4)),)),
    "capped quota": Bounds(caps=((1, (0, 1, 4)),), quotas=((2, (3, 4)),)),
    "all": Bounds(fixed=((0, 2),), caps=((2, (1, 2, 4)),), quotas=((1, (3, 4)),)),
}
GREEDY = {
    "none": (0, 1, 2),
    "pin": (0, 4, 1),
    "cap": (0, 2, 3),
    "quota": (0, 3, 4),
    "capped quota": (2, 3, 4),
    "all": (2, 0, 3),
}
EVERY_BOUND = pytest.mark.parametrize("bound", BOUNDS)


def asked(bound: str) -> Ask:
    return dataclasses.replace(ASK, greedy=GREEDY[bound], bounds=BOUNDS[bound], codes=CODES)


def law_of(policy: object, ask: Ask) -> laws.Next:
    if isinstance(policy, Epsilon):
        return laws.epsilon_law(ask, policy.epsilon)
    if isinstance(policy, Slate):
        alike = likeness(ask.codes, len(ask.scores))
        cost = policy.diversity
        return laws.softmax_law(
            ask, policy.temperature, lambda c, above: cost * max((alike[a, c] for a in above), default=0.0)
        )
    assert isinstance(policy, Softmax)
    return laws.softmax_law(ask, policy.temperature)


@EVERY_BOUND
@pytest.mark.parametrize("policy", [Softmax(0.7), Epsilon(0.2), Slate(0.7, 0.5)], ids=lambda policy: policy.name)
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_given_and_propensities_are_those_of_every_list_by_definition(policy, bound: str, share: float) -> None:
    ask = asked(bound)
    every = {shown: share * p for shown, p in laws.lists(ask, law_of(policy, ask)).items()}
    every[ask.greedy] = every.get(ask.greedy, 0.0) + 1 - share
    assert sum(every.values()) == pytest.approx(1)
    for shown, chance in every.items():
        assert np.prod(draw.given(policy, ask, np.array(shown), 1, share=share)) == pytest.approx(chance, rel=1e-12)
    never = [shown for shown in itertools.permutations(range(5), 3) if shown not in every]
    for shown in never[:20]:
        assert np.prod(draw.given(policy, ask, np.array(shown), 1, share=share)) == 0
    said = draw.marginals(policy, ask, 1, draws=20_000).mixed(ask, share)
    truth = laws.at_places(every, ask)
    assert (np.abs(said.mean - truth) <= 5 * said.error + 1e-12).all()
    assert (said.mean[truth == 0] == 0).all()


def test_plackett_and_luce_by_hand() -> None:
    ask = Ask.of(np.array([1.0, -1.0]), 2)  # standardised 1 and -1
    policy = Softmax(temperature=2.0)
    first = np.exp(0.5) / (np.exp(0.5) + np.exp(-0.5))
    assert draw.given(policy, ask, np.array([0, 1]), 0).tolist() == pytest.approx([first, 1.0])
    judged = draw.judged(policy, ask, np.array([1, 0]), 0)
    assert judged.propensities.tolist() == pytest.approx([1 - first, 1 - first], abs=5 * judged.errors.max() + 1e-12)
    assert judged.errors[0] == 0  # the first place rests on no simulation


def test_epsilon_by_hand() -> None:
    ask = Ask.of(np.array([4.0, 3.0, 2.0, 1.0]), 2)
    policy = Epsilon(epsilon=0.2)
    assert draw.given(policy, ask, np.array([0, 1]), 0).tolist() == pytest.approx([0.8, 0.8])
    assert draw.given(policy, ask, np.array([2, 3]), 0).tolist() == pytest.approx([0.1, 0.2])
    assert draw.given(policy, ask, np.array([1, 0]), 0).tolist() == [0, 0]  # the list's own items keep their places


def test_a_share_mixes_with_the_greedy_list() -> None:
    ask = Ask.of(np.array([4.0, 3.0, 2.0, 1.0]), 2)
    own = draw.given(Epsilon(epsilon=0.2), ask, np.array([0, 1]), 0, share=0.5)
    assert own.tolist() == pytest.approx([0.5 * 0.8 + 0.5, (0.5 * 0.64 + 0.5) / 0.9])


def test_lists_that_are_drawn_are_as_frequent_as_what_is_said_of_each() -> None:
    ask, policy, n = asked("cap"), Softmax(0.7), 4000
    seen: dict[tuple[int, ...], list[float]] = {}
    for seed in range(n):
        choice = draw.choose(policy, ask, seed, share=0.6, draws=2)
        seen.setdefault(tuple(choice.order.tolist()), []).append(float(np.prod(choice.given)))
    for shown, said in seen.items():
        assert max(said) - min(said) < 1e-12  # the same list, the same probability
        deviation = np.sqrt(said[0] * (1 - said[0]) / n)
        assert abs(len(said) / n - said[0]) < 4.5 * deviation + 1 / n, shown


def test_a_model_that_is_drawn_gives_means_over_models_with_their_error() -> None:
    ask, policy = asked("none"), Thompson(spread=0.5)
    lists = draw.simulated(policy, ask, np.random.default_rng(0), 40_000)
    shown, counts = np.unique(lists, axis=0, return_counts=True)
    for one, count in zip(shown, counts / len(lists), strict=True):
        if count > 0.02:
            said = np.prod(draw.given(policy, ask, one, 5, draws=20_000))
            assert said == pytest.approx(count, rel=0.12)
    few, many = (draw.marginals(policy, ask, 1, draws=n).error.max() for n in (100, 10_000))
    assert few / many == pytest.approx(10, rel=0.4)


def test_thompson_that_knows_everything_is_greedy() -> None:
    sure = Thompson(covariance=((0.0, 0.0), (0.0, 0.0)), spread=0.0, temperature=0.01)
    assert draw.choose(sure, ASK, 4).propensities.tolist() == pytest.approx([1, 1, 1], abs=1e-6)


def test_diversity_moves_what_is_like_the_first_down() -> None:
    ask = dataclasses.replace(Ask.of(np.array([1.0, 0.9, 0.8]), 2), codes=np.array([[0], [0], [1]]))
    plain, apart = (draw.given(p, ask, np.array([0, 2]), 0)[1] for p in (Softmax(0.3), Slate(0.3, 2.0)))
    assert apart > 0.9 > plain


def test_no_drawn_list_breaks_bounds() -> None:
    rng = np.random.default_rng(11)
    looked = 0
    for case in range(300):
        m, k = int(rng.integers(4, 12)), int(rng.integers(1, 5))
        if k > m:
            continue
        groups = rng.integers(0, 4, m)
        caps = tuple((int(rng.integers(1, 3)), tuple(np.flatnonzero(groups == g).tolist())) for g in range(1, 4))
        pins = ((int(rng.integers(0, k)), int(rng.integers(0, m))),) if rng.random() < 0.5 else ()
        ask = dataclasses.replace(Ask.of(-np.sort(-rng.normal(size=m)), k), bounds=Bounds(pins, caps))
        if draw.ends_early(ask) or any(sum(c in those for _, c in pins) > most for most, those in caps):
            continue
        looked += 1
        for policy in (Softmax(), Epsilon(0.5), Slate(), Thompson()):
            for shown in draw.simulated(policy, ask, np.random.default_rng(case), 20).tolist():
                assert -1 not in shown
                assert len(set(shown)) == k
                assert all(sum(c in those for c in shown) <= most for most, those in caps)
                assert all(shown[place] == candidate for place, candidate in pins)
    assert looked > 100


def test_no_drawn_list_has_fewer_of_a_quota_than_the_greedy_one() -> None:
    """Caps that what stands above has used up must not shut a quota's candidates out: the greedy list has them."""
    rng, looked = np.random.default_rng(5), 0
    for case in range(120):
        m, k = int(rng.integers(5, 11)), int(rng.integers(2, 5))
        groups, new = rng.integers(0, 4, m), np.flatnonzero(rng.random(m) < 0.4).tolist()
        caps = tuple((int(rng.integers(1, 3)), tuple(np.flatnonzero(groups == g).tolist())) for g in range(1, 4))
        greedy = within([*new[: int(rng.integers(1, k + 1))], *range(m)], caps, k)
        least = len(set(greedy) & set(new))
        quotas = ((least, tuple(new)),) if rng.random() < 0.7 else ((least, tuple(new)), (1, (greedy[0],)))
        bounds = Bounds((), caps if len(quotas) == 1 else (), quotas)
        ask = Ask(-np.sort(-rng.normal(size=m)), tuple(sorted(greedy)), bounds=bounds)
        left = int(rng.integers(1, k + 1)) if rng.random() < 0.5 else None
        railed = guard.railed(Softmax(), ask, Rails(), Request(left=left), 0)
        if not least or railed.share == 0:
            continue
        looked += 1
        for policy in (Softmax(2.0), Epsilon(0.5), Thompson()):
            for shown in draw.simulated(policy, railed.ask, np.random.default_rng(case), 20).tolist():
                assert len(set(shown) - {-1}) == len(greedy)
                assert len(set(shown) & set(new)) >= least, (railed.ask, shown)
                assert all(sum(c in those for c in shown) <= most for most, those in railed.ask.bounds.caps)
    assert looked > 60


def within(order: list[int], caps: tuple[tuple[int, tuple[int, ...]], ...], k: int) -> list[int]:
    """Return the first `k` candidates of an order that caps let in."""
    found: list[int] = []
    for one in dict.fromkeys(order):
        if len(found) < k and all(sum(c in those for c in [*found, one]) <= most for most, those in caps):
            found.append(one)
    return found


def test_a_quota_that_nobody_can_say_is_kept_is_not_drawn_for() -> None:
    ask = Ask.of(np.arange(8.0)[::-1], 4)

    def ends(*caps: tuple[int, tuple[int, ...]], quotas: int) -> bool:
        return draw.ends_early(dataclasses.replace(ask, bounds=Bounds((), caps, ((1, (5, 6)), (1, (7,)))[:quotas])))

    assert not ends(quotas=2)
    assert not ends((2, (0, 1, 2)), quotas=1)
    assert ends((2, (0, 1, 2)), quotas=2)
    assert ends((2, (0, 1, 2)), (2, (2, 3, 4)), quotas=1)
    assert not ends((2, (4, 5, 6, 7)), quotas=2)  # the guard's own: what greedy shows of a quota stays open


def test_it_is_told_where_caps_may_leave_nothing_for_a_place() -> None:
    ask = Ask.of(np.arange(6.0)[::-1], 4)

    def ends(*caps: tuple[int, tuple[int, ...]]) -> bool:
        return draw.ends_early(dataclasses.replace(ask, bounds=Bounds(caps=caps)))

    assert not ends()
    assert not ends((2, (0, 1, 2, 3)))  # two of four and the two others
    assert ends((1, (0, 1, 2, 3)))
    assert not ends((2, (0, 1, 2)), (1, (3, 4)))
    assert ends((1, (0, 1, 2)), (1, (2, 3, 4)))  # overlapping: both may be full after two
    assert not ends((0, (4, 5)))  # the guard's own: what greedy does not show


def test_a_list_that_bounds_cut_short_is_no_answer() -> None:
    ask = dataclasses.replace(ASK, bounds=Bounds(caps=((1, (0, 1, 2, 3, 4)),)))
    with pytest.raises(ValueError, match="bounds left nothing for place 2"):
        draw.choose(Softmax(), ask, 0)


def test_greedy_is_certain_of_its_list_alone() -> None:
    assert draw.given(Greedy(), ASK, np.array([0, 1, 2]), 0).tolist() == [1, 1, 1]
    assert draw.given(Greedy(), ASK, np.array([0, 2, 1]), 0).tolist() == [1, 0, 0]
