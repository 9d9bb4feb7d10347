"""An experiment's numbers: the always-valid test of means, the shares of users, CUPED, and what ends an experiment."""

import math

import numpy as np
import pytest

from components.registry.experiment_spec import Arm, Experiment, Kpi
from components.verdicts import PASSED, REFUSED, UNDECIDED
from pipelines.rollout import sequential
from pipelines.rollout.experiment_analysis import difference, judge, planned
from pipelines.rollout.outcomes import ArmOutcomes, Outcomes
from pipelines.rollout.sequential import (
    LOOKS,
    Difference,
    between_difference,
    between_planned,
    log_e_difference,
    log_e_shares,
)

ARMS = (Arm(name="old", release="champion", share=0.5), Arm(name="new", release="challenger", share=0.5))
RULES = Experiment(name="try", arms=ARMS, kpi=Kpi(event="purchase"), covariates=(), min_users=100, min_active=5)


def arm(users: int, bought: int, *, extra: float = 0.0) -> ArmOutcomes:
    kpi = np.zeros(users)
    kpi[:bought] = 1 + extra
    return ArmOutcomes(users, kpi, np.zeros((users, 0)))


def pair(old: ArmOutcomes, new: ArmOutcomes, **more: int) -> Outcomes:
    return Outcomes({"old": old, "new": new}, **{"events": 1, "valued": 1} | more)


def test_the_evidence_is_the_weighted_likelihood_ratio() -> None:
    """By hand at information 4 and estimate 1: score 4, effect 1; .8 cosh(4) e^-2 + .2 e^(16 / 10) / sqrt(5)."""
    expected = math.log(0.8 * math.cosh(4) * math.exp(-2) + 0.2 * math.exp(1.6) / math.sqrt(5))
    assert log_e_difference(Difference(1.0, 0.25), effect=1.0) == pytest.approx(expected)
    assert log_e_difference(Difference(3.0, 0.25), effect=1.0, null=2.0) == pytest.approx(expected)
    assert log_e_difference(Difference(-1.0, 0.25), effect=1.0) == pytest.approx(expected)


@pytest.mark.parametrize("effect", [0.001, 0.05, 3.0])
def test_an_interval_ends_where_the_evidence_suffices(effect: float) -> None:
    found = Difference(0.02, 0.01**2)
    for end in between_difference(found, effect=effect, alpha=0.05):
        assert log_e_difference(found, effect=effect, null=end) == pytest.approx(math.log(20))


def test_however_often_one_looks_no_difference_is_rarely_seen_and_the_planted_one_mostly() -> None:
    """A Brownian motion, which scores are: 400 of them, looked at 200 times each."""
    rng, runs, looks, effect, alpha = np.random.default_rng(1), 400, 200, 1.0, 0.1
    information = np.linspace(0, 12, looks + 1)[1:]  # at its end the planted effect is 3.5 standard errors
    steps = rng.normal(0, math.sqrt(12 / looks), size=(runs, looks)).cumsum(axis=1)  # [runs, looks]
    for truth, least, most in ((0.0, 0, alpha), (effect, 0.8, 1)):
        scores = steps + truth * information
        cried = sum(
            any(
                log_e_difference(Difference(s / i, 1 / i), effect=effect) >= -math.log(alpha)
                for s, i in zip(row, information, strict=True)
            )
            for row in scores
        )
        assert least <= cried / runs <= most


def test_a_planned_end_spends_all_of_alpha_by_then_and_finds_more_than_a_test_without_an_end() -> None:
    """4000 Brownian motions that are 2.24 standard errors up at the end: a test that looks once there finds .61."""
    rng, drift = np.random.default_rng(2), 2.242
    share = np.arange(1, LOOKS + 1) / LOOKS
    motion = rng.normal(0, LOOKS**-0.5, size=(4000, LOOKS)).cumsum(axis=1)
    reach = np.array([between_planned(Difference(0.0, 1 / t), share=t, alpha=0.05)[1] * t for t in share])
    endless = np.array([between_difference(Difference(0.0, 1 / t), effect=drift, alpha=0.05)[1] * t for t in share])
    assert (np.abs(motion) > reach).any(axis=1).mean() == pytest.approx(0.05, abs=0.01)
    found = [((motion + drift * share) > bound).any(axis=1).mean() for bound in (reach, endless)]
    assert found[0] == pytest.approx(0.59, abs=0.03)
    assert found[0] > found[1] + 0.15


