"""Verdicts by value: against numpy and scipy, and by how often they are right on worlds whose truth is planted."""

import math

import numpy as np
import pytest
from scipy import stats

from components import verdicts
from components.resamples import ACROSS, MODEL, Line, Resamples, digest, read, write
from components.verdicts import Least, Sample, better, draws, interval, means, shared_draws, within

ANY = Least(rows=1, users=1)
RNG = np.random.default_rng(7)


def sample(value: float, *resampled: float, rows: int = 200, users: int = 50) -> Sample:
    return Sample(value, np.array(resampled), rows, users)


def test_both_ends_are_students_t_times_the_deviation_around_the_estimate() -> None:
    resampled = RNG.normal(3.0, 0.2, 400)
    reach = stats.t.ppf(0.95, 49) * np.std(resampled, ddof=1)
    assert interval(1.0, resampled, users=50) == pytest.approx((1 - reach, 1 + reach), rel=1e-9)
    few = stats.t.ppf(0.95, 39) * np.std(resampled[:40], ddof=1)  # few resamples tell little, whatever the users
    assert interval(1.0, resampled[:40], users=1000) == pytest.approx((1 - few, 1 + few), rel=1e-9)
    assert interval(0.0, resampled) == pytest.approx(
        (-stats.t.ppf(0.95, 399) * np.std(resampled, ddof=1), stats.t.ppf(0.95, 399) * np.std(resampled, ddof=1))
    )


@pytest.mark.parametrize("drawn", ["draws", "shared_draws"])
def test_the_deviation_over_draws_of_users_is_that_of_scipys_bootstrap(drawn: str) -> None:
    sums, rows = RNG.gamma(2.0, 1.0, 400), RNG.integers(1, 5, 400)  # [U]
    theirs = stats.bootstrap(
        (sums, rows),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True, n_resamples=4000, rng=np.random.default_rng(1), method="percentile",
    ).standard_error  # fmt: skip
    counted = draws(400, resamples=4000) if drawn == "draws" else shared_draws(np.arange(400), resamples=4000)
    assert np.std(means(sums, rows, counted), ddof=1) == pytest.approx(theirs, rel=0.06)


def test_draws_are_of_as_many_users_as_there_are_and_repeatable() -> None:
    counted = draws(30, resamples=50)
    assert counted.shape == (30, 50)
    assert counted.dtype == np.float32
    np.testing.assert_array_equal(counted.sum(axis=0), 30)
    np.testing.assert_array_equal(counted, draws(30, resamples=50))
    assert (counted != draws(30, resamples=50, seed=1)).any()


def test_a_user_is_drawn_alike_wherever_it_is_met_and_otherwise_than_others() -> None:
    one, other = shared_draws(["a", "b", "c"], resamples=500), shared_draws(["c", "x", "a"], resamples=500)
    np.testing.assert_array_equal(one[0], other[2])
    np.testing.assert_array_equal(one[2], other[0])
    assert abs(np.corrcoef(one[0], one[1])[0, 1]) < 0.15


def test_shared_draws_are_poisson() -> None:
    counted = shared_draws([f"u{n}" for n in range(2000)], resamples=200)
    expected = stats.poisson(1).pmf(np.arange(6))
    found = np.bincount(counted.astype(int).ravel(), minlength=6)[:6] / counted.size
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert counted.dtype == np.float32
    assert np.abs(np.corrcoef(counted[:, :20].T) - np.eye(20)).max() < 0.12  # one draw tells nothing of another


NOISE = (-0.01, 0.0, 0.01)
REACH = float(stats.t.ppf(0.95, 2)) * 0.01  # of three resamples with that noise


