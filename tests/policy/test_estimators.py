"""Values by hand, values by Open Bandit Pipeline, and intervals that hold the truth as often as they say."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.policy_worlds import PlaceWorld
from components.policy.evaluation import overlap
from components.policy.evaluation.estimators import ESTIMATORS, NAMES, Settings, estimate, estimates, named
from components.policy.evaluation.logged import Logged, of_actions
from feature_repo.errors import DataError

OBP = Path(__file__).parent / "obp_values.json"  # written by `python -m tests.policy.obp_values`
FEW = Settings(resamples=50)
#           reward propensity target   model: of what was shown, of what the target would show
BY_HAND = (
    (1.0, 0.50, 0.25, 0.50, 0.6),  # weight 0.5
    (0.0, 0.25, 0.50, 0.50, 0.4),  # 2
    (1.0, 0.50, 0.50, 0.25, 0.2),  # 1
)


def by_hand(*, user: list[str] | None = None) -> Logged:
    columns = [np.array(column) for column in zip(*BY_HAND, strict=True)]
    return Logged(*columns, user=None if user is None else np.array(user))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ips", (0.5 * 1 + 2 * 0 + 1 * 1) / 3),
        ("snips", 1.5 / 3.5),
        ("dm", (0.6 + 0.4 + 0.2) / 3),
        ("dr", (0.6 + 0.5 * 0.5 + 0.4 - 2 * 0.5 + 0.2 + 1 * 0.75) / 3),
        ("switch_dr", (0.6 + 0.5 * 0.5 + 0.4 + 0.2 + 1 * 0.75) / 3),  # the weight of 2 is above tau
        ("shrunk_dr", (0.6 + 0.4 * 0.5 + 0.4 - 0.4 * 0.5 + 0.2 + 0.5 * 0.75) / 3),  # w / (w² + 1)
    ],
)
def test_the_value_is_the_one_by_hand(name: str, value: float) -> None:
    found = estimate(by_hand(), name, Settings(tau=1.0, lambda_=1.0, resamples=50))
    assert found.value == pytest.approx(value, abs=1e-12)


def test_there_is_a_value_by_hand_for_every_estimator() -> None:
    assert NAMES == ("ips", "snips", "dm", "dr", "switch_dr", "shrunk_dr")
    assert [one.name for one in ESTIMATORS if not one.trusted] == ["dm"]


def test_a_distribution_gives_the_same_rows() -> None:
    target, model = np.array([[0.2, 0.8], [1.0, 0.0]]), np.array([[0.5, 0.25], [0.1, 0.9]])
    log = of_actions(np.array([1, 0]), np.array([1.0, 0.0]), np.array([0.4, 0.5]), target, model=model)
    assert log.weight.tolist() == [2.0, 2.0]
    assert log.predicted is not None
    assert log.expected is not None
    assert log.predicted.tolist() == [0.25, 0.1]
    assert log.expected == pytest.approx([0.2 * 0.5 + 0.8 * 0.25, 0.1])


def test_the_limits_of_switch_and_shrinkage_are_dr_and_dm() -> None:
    log = by_hand()
    dr, dm = (estimate(log, name, FEW).value for name in ("dr", "dm"))
    for name in ("switch_dr", "shrunk_dr"):
        never = estimate(log, name, Settings(tau=math.inf, lambda_=math.inf, resamples=50))
        always = estimate(log, name, Settings(tau=0.0, lambda_=0.0, resamples=50))
        assert (never.value, always.value) == (pytest.approx(dr), pytest.approx(dm))
        assert (never.ess, always.ess) == (pytest.approx(12.25 / 5.25), 0.0)


def test_the_policy_that_wrote_the_log_is_worth_what_it_got() -> None:
    reward, propensity = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.5, 0.25, 0.1, 1.0])
    for name, found in estimates(Logged(reward, propensity, propensity), settings=FEW).items():
        assert found.value == 0.75, name


def test_a_log_without_a_model_serves_the_two_that_need_none() -> None:
    plain = Logged(*(np.array(column) for column in list(zip(*BY_HAND, strict=True))[:3]))
    assert list(estimates(plain, settings=FEW)) == ["ips", "snips"]
    with pytest.raises(DataError, match="reads a reward model, and the log has none; fit one, or take ips or snips"):
        estimate(plain, "dr", FEW)
    with pytest.raises(DataError, match=r"policy estimator 'drr': have ips, .*; did you mean 'dr'?"):
        named("drr")


def test_rows_of_a_user_are_resampled_together() -> None:
    """Two users, one of whom always acts: their mean is 0, 1/2 or 1, whatever the number of their rows."""
    reward, even = np.array([1.0] * 50 + [0.0] * 50), np.full(100, 0.5)
    one_each = estimate(Logged(reward, even, even), "ips").bootstrap
    together = estimate(Logged(reward, even, even, user=np.array(["a"] * 50 + ["b"] * 50)), "ips").bootstrap
    assert (together.low, together.high) == (0.0, 1.0)
    assert 0.3 < one_each.low < one_each.high < 0.7


def test_a_chosen_threshold_leaves_out_what_a_good_model_knows_already() -> None:
    """A tenth of the rows weigh 50 and are as often above the model as below it: they only add noise."""
    rows = 400
    heavy = np.arange(rows) % 10 < 2
    propensity = np.where(heavy, 1 / 50, 1.0)
    model = np.full(rows, 0.5)
    log = Logged(np.arange(rows) % 2 * 1.0, propensity, np.ones(rows), model, model)
    wide = estimate(log, "dr", FEW).bootstrap.width
    for name in ("switch_dr", "shrunk_dr"):
        found = estimate(log, name, FEW)
        assert found.parameter is not None
        assert found.parameter < math.inf
        assert found.bootstrap.width < wide / 10


def test_a_chosen_threshold_keeps_what_the_model_has_wrong() -> None:
    """The same, but heavy rows are always rewarded: to leave them out would lose half of the value."""
    rows = 4000
    heavy = np.arange(rows) % 10 < 2
    model = np.full(rows, 0.5)
    log = Logged(np.where(heavy, 1.0, 0.5), np.where(heavy, 0.2, 1.0), np.ones(rows), model, model)
    dr = estimate(log, "dr", FEW).value
    for name in ("switch_dr", "shrunk_dr"):
        assert estimate(log, name, FEW).value == pytest.approx(dr, rel=0.05)


BAD = [
    ("propensity", 0.0, "policy log: propensity 0 of row 1 .1 in all.; what was shown had a probability above 0"),
    ("propensity", -0.1, "propensity -0.1 of row 1"),
    ("propensity", 1.5, "propensity 1.5 of row 1"),
    ("propensity", math.nan, "propensity nan of row 1"),
    ("target", 1.2, "target 1.2 of row 1 .1 in all.; a probability is 0 to 1"),
    ("target", math.nan, "target nan of row 1"),
    ("reward", math.nan, "reward nan of row 1 .1 in all.; it must be a finite number"),
    ("predicted", math.inf, "predicted inf of row 1"),
    ("expected", math.nan, "expected nan of row 1"),
]


@pytest.mark.parametrize(("name", "value", "said"), BAD)
def test_a_row_that_no_estimator_can_use_is_refused(name: str, value: float, said: str) -> None:
    columns = dict(
        zip(("reward", "propensity", "target", "predicted", "expected"), zip(*BY_HAND, strict=True), strict=True)
    )
    arrays = {key: np.array(column) for key, column in columns.items()}
    arrays[name][1] = value
    with pytest.raises(DataError, match=said):
        Logged(**arrays)


def test_an_empty_log_and_columns_that_do_not_fit_are_refused() -> None:
    none = np.zeros(0)
    with pytest.raises(DataError, match=r"policy log: holds no row; .* explore first"):
        Logged(none, none, none)
    with pytest.raises(DataError, match=r"target has shape \(2,\) and reward \(3,\); give one a row"):
        Logged(np.zeros(3), np.ones(3), np.ones(2))
    with pytest.raises(DataError, match="predicted and expected belong together"):
        Logged(np.zeros(3), np.ones(3), np.ones(3), predicted=np.zeros(3))
    with pytest.raises(DataError, match=r"target 0.9 of row 0 .1 in all.; a policy's probabilities add up to 1"):
        of_actions(np.array([0]), np.zeros(1), np.ones(1), np.array([[0.5, 0.4]]))


def test_no_weight_at_all_is_no_value() -> None:
    log = Logged(np.ones(3), np.full(3, 0.5), np.zeros(3))
    found = estimate(log, "snips", FEW)
    assert (found.value, found.ess) == (0.0, 0.0)
    assert (found.bootstrap.low, found.bootstrap.high) == (-math.inf, math.inf)


def test_values_are_those_of_open_bandit_pipeline() -> None:
    from tests.policy import obp_values

    recorded = json.loads(OBP.read_text())
    ours = obp_values.ours()
    assert set(recorded) == set(ours)
    for campaign, values in recorded.items():
        assert set(values) == set(ours[campaign])
        for name, value in values.items():
            assert ours[campaign][name] == pytest.approx(value, abs=1e-6), (campaign, name)


@pytest.mark.process
def test_recorded_values_are_what_it_says_today() -> None:
    from tests.policy import obp_values

    python = obp_values.installed()
    if python is None:
        pytest.skip("obp has no environment here; `python -m benchmarks.policy` makes one")
    recorded, today = json.loads(OBP.read_text()), obp_values.theirs(python)
    assert set(today) == set(recorded)
    for campaign, values in today.items():
        assert values == pytest.approx(recorded[campaign], abs=1e-9)


def test_intervals_hold_the_truth_and_are_not_wide() -> None:
    """95 % intervals cover in 90 of 100 draws, at most twice as wide as those of who knows the rewards."""
    world, seeds = PlaceWorld.made(), 100
    settings = Settings(resamples=400, most_weight=world.most_weight)
    found: dict[str, list[bool]] = {}
    sure: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for seed in range(seeds):
        drawn = world.drawn(2000, seed)
        every = estimates(drawn.log(drawn.model()), settings=settings)
        every["knowing"] = estimates(drawn.knowing(), ("dr",), settings)["dr"]
        for name, one in every.items():
            found.setdefault(name, []).append(one.bootstrap.low <= world.truth <= one.bootstrap.high)
            sure.setdefault(name, []).append(one.bernstein.low <= world.truth <= one.bernstein.high)
            widths.setdefault(name, []).append(one.bootstrap.width)
    knowing = np.median(widths["knowing"])
    for name in ("ips", "snips", "dr", "switch_dr", "shrunk_dr"):
        assert sum(found[name]) >= 90, (name, sum(found[name]))
        assert sum(sure[name]) >= 95, (name, sum(sure[name]))
        assert np.median(widths[name]) <= 2 * knowing, name
    assert sum(found["dm"]) < 90, "the direct method's interval knows nothing of its model's error"
    assert np.median(widths["dm"]) < knowing / 2


def test_overlap_says_how_much_a_log_supports() -> None:
    log = by_hand(user=["a", "a", "b"])
    found = overlap.measured(log)
    assert (found.rows, found.users) == (3, 2)
    assert found.ess == pytest.approx(12.25 / 5.25)
    assert (found.largest_weight, found.least_propensity, found.explored) == (2.0, 0.25, 1.0)
    assert found.mean_weight == pytest.approx(3.5 / 3)
    assert found.unsupported == 0.0, "three rows tell nothing"
    assert not found.inflated


def test_what_a_log_never_tried_is_seen() -> None:
    """The logging policy shows two of three items; the target puts 0.4 on the third."""
    rng = np.random.default_rng(0)
    action = rng.integers(2, size=5000)
    target = np.array([0.3, 0.3])[action]
    found = overlap.measured(Logged(np.zeros(5000), np.full(5000, 0.5), target))
    assert found.unsupported == pytest.approx(0.4, abs=1e-9)
    greedy = overlap.measured(Logged(np.zeros(9), np.ones(9), np.full(9, 0.7)))
    assert greedy.greedy
    assert greedy.unsupported == pytest.approx(0.3)


def test_propensities_that_are_too_small_are_seen() -> None:
    """Two items by turns, shown alike, and logged as if each had been shown a quarter of the time."""
    found = overlap.measured(Logged(np.zeros(5000), np.full(5000, 0.25), np.full(5000, 0.5)))
    assert found.inflated
    assert found.mean_weight == 2.0
