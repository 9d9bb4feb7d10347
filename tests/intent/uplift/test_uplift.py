"""Effects on worlds whose truth is known: found where they are, none where there is none."""

import numpy as np
import pytest

from components.intent.uplift import effects
from components.intent.uplift.learners import Estimates, learn
from components.intent.uplift.treated import Treated
from feature_repo.errors import DataError

N = 3000


def world(seed: int, *, effect: float = 1.0, by_lot: bool = False, hidden: float = 0.0) -> tuple[Treated, np.ndarray]:
    """Heavy buyers are likelier to get it; only who has the second feature is changed by it. Return its truth too."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 4))
    secret = rng.normal(size=N)  # nobody measured it
    chance = np.full(N, 0.5) if by_lot else 1 / (1 + np.exp(-(x[:, 0] + hidden * secret)))
    treated = rng.random(N) < chance
    truth = effect * (x[:, 1] > 0)
    outcome = 2 * x[:, 0] + hidden * secret + truth * treated + rng.normal(size=N)
    return Treated(x, treated, outcome, np.arange(N)), truth


@pytest.fixture(scope="module")
def learnt() -> tuple[Treated, np.ndarray, Estimates]:
    rows, truth = world(1)
    return rows, truth, learn(rows, folds=3, trees=60)


def test_the_effect_is_found_though_heavy_buyers_got_it_and_the_plain_difference_misleads(learnt) -> None:
    rows, truth, found = learnt
    plain, robust = effects.naive(rows), effects.doubly_robust(rows, found)
    assert plain.low > truth.mean() + 1
    assert robust.low < truth.mean() < robust.high
    assert robust.high - robust.low < 0.4
    assert not robust.nothing


def test_both_learners_say_whom_it_changes(learnt) -> None:
    _, truth, found = learnt
    changed = truth > 0
    for expected in (found.by_t, found.by_dr):
        assert expected[changed].mean() - expected[~changed].mean() > 0.6
        assert np.sqrt(((expected - truth) ** 2).mean()) < 0.7


def test_groups_by_expected_effect_grow(learnt) -> None:
    rows, _, found = learnt
    least, _, _, most = effects.groups(rows, found, found.by_dr)
    assert most.low > least.high
    assert least.nothing


def test_overlap_says_that_it_was_not_drawn_by_lot_and_that_weights_mend_it(learnt) -> None:
    rows, _, found = learnt
    seen = effects.overlap(rows, found)
    assert 0.65 < seen.auc < 0.8
    assert (seen.imbalanced, seen.weighted) == (1, 0)
    assert 0 < seen.effective < N
    assert (seen.least, seen.most) == pytest.approx(np.quantile(found.chance, [0.01, 0.99]))
    drawn, _ = world(2, by_lot=True)
    assert effects.overlap(drawn, learn(drawn, folds=2, trees=10)).auc == pytest.approx(0.5, abs=0.05)


def test_no_effect_is_none() -> None:
    rows, _ = world(3, effect=0.0)
    assert effects.doubly_robust(rows, learn(rows, folds=3, trees=60)).nothing


def test_what_nobody_measured_makes_an_effect_where_there_is_none() -> None:
    """Such as a placebo shows: its outcome came before, so its true effect is 0."""
    rows, _ = world(4, effect=0.0, hidden=1.5)
    assert effects.doubly_robust(rows, learn(rows, folds=3, trees=60)).low > 0


def test_a_user_s_rows_count_as_one_user() -> None:
    values = np.random.default_rng(5).normal(size=50)
    once, thrice = (
        effects.mean_effect(values, np.arange(50)),
        effects.mean_effect(np.tile(values, 3), np.tile(np.arange(50), 3)),
    )
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high))
    assert (thrice.rows, thrice.users) == (150, 50)


def test_folds_keep_a_user_together() -> None:
    rows, _ = world(6)
    twice = Treated(*(np.concatenate([a, a]) for a in (rows.features, rows.treated, rows.outcome, rows.user)))
    fold = twice.folds(3, seed=0)
    assert (fold[:N] == fold[N:]).all()
    assert min(np.bincount(fold)) == 2 * N // 3


def test_the_auc_by_hand() -> None:
    """Of four pairs three are in order and one is equal: 3.5 / 4."""
    assert effects._auc(np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, True, False, True])) == 3.5 / 4
    assert effects._auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([False, True, False, True])) == 0.5 / 4


def test_where_nobody_can_be_compared_there_is_no_effect_and_no_number() -> None:
    """Its mean would be nan, whose interval does not hold 0: an effect, as it reads."""
    x = np.random.default_rng(8).normal(size=(N, 2))
    rows = Treated(x, x[:, 0] > 0, x[:, 1], np.arange(N))
    with pytest.raises(DataError, match="uplift: no row can be compared"):
        learn(rows, folds=2, trees=200)
    none = Estimates(*np.zeros((5, N)), compared=np.zeros(N, dtype=bool))
    with pytest.raises(DataError, match="uplift: no row can be compared"):
        effects.doubly_robust(rows, none)
    with pytest.raises(DataError, match="uplift: no row can be compared"):
        effects.groups(rows, none, none.by_dr)


def test_one_user_who_got_it_is_nobody_to_learn_from() -> None:
    rows, _ = world(9)
    alone = Treated(rows.features, np.arange(N) < 200, rows.outcome, np.maximum(np.arange(N), 199))
    with pytest.raises(DataError, match="too few users to learn from some of them"):
        learn(alone, folds=3, trees=5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"treated": np.arange(N) < 7}, "7 rows of 3000 got it, fewer than 100"),
        ({"treated": np.arange(N) >= 7}, "7 rows of 3000 did not get it"),
        ({"outcome": np.full(N, np.nan)}, "hold nan or infinity"),
    ],
)
def test_rows_that_say_nothing_are_refused(change, said) -> None:
    rows, _ = world(7)
    with pytest.raises(DataError, match=said):
        Treated(
            **{"features": rows.features, "treated": rows.treated, "outcome": rows.outcome, "user": rows.user} | change
        )