@pytest.mark.parametrize(
    ("difference", "tolerance", "lower", "word"),
    [
        (REACH + 1e-6, 0.0, False, "passed"),
        (REACH - 1e-6, 0.0, False, "undecided"),
        (-REACH + 1e-6, 0.0, False, "undecided"),
        (-REACH - 1e-6, 0.0, False, "refused"),
        (REACH - 0.02 + 1e-6, 0.02, False, "passed"),
        (REACH - 0.02 - 1e-6, 0.02, False, "undecided"),
        (-REACH - 0.02 - 1e-6, 0.02, False, "refused"),
        (-REACH - 1e-6, 0.0, True, "passed"),
        (-REACH + 1e-6, 0.0, True, "undecided"),
        (REACH - 1e-6, 0.0, True, "undecided"),
        (REACH + 1e-6, 0.0, True, "refused"),
        (0.02 - REACH - 1e-6, 0.02, True, "passed"),
        (0.02 + REACH + 1e-6, 0.02, True, "refused"),
    ],
)
def test_an_end_of_the_interval_decides(difference: float, tolerance: float, lower: bool, word: str) -> None:
    other = sample(0.5, 0.4, 0.4, 0.4)
    found = better(sample(0.5 + difference, *NOISE), other, tolerance=tolerance, lower=lower, least=ANY)
    assert found.word == word
    assert found.estimate == pytest.approx(difference)
    assert found.interval == pytest.approx((difference - REACH, difference + REACH))
    assert (found.rows, found.users, found.why) == (200, 50, "")
    limit = 0.5 + (tolerance if lower else -tolerance)
    assert within(sample(0.5 + difference, *NOISE), limit, lower=lower, least=ANY).word == word


def test_a_value_that_is_the_limit_holds_it() -> None:
    same = sample(0.25, 0.2, 0.3, 0.25)
    assert better(same, same, least=ANY).word == "passed"
    assert within(Sample(0.1 + 0.2), 0.3, lower=True, least=ANY).word == "passed"
    assert within(Sample(0.2999), 0.3, least=ANY).word == "refused"


def test_sides_of_the_same_draws_are_paired_and_others_are_independent() -> None:
    noise = RNG.normal(0, 0.1, 300)
    mine, other = sample(0.5, *(0.5 + noise)), sample(0.4, *(0.4 + noise))
    assert better(mine, other, least=ANY).interval == pytest.approx((0.1, 0.1))
    reach = stats.t.ppf(0.95, 49) * np.std(noise, ddof=1) * math.sqrt(2)
    apart = better(mine, other, paired=False, least=ANY)
    assert apart.interval == pytest.approx((0.1 - reach, 0.1 + reach))
    assert apart.word == "undecided"
    longer = Sample(0.4, np.concatenate([0.4 + noise, [9.0]]), 200, 50)  # only draws that both have are compared
    assert better(mine, longer, least=ANY).interval == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(
    ("rows", "users", "why"),
    [
        (0, 0, "0 rows are behind it, fewer than 100"),
        (99, 30, "99 rows are behind it, fewer than 100"),
        (100, 29, "29 users are behind it, fewer than 30"),
        (100, 1, "1 user is behind it, fewer than 30"),
        (100, 30, ""),
    ],
)
def test_too_few_rows_or_users_are_undecided(rows: int, users: int, why: str) -> None:
    least = Least(rows=100, users=30)
    plenty = sample(0.1, 0.1, 0.1, 0.1, rows=500, users=500)
    for found in (
        within(sample(0.9, 0.9, 0.9, rows=rows, users=users), 0.5, least=least),
        better(sample(0.9, 0.9, 0.9, 0.9, rows=rows, users=users), plenty, least=least),
        better(plenty, sample(0.05, 0.05, 0.05, 0.05, rows=rows, users=users), least=least),
    ):
        assert (found.word, found.why) == ("undecided" if why else "passed", why)
        assert (found.rows, found.users) == (rows, users)
        assert (found.interval is None) == bool(why)


def test_by_default_two_users_are_asked_for() -> None:
    assert Least() == Least(rows=1, users=2)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_was_not_measured_is_undecided(value: float | None) -> None:
    known, unknown = sample(0.5, 0.5, 0.5), Sample(value, None, 7, 3)
    for found in (
        within(unknown, 0.1, least=ANY), better(unknown, known, least=ANY), better(known, unknown, least=ANY),
    ):  # fmt: skip
        assert (found.word, found.estimate, found.interval, found.why) == (
            "undecided", None, None, "it was not measured",
        )  # fmt: skip
        assert (found.rows, found.users) == (7, 3)


def test_without_resamples_points_are_compared_and_there_is_no_interval() -> None:
    old, new = Sample(0.4), sample(0.5, *RNG.normal(0, 9, 50))
    for mine, other, word in ((old, new, "refused"), (new, old, "passed"), (old, old, "passed")):
        found = better(mine, other, least=Least(rows=100, users=30))
        assert (found.word, found.interval) == (word, None)
    assert within(old, 0.5, least=ANY).word == "refused"
    assert better(old, old, least=ANY).rows is None


