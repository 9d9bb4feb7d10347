"""Drift of frames with planted answers: what must alarm does, what must not does not, whatever the sizes."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from components.verdicts import PASSED, REFUSED, UNDECIDED
from monitoring.drift.compare import compare
from monitoring.spec import Monitoring

pytestmark = pytest.mark.world

SPEC = Monitoring()


def frame(rows: int, *, seed: int, spend: float = 1.0, values: tuple[float, ...] = (0.5, 0.3, 0.2)) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    spent = rng.gamma(3, 10 * spend, rows)
    return pd.DataFrame(
        {
            "spend": np.log1p(spent),
            "per_item": np.log1p(spent / rng.integers(1, 9, rows)),
            "recency": rng.integers(0, 28, rows).astype(float),
            "mix": rng.choice(["soup", "bread", "fruit"], rows, p=values),
        }
    )


def test_two_samples_of_one_world_are_stable() -> None:
    drift = compare(frame(4000, seed=1), frame(6000, seed=2), spec=SPEC)
    assert (drift.verdict, drift.share, drift.drifted) == ("stable", 0.0, [])
    assert drift.reason.startswith("0 of 4 columns drifted (a verdict needs a share of 0.3): nearest to it ")
    assert {name: (c.method, c.threshold) for name, c in drift.columns.items()} == {
        "spend": ("psi", 0.2),
        "per_item": ("psi", 0.2),
        "recency": ("psi", 0.2),
        "mix": ("jensenshannon", 0.1),
    }


def test_a_planted_drift_is_named_worst_first() -> None:
    drift = compare(frame(4000, seed=1, spend=3, values=(0.1, 0.1, 0.8)), frame(6000, seed=2), spec=SPEC)
    assert drift.verdict == "drifted"
    assert drift.drifted == ["spend", "per_item", "mix"]
    assert drift.share == 0.75
    assert "spend psi" in drift.reason


def test_one_column_alone_is_named_but_is_no_verdict() -> None:
    drift = compare(frame(4000, seed=1, values=(0.1, 0.1, 0.8)), frame(6000, seed=2), spec=SPEC)
    assert (drift.verdict, drift.drifted) == ("stable", ["mix"])
    assert compare(
        frame(4000, seed=1, values=(0.1, 0.1, 0.8)), frame(6000, seed=2), spec=Monitoring(share=0.25)
    ).verdict == ("drifted")


@pytest.mark.parametrize(
    ("current", "reference", "verdict"),
    [(120, 120, "undecided"), (300, 5000, "stable"), (999, 1001, "stable")],
)
def test_small_windows_of_one_world_do_not_alarm(current: int, reference: int, verdict: str) -> None:
    many = tuple(np.full(40, 1 / 40))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        now, then = (
            frame(n, seed=int(rng.integers(1 << 30))).assign(
                mix=rng.choice([f"value {i}" for i in range(40)], n, p=many)
            )
            for n in (current, reference)
        )
        drift = compare(now, then, spec=SPEC)
        assert (drift.verdict, drift.columns["mix"].drifted) == (verdict, False)
        assert drift.columns["mix"].word != PASSED  # 40 values on so few rows: chance alone passes the threshold


def test_methods_stay_the_same_below_and_above_a_thousand_rows() -> None:
    small, large = (compare(frame(n, seed=1), frame(n, seed=2), spec=SPEC).columns for n in (900, 1100))
    assert [c.method for c in small.values()] == [c.method for c in large.values()]


def of_users(found: pd.DataFrame, users: int) -> pd.DataFrame:
    """Give the rows to so many users, in turn."""
    ids = [f"u{row % users}" for row in range(len(found))]
    return found.set_index(pd.MultiIndex.from_arrays([ids, range(len(found))], names=["user_id", "week"]))


def test_too_few_rows_are_undecided_with_the_numbers() -> None:
    drift = compare(frame(50, seed=1), frame(500, seed=2), spec=SPEC)
    assert drift.verdict == "undecided"
    said = "the current window is too small: 50 rows are behind it, fewer than 100 "
    assert drift.reason == f"{said}(monitoring.min_rows, monitoring.min_users)"
    assert (drift.snapshot, drift.document()["word"]) == (None, UNDECIDED)


def test_a_window_of_three_users_is_undecided_however_many_rows_they_have() -> None:
    drift = compare(of_users(frame(900, seed=1), 3), of_users(frame(900, seed=2), 300), spec=SPEC)
    assert (drift.verdict, drift.columns) == ("undecided", {})
    assert "the current window is too small: 3 users are behind it, fewer than 20" in drift.reason


def test_few_users_with_many_rows_each_tell_less_than_many_users() -> None:
    """The same rows: of 30 users each with its own level, or of 900, one row each."""
    rng = np.random.default_rng(3)
    now, then = (
        pd.DataFrame({"spend": np.repeat(rng.normal(0, 1, 30), 30) + rng.normal(0, 0.1, 900)}) for _ in range(2)
    )
    few = compare(of_users(now.iloc[np.argsort(np.tile(np.arange(30), 30), kind="stable")], 30), then, spec=SPEC)
    many = compare(now, then, spec=SPEC)
    assert many.columns["spend"].word == REFUSED  # wrongly: rows of one user are no evidence of another's
    assert few.columns["spend"].score == many.columns["spend"].score
    wide, narrow = (drift.columns["spend"].interval for drift in (few, many))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]


def test_a_column_at_its_threshold_is_undecided_and_so_is_the_verdict_that_hangs_on_it() -> None:
    now, then = frame(1000, seed=1), frame(6000, seed=2)
    score = compare(now.assign(spend=now["spend"] + 0.3), then, spec=SPEC).columns["spend"].score
    drift = compare(now.assign(spend=now["spend"] + 0.3), then, spec=Monitoring(psi=score, share=0.25))
    column = drift.columns["spend"]
    assert (column.word, column.drifted, drift.verdict) == (UNDECIDED, False, "undecided")
    assert column.interval[0] < score < column.interval[1]
    ends = f"({column.interval[0]:.3f} to {column.interval[1]:.3f})"
    assert f"1 undecided: spend psi {score:.3f} {ends} of " in drift.reason
    assert compare(now.assign(spend=now["spend"] + 0.3), then, spec=Monitoring(psi=score)).verdict == "stable"


def test_a_column_of_few_values_is_undecided() -> None:
    now, then = frame(500, seed=1), frame(500, seed=2)
    for part in (now, then):
        part.loc[part.index >= 40, "spend"] = np.nan
    column = compare(now, then, spec=SPEC).columns["spend"]
    assert (column.word, column.why) == (UNDECIDED, "40 rows are behind it, fewer than 100")


def test_a_column_that_lost_its_values_is_an_alarm_of_its_own() -> None:
    drift = compare(frame(500, seed=1).assign(recency=np.nan), frame(500, seed=2), spec=Monitoring(share=0.2))
    assert (drift.verdict, drift.drifted, drift.lost) == ("lost", ["recency"], ["recency"])
    assert (drift.columns["recency"].score, drift.document()["word"]) == (None, REFUSED)
    assert "recency has no values any more" in drift.reason


def test_a_frame_that_lost_every_column_is_an_alarm() -> None:
    now = frame(500, seed=1)
    drift = compare(now.assign(**dict.fromkeys(now.columns, np.nan)), frame(500, seed=2), spec=SPEC)
    assert (drift.verdict, len(drift.lost), drift.snapshot) == ("lost", 4, None)


def test_a_lost_column_outweighs_a_world_that_moved() -> None:
    now = frame(4000, seed=1, spend=3, values=(0.1, 0.1, 0.8)).assign(recency=np.nan)
    drift = compare(now, frame(6000, seed=2), spec=SPEC)
    assert (drift.verdict, drift.share, drift.lost) == ("lost", 1.0, ["recency"])


def test_a_column_that_lost_most_of_its_values_is_not_stable() -> None:
    now, then = frame(1000, seed=1), frame(1000, seed=2)
    now.loc[np.random.default_rng(0).random(1000) < 0.97, "spend"] = np.nan
    drift = compare(now, then, spec=SPEC)
    assert (drift.verdict, drift.drifted, drift.lost) == ("lost", ["spend"], ["spend"])
    assert "spend lost 97 % of its values" in drift.reason
    assert drift.columns["spend"].lost == pytest.approx(0.97, abs=0.01)


def test_a_column_that_always_had_few_values_is_stable() -> None:
    now, then = frame(2000, seed=1), frame(2000, seed=2)
    for part, seed in ((now, 0), (then, 1)):
        part.loc[np.random.default_rng(seed).random(2000) < 0.9, "spend"] = np.nan
    assert compare(now, then, spec=SPEC).verdict == "stable"


def test_constant_columns_and_columns_of_one_side_do_not_count() -> None:
    now, then = frame(500, seed=1).assign(flat=1.0, only_now=2.0), frame(500, seed=2).assign(flat=1.0)
    assert set(compare(now, then, spec=SPEC).columns) == {"spend", "per_item", "recency", "mix"}


def test_values_that_differ_in_the_last_bits_only_are_one_value() -> None:
    jitter = np.random.default_rng(0).integers(0, 2, 500) * 2.0**-52
    now, then = (frame(500, seed=n).assign(ratio=1.0 + jitter) for n in (1, 2))
    assert "ratio" not in compare(now, then, spec=SPEC).columns


def test_infinite_values_are_left_out() -> None:
    now = frame(500, seed=1)
    now.loc[3, "spend"] = np.inf
    assert compare(now, frame(500, seed=2), spec=SPEC).drifted == []


def test_at_most_the_sample_is_compared_and_always_the_same_one() -> None:
    now, then, spec = frame(900, seed=1), frame(2000, seed=2), Monitoring(sample=500)
    first, second = compare(now, then, spec=spec), compare(now, then, spec=spec)
    assert first.rows == {"reference": 500, "current": 500}
    assert first.document() == second.document()


def test_the_run_carries_its_time_and_metadata() -> None:
    at = dt.datetime(2017, 12, 25, 5, tzinfo=dt.UTC)
    drift = compare(frame(500, seed=1), frame(500, seed=2), spec=SPEC, at=at, metadata={"release": "abc"})
    model = drift.snapshot.to_snapshot_model()
    assert (model.metadata["release"], model.timestamp) == ("abc", at)
    assert [t["status"].value for t in drift.snapshot.dict()["tests"]] == ["SUCCESS"] * 5  # 4 columns, the share


def test_the_reference_against_resamples_of_itself_is_stable() -> None:
    reference = frame(3000, seed=7)
    rng = np.random.default_rng(0)
    alarms = [compare(reference.iloc[rng.integers(0, 3000, 3000)], reference, spec=SPEC).drifted for _ in range(5)]
    assert alarms == [[]] * 5
