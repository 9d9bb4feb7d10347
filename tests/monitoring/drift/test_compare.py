"""Drift of frames with planted answers: what must alarm does, what must not does not, whatever the sizes."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

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


@pytest.mark.parametrize(("current", "reference"), [(120, 120), (300, 5000), (999, 1001)])
def test_small_windows_of_one_world_do_not_alarm(current: int, reference: int) -> None:
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
        assert (drift.verdict, drift.columns["mix"].drifted) == ("stable", False)


def test_methods_stay_the_same_below_and_above_a_thousand_rows() -> None:
    small, large = (compare(frame(n, seed=1), frame(n, seed=2), spec=SPEC).columns for n in (900, 1100))
    assert [c.method for c in small.values()] == [c.method for c in large.values()]


def test_too_few_rows_are_no_data() -> None:
    drift = compare(frame(50, seed=1), frame(500, seed=2), spec=SPEC)
    assert drift.verdict == "no_data"
    assert drift.reason == "50 rows in the current window, fewer than 100 (monitoring.min_rows)"
    assert drift.snapshot is None


def test_a_column_that_lost_its_values_has_drifted() -> None:
    drift = compare(frame(500, seed=1).assign(recency=np.nan), frame(500, seed=2), spec=Monitoring(share=0.2))
    assert (drift.verdict, drift.drifted) == ("drifted", ["recency"])
    assert drift.columns["recency"].score is None
    assert "recency has no values any more" in drift.reason


def test_a_column_that_lost_most_of_its_values_is_not_stable() -> None:
    now, then = frame(1000, seed=1), frame(1000, seed=2)
    now.loc[np.random.default_rng(0).random(1000) < 0.97, "spend"] = np.nan
    drift = compare(now, then, spec=SPEC)
    assert (drift.verdict, drift.drifted) == ("drifted", ["spend"])
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