def test_a_metric_that_many_resamples_lack_is_undecided_and_one_that_few_lack_is_judged() -> None:
    values = np.full(20, 0.5)
    values[:2] = np.nan
    assert within(Sample(0.5, values, 200, 50), 0.1, least=ANY).word == "passed"
    values[2] = np.nan
    found = within(Sample(0.5, values, 200, 50), 0.1, least=ANY)
    assert (found.word, found.interval, found.why) == ("undecided", None, "too few of the resamples hold it")
    assert better(sample(0.9, *[0.9] * 20), Sample(0.5, values, 200, 50), least=ANY).word == "undecided"
    assert within(Sample(0.5, np.array([0.5]), 200, 50), 0.1, least=ANY).word == "undecided"


def test_the_file_gives_back_what_was_written_and_nothing_of_anybody(tmp_path) -> None:
    users, weeks = np.array(["b-user", "a-user"]), np.array([3, 4])
    lines = [
        Line("map", np.array([0.5, 0.25]), rows=9, users=4),
        Line("map", np.array([0.125, 0.5]), rows=9, users=4, draws=ACROSS),
        Line("map", np.array([0.5, np.nan]), rows=9, users=4, side="popular"),
        Line("map", np.array([0.75]), rows=2, users=1, cohort="segment 1"),
    ]
    write(tmp_path, lines, rows_digest=digest(users, weeks))
    found = read(tmp_path)
    assert found.rows_digest == digest(users[::-1], weeks[::-1]) != digest(users, weeks[::-1])
    assert b"a-user" not in (tmp_path / "resamples.parquet").read_bytes()
    mine = found.sample(0.4, "map")
    assert (mine.value, mine.rows, mine.users) == (0.4, 9, 4)
    assert mine.resampled.tolist() == [0.5, 0.25]
    assert found.sample(0.4, "map", draws=ACROSS).resampled.tolist() == [0.125, 0.5]
    assert found.sample(0.4, "map", side="popular").resampled[0] == 0.5
    assert found.sample(0.4, "map", cohort="segment 1").users == 1
    absent = found.sample(0.4, "map", side="other")  # rows and users are those of the same rows
    assert (absent.resampled, absent.rows, absent.users) == (None, 9, 4)
    assert found.sample(0.4, "ece") == Sample(0.4)
    assert read(tmp_path / "none") == Resamples()
    assert found.lines["", MODEL, "within", "map"].rows == 9


WORLDS, USERS = 100, 400
NOISE_OF_A_USER = 0.053  # of the difference of two rankers' NDCG; the groceries' own, whose mean is about .28


