"""The job `quality`: how late a source's events are known, and a look at a finished shop's answers."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.errors import SpecError
from pipelines.environment import place
from pipelines.jobs import quality, run
from tests.pipelines.conftest import Shop

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(("late", "seconds"), [([0] * 100, 0), ([0] * 95 + [3600] * 5, 3600), ([-60] * 100, 0)])
def test_the_label_delay_is_by_when_nearly_all_events_are_known(late: list[int], seconds: int, tmp_path: Path) -> None:
    at = [NOON + dt.timedelta(minutes=n) for n in range(len(late))]
    known = [one + dt.timedelta(seconds=after) for one, after in zip(at, late, strict=True)]
    times = pa.timestamp("us", tz="UTC")
    table = pa.table({"timestamp": pa.array(at, times), "created_at": pa.array(known, times)})
    pq.write_table(table, tmp_path / "events.parquet")
    assert quality.delay(tmp_path / "events.parquet") == seconds


def test_a_page_says_what_is_not_ripe_beside_what_came_true() -> None:
    line = {"starts": "2024-01-01T00:00:00", "release": "ab", "users": 40, "ripe": True, "estimate": {"map": 0.3}}
    ripe = line | {"realised": {"map": {"value": 0.25, "low": 0.2, "high": 0.3}}}
    young = line | {"ripe": False, "realised": {}, "estimate": {}}
    found = {"reason": "performance", "why": "map fell", "periods": [ripe, young], "left_out": {"cd": "it is gone"}}
    assert quality.text(found).splitlines() == [
        "quality: fell (map fell)",
        "  2024-01-01 release ab     40 users  map 0.250 (0.200-0.300)",
        "    promised before labels came: map 0.300",
        "  2024-01-01 release ab     40 users  labels are not ripe",
        "  release cd left out: it is gone",
    ]


def test_without_a_run_there_are_no_labels(tmp_path: Path) -> None:
    spec = Path("pipelines/specs/grocery.yaml")
    at = place(spec, "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    with pytest.raises(SpecError, match=r"no finished run to take labels from; `intentflow run"):
        quality.look(at)


def test_the_answers_of_a_shop_wait_for_their_labels(shop: Shop) -> None:
    """Its one answer is about the end of its data."""
    at = place(shop.spec, "local", variables=shop.environment())
    found = run.run(at, "quality")
    assert (found.outcome, found.counts["reason"]) == ("done", "undecided")
    told = shop.json("quality", str(shop.spec))
    assert [line["ripe"] for line in told["periods"]] == [False] * len(told["periods"]) != []
    assert told["left_out"] == {}
