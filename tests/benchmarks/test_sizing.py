"""The sizing: arithmetic that can be checked by hand, and a page that says what the script says."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import sizing
from benchmarks.sizing import Load, Measured

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sizing.md"
ROUND = Measured(
    door_cpu_s=0.01, router_cpu_s=0.005, door_memory_gib=1.0, row_bytes=2**20, profile_cpu_s=3.6e-6,
    profile_events=1e6, materialise_rows_s=1000, train_cpu_s=0.36, log_bytes=2**10, event_bytes=2**10,
)  # fmt: skip
EASY = Load(
    active=0.5, requests=2, events=1, peak=10, history_days=100, headroom=0.5, sample=0.5, log_days=10,
    train_users=1000, train_rows=10, redis_gib=100,
)  # fmt: skip


def test_a_scale_by_hand():
    found = sizing.size(8_640_000, ROUND, EASY)
    assert found["reads_per_s_peak"] == 1000.0  # 8.64 M · 0.5 · 2 / 86,400 · 10
    assert found["doors"] == 20  # 1000 · 0.01 s / 0.5
    assert found["routers"] == 10
    assert found["store_gib"] == 33750.0  # 2 · 8.64 M · 1 MiB / 0.5
    assert found["store_shards"] == 338
    assert found["events_of_history"] == 432_000_000
    assert found["profile_core_hours"] == 0.43  # 432 M · 3.6 µs
    assert found["materialise_hours"] == 2.4
    assert found["train_core_hours"] == 1.0  # 10,000 rows · 0.36 s
    assert found["request_log_gib_day"] == 4.12  # 4.32 M lines of a KiB


def test_a_cost_by_hand():
    sized = sizing.size(8_640_000, ROUND, EASY)
    found = sizing.cost(sized, EASY, {"cpu": 10.0, "memory_gib": 0.0, "disk_gib": 1.0})
    assert found["cpu"] == pytest.approx(30 + (30 * 0.43 + 4 * 1.0) / 720, abs=0.01)
    assert found["memory_gib"] == 20 / 0.5 + 1 + 33750
    assert found["a_month"] == pytest.approx(10 * (30 + 16.9 / 720) + 41.2 + 365 * 4.12, rel=0.01)


def test_nobody_needs_less_than_two_of_each():
    found = sizing.size(10, Measured(), Load())
    assert (found["doors"], found["routers"], found["store_shards"]) == (2, 2, 1)
    assert sizing.limits(found, Measured()) == []


def test_what_breaks_first_comes_first():
    found = sizing.limits(sizing.size(10_000_000, Measured(), Load()), Measured())
    times = [float(one["times_over"]) for one in found]
    assert times == sorted(times, reverse=True)
    assert {"one Redis", "profiles on one machine"} <= {one["what"] for one in found}


def test_logging_less_mends_what_logging_breaks():
    load = replace(Load(), sample=0.01)
    found = sizing.limits(sizing.size(10_000_000, Measured(), load), Measured())
    assert "every answer logged" not in {one["what"] for one in found}


def test_the_page_says_what_the_script_says():
    document = {"scales": []}
    for users in sizing.SCALES:
        sized = sizing.size(users, Measured(), Load())
        prices = dict.fromkeys(sizing.UNITS, 1.0)
        document["scales"].append(
            sized | {"cost": sizing.cost(sized, Load(), prices), "breaks_first": sizing.limits(sized, Measured())}
        )
    rows = [line for line in sizing.text(document).splitlines() if line.startswith("| 1")]
    assert len(rows) == 2 * len(sizing.SCALES)
    page = PAGE.read_text()
    assert [row for row in rows if row not in page] == []


def test_a_price_that_is_none_is_one_line():
    from feature_repo.errors import SpecError

    with pytest.raises(SpecError, match="'gpu' is not there; have cpu"):
        sizing._pairs(["gpu=1"], sizing.UNITS)
    with pytest.raises(SpecError, match="cpu: 'much' is no number"):
        sizing._pairs(["cpu=much"], sizing.UNITS)