def planted(seed: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """The NDCG of a baseline and of a model for each user; the model is better by a share of the mean, or not."""
    rng = np.random.default_rng(seed)
    baseline = rng.beta(1.4, 3.6, USERS)  # mean .28: users differ far more than two rankers do for one user
    return baseline, baseline + 0.28 * effect + rng.normal(0, NOISE_OF_A_USER, USERS)


@pytest.mark.parametrize(("effect", "least", "most"), [(0.03, 80, 100), (0.0, 0, 5), (-0.03, 0, 0)])
def test_a_true_gain_of_3_percent_is_seen_and_none_is_made_up(effect: float, least: int, most: int) -> None:
    counted, passed = draws(USERS, resamples=400), 0
    for world in range(WORLDS):
        sides = [
            Sample(float(of.mean()), means(of, np.ones(USERS), counted), USERS, USERS)
            for of in planted(1000 + world, effect)
        ]
        passed += better(sides[1], sides[0], least=Least(rows=100, users=30)).word == verdicts.PASSED
    assert least <= passed <= most


def test_what_is_ordinary_is_the_median_and_its_deviation() -> None:
    periods = RNG.normal(10, 2, 20_001)
    of = verdicts.ordinary(periods)
    assert (of.centre, of.periods) == (pytest.approx(np.median(periods)), 20_001)
    assert of.scale == pytest.approx(stats.median_abs_deviation(periods, scale="normal"), rel=1e-4)
    assert of.scale == pytest.approx(2, rel=0.03)
    assert verdicts.ordinary([1.0, 2.0, 3.0, 1e9]).centre == 2.5, "one wild period moves nothing"


def test_periods_that_are_alike_are_known_no_better_than_one_of_them() -> None:
    assert verdicts.ordinary([5.0] * 12) == verdicts.Ordinary(5.0, 0.0, 12)
    assert verdicts.ordinary([5.0] * 12, least_scale=0.3).scale == 0.3
    assert verdicts.ordinary([1.0, 3.0, 5.0], least_scale=0.3).scale == pytest.approx(2 * 1.4826)


@pytest.mark.parametrize("off", [-3.0, 0.0, 0.7, 5.0])
def test_a_surprise_is_both_tails_of_students_t(off: float) -> None:
    of = verdicts.Ordinary(10.0, 2.0, 12)
    assert verdicts.surprise(10 + 2 * off, of) == pytest.approx(2 * stats.t.sf(abs(off), 11))
    assert verdicts.surprise(10.0, verdicts.Ordinary(10.0, 0.0, 12)) == 1.0
    assert verdicts.surprise(10.1, verdicts.Ordinary(10.0, 0.0, 12)) == 0.0


def test_an_interval_of_what_is_ordinary_holds_its_level() -> None:
    low, high = verdicts.Ordinary(10.0, 2.0, 12).interval(0.99)
    assert (low, high) == pytest.approx((10 - 2 * stats.t.ppf(0.995, 11), 10 + 2 * stats.t.ppf(0.995, 11)))
    assert verdicts.surprise(high, verdicts.Ordinary(10.0, 2.0, 12)) == pytest.approx(0.01)


def test_discoveries_are_scipys() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p = np.concatenate([rng.random(80), rng.random(seed) / 1000])
        theirs = stats.false_discovery_control(p) <= 0.05
        np.testing.assert_array_equal(verdicts.discoveries(p, rate=0.05), theirs)
    assert verdicts.discoveries([], rate=0.05).tolist() == []
    assert verdicts.discoveries([0.9, 0.8], rate=0.05).tolist() == [False, False]
    assert verdicts.discoveries([0.04, 0.05], rate=0.05).tolist() == [True, True], "the second lets the first in"


def test_of_signals_that_stand_still_few_windows_have_a_discovery() -> None:
    """At a rate of .05 at most one window in twenty, whatever the number of signals."""
    rng = np.random.default_rng(3)
    called = [verdicts.discoveries(rng.random(100), rate=0.05).any() for _ in range(2000)]
    assert np.mean(called) == pytest.approx(0.05, abs=0.015)


def test_what_none_of_many_was_is_told_by_scipys_beta_binomial() -> None:
    for seen, of, before in ((5, 100, 1200), (1, 40, 400), (3, 3, 0)):
        theirs = stats.betabinom.sf(seen - 1, of, 0.5, before + 0.5)
        assert verdicts.never_before(seen, of, before) == pytest.approx(theirs, rel=1e-6)
    assert verdicts.never_before(0.4, 10, 100) == verdicts.never_before(1, 10, 100), "something was seen"


def test_the_biweight_of_normal_errors_is_their_deviation_and_far_ones_do_not_move_it() -> None:
    errors = np.random.default_rng(0).normal(0, 2.0, 20_000)
    assert verdicts.biweight(errors) == pytest.approx(2.0, rel=0.02)
    assert verdicts.biweight(np.append(errors[:500], [1e6] * 50)) == pytest.approx(2.0, rel=0.25)
    few = [verdicts.biweight(one) for one in errors[:19_500].reshape(-1, 26)]
    mads = [verdicts.ordinary(one).scale for one in errors[:19_500].reshape(-1, 26)]
    assert np.std(few) < 0.8 * np.std(mads), "it is known better than a median absolute deviation"


def test_families_are_told_no_more_often_than_the_rate_where_nothing_is_to_be_found() -> None:
    rng, told = np.random.default_rng(0), 0
    families = ["a"] * 3 + ["b"] * 40 + ["c"] * 7
    for _ in range(2000):
        told += verdicts.discoveries_by_family(rng.random(50), families, rate=0.05).any()
    assert told / 2000 == pytest.approx(0.05, abs=0.015)
    assert verdicts.discoveries_by_family([], [], rate=0.1).tolist() == []
    lone = [0.004, *rng.uniform(0.3, 1.0, 49)]
    assert verdicts.discoveries_by_family(lone, families, rate=0.05).tolist() == [True, *[False] * 49]