def test_one_look_is_the_usual_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "LOOKS", 1)
    assert sequential.planned_reach.__wrapped__(0.05) == pytest.approx(1.959964, abs=1e-5)


def came(users: int, bought: int, *, every: float = 1.0) -> ArmOutcomes:
    """Return an arm whose users came one after the other; the first ones bought."""
    kpi = (np.arange(users) < bought).astype(float)
    return ArmOutcomes(users, kpi, np.zeros((users, 0)), np.arange(users) * every)


PLANNED = RULES.model_copy(update={"users": 4000})


def test_planned_users_are_those_who_came_first_up_to_the_last_look_that_is_due() -> None:
    """20 looks at 200 users each: of 2,999 who were judged the first 2,800 count, and never more than are planned."""
    for users, counted, share in (
        (99, 0, 0.0),
        (100, 100, 0.05),
        (1499, 1400, 0.7),
        (2000, 2000, 1.0),
        (9000, 2000, 1.0),
    ):
        arms, seen = planned({"old": came(users, 5), "new": came(users, 9)}, 4000)
        assert (len(arms["old"].kpi), len(arms["new"].kpi), seen) == (counted, counted, share)
    late, _ = planned({"old": came(3000, 5), "new": came(1000, 9, every=9.0)}, 2000)
    assert sum(len(one.kpi) for one in late.values()) == 2000
    assert len(late["new"].kpi) == pytest.approx(200, abs=1)
    assert late["old"].users == 3000, "shares of users are judged by all"


def test_a_planned_experiment_says_nothing_before_its_first_look_and_the_same_between_two() -> None:
    early = judge(pair(came(99, 20), came(99, 60)), PLANNED).judged["new"]
    assert (early.word, early.why) == (UNDECIDED, "the first of 20 planned looks is not due yet")
    at, later = (judge(pair(came(n, 60), came(n, 110)), PLANNED).judged["new"] for n in (1400, 1499))
    assert at == later
    found = difference(came(1400, 60), came(1400, 110))
    assert at.interval == pytest.approx(between_planned(found, share=0.7, alpha=0.05))
    assert at.word == PASSED
    end = judge(pair(came(2000, 60), came(2000, 85)), PLANNED).judged["new"]
    assert (end.word, judge(pair(came(2500, 60), came(2500, 85)), PLANNED).judged["new"].interval) == (
        UNDECIDED,
        end.interval,
    )


def test_shares_are_weighed_by_a_dirichlet_mixture() -> None:
    """Of one user the mixture is the declared share itself; of two in one arm it is .5 (501 / 1001) / .25."""
    assert log_e_shares([1, 0], [0.3, 0.7]) == pytest.approx(0, abs=1e-9)
    assert log_e_shares([2, 0], [0.5, 0.5]) == pytest.approx(math.log(501 / 1001 / 0.5), abs=1e-9)


@pytest.mark.parametrize(
    ("users", "broken"), [((5000, 5040), False), ((5000, 5600), True), ((400, 0), True), ((30, 20), False)]
)
def test_users_who_do_not_fall_as_declared_end_an_experiment(users: tuple[int, int], broken: bool) -> None:
    found = judge(pair(ArmOutcomes(users[0]), ArmOutcomes(users[1])), RULES)
    assert found.broken.startswith("sample-ratio mismatch: users fell to old") is broken
    assert found.word == UNDECIDED


def test_users_of_declared_unequal_shares_are_no_mismatch() -> None:
    arms = (ARMS[0].model_copy(update={"share": 0.9}), ARMS[1].model_copy(update={"share": 0.1}))
    assert not judge(pair(ArmOutcomes(9000), ArmOutcomes(1010)), RULES.model_copy(update={"arms": arms})).broken


@pytest.mark.parametrize(
    ("old", "new", "more", "reason"),
    [
        (arm(500, 50), arm(500, 50), {"crossed": 30}, "30 of 1000 users were answered by two arms"),
        (arm(500, 0), arm(500, 0), {"events": 0}, "no event of kind 'purchase' reached the event log"),
    ],
)
def test_what_cannot_be_compared_ends_it(old: ArmOutcomes, new: ArmOutcomes, more: dict[str, int], reason: str) -> None:
    assert reason in judge(pair(old, new, **more), RULES).broken


def test_a_value_that_no_event_carries_ends_it() -> None:
    rules = RULES.model_copy(update={"kpi": Kpi(event="purchase", measure="value")})
    assert (
        "none of 7 events 'purchase' carries one"
        in judge(pair(arm(200, 20), arm(200, 20), events=7, valued=0), rules).broken
    )


@pytest.mark.parametrize(
    ("old", "new", "better", "word", "why"),
    [
        (arm(2000, 100), arm(2000, 200), "more", PASSED, "+100.0% adjusted"),
        (arm(2000, 200), arm(2000, 100), "more", REFUSED, "-50.0% adjusted"),
        (arm(2000, 100), arm(2000, 200), "less", REFUSED, "+100.0% adjusted"),
        (arm(2000, 200), arm(2000, 100), "less", PASSED, "-50.0% adjusted"),
        (arm(2000, 100), arm(2000, 105), "more", UNDECIDED, "2000 and 2000 users"),
        (arm(99, 50), arm(99, 1), "more", UNDECIDED, "99 users are behind it, fewer than 100"),
        (arm(2000, 200), arm(2000, 4), "more", UNDECIDED, "4 users of an arm have a KPI above 0, fewer than 5"),
        (arm(200, 200), arm(200, 200), "more", UNDECIDED, "the KPI is the same for every user of an arm"),
    ],
)
def test_verdicts(old: ArmOutcomes, new: ArmOutcomes, better: str, word: str, why: str) -> None:
    kpi = RULES.kpi.model_copy(update={"better": better})
    found = judge(pair(old, new), RULES.model_copy(update={"kpi": kpi}))
    assert found.judged["new"].word == found.word == word
    assert why in found.judged["new"].why
    assert found.best == ("new" if word == PASSED else "")


def test_more_arms_share_alpha_and_the_best_is_named() -> None:
    arms = (*(a.model_copy(update={"share": 0.25}) for a in ARMS), Arm(name="third", release="3", share=0.5))
    rules = RULES.model_copy(update={"arms": arms})
    found = judge(
        Outcomes({"old": arm(2000, 100), "new": arm(2000, 180), "third": arm(4000, 800)}, events=1, valued=1), rules
    )
    assert (found.word, found.best) == (PASSED, "third")
    alone = judge(pair(arm(2000, 100), arm(2000, 180)), RULES).judged["new"].interval
    assert alone is not None
    assert found.judged["new"].interval is not None
    assert found.judged["new"].interval[0] < alone[0]  # half of alpha


def test_cuped_takes_out_what_users_did_before_and_moves_no_difference() -> None:
    """KPI = habit + .1 of the release, the habit known: the difference is exact, its variance gone."""
    rng = np.random.default_rng(3)
    habits = [rng.poisson(2, 4000).astype(float) for _ in range(2)]
    sides = [
        ArmOutcomes(4000, habit + lift + rng.normal(0, 0.01, 4000), habit[:, None])
        for habit, lift in zip(habits, (0.0, 0.1), strict=True)
    ]
    bare = [ArmOutcomes(4000, side.kpi, np.zeros((4000, 0))) for side in sides]
    assert difference(*sides).estimate == pytest.approx(0.1, abs=0.002)
    assert difference(*sides).variance < difference(*bare).variance / 1000


def test_a_covariate_that_says_nothing_changes_nothing() -> None:
    sides = [ArmOutcomes(4, np.array(kpi), np.ones((4, 2))) for kpi in ([0.0, 0, 0, 1], [0.0, 1, 1, 1])]
    assert difference(*sides) == pytest.approx((0.5, 0.125))
