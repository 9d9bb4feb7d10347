"""The made-up shop: what is counted in its events is what its truth says."""

import datetime as dt
import resource
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from components.data import synthetic
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo.privacy.pseudonyms import pseudonym

KEY = "00" * 16
NOW = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
U, W, C, DRIFT = 1500, 20, 12, 11


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder of 1,500 users, 20 weeks and 12 categories; half the users drift in week 11."""
    folder = tmp_path_factory.mktemp("world")
    synthetic.write_events(
        folder, users=U, items=120, weeks=W, events_per_user=40, categories=C, drift_week=DRIFT, seed=7
    )
    return folder


@pytest.fixture(scope="module")
def wanted(world) -> np.ndarray:
    """Whether each user bought in each week from each category, [U, W, C]."""
    start = int(synthetic.START.timestamp())
    rows = duckdb.sql(f"""
        SELECT DISTINCT user_id - 1, (epoch(timestamp)::BIGINT - {start}) // 604800, (item_id - 1) % {C}
        FROM '{world}/events/*.parquet'""").fetchnumpy()
    found = np.zeros((U, W, C), dtype=bool)
    found[tuple(rows.values())] = True
    return found


@pytest.fixture(scope="module")
def truth(world) -> dict[str, np.ndarray]:
    """The planted probabilities, [U, C], and who drifts, [U]."""
    table = pq.read_table(world / "truth.parquet")
    lists = {name: np.asarray(table[name].to_pylist()) for name in ("before", "after")}
    return lists | {"drifts": table["drifts"].to_numpy()}


def test_weekly_frequencies_are_the_planted_probabilities(wanted, truth):
    for part, weeks in (("before", slice(0, DRIFT - 1)), ("after", slice(DRIFT - 1, W))):
        p, seen = truth[part], wanted[:, weeks].mean(axis=1)
        for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.8)):
            here = (p >= low) & (p < high)
            assert here.sum() > 500
            assert seen[here].mean() == pytest.approx(p[here].mean(), abs=0.01)


def test_only_who_drifts_changes(truth):
    changed = (truth["before"] != truth["after"]).any(axis=1)
    assert (changed == truth["drifts"]).all()
    assert 0.45 < truth["drifts"].mean() < 0.55
    assert np.allclose(np.roll(truth["before"], C // 2, axis=1)[changed], truth["after"][changed])


def test_a_decayed_rate_finds_the_new_tastes(wanted, truth):
    """Ten weeks after the drift, the rate that forgets is nearer to the truth than the one that does not."""
    weights = 0.8 ** np.arange(W)[::-1]
    decayed = np.einsum("uwc,w->uc", wanted, weights) / weights.sum()
    plain, after = wanted.mean(axis=1), truth["after"]
    assert np.corrcoef(decayed.ravel(), after.ravel())[0, 1] > 0.8
    assert np.abs(decayed - after)[truth["drifts"]].mean() < np.abs(plain - after)[truth["drifts"]].mean()


def test_as_many_events_as_were_asked_for(world, tmp_path):
    assert pq.read_table(world / "events").num_rows == pytest.approx(40 * U, rel=0.05)
    asked = {"users": 300, "items": 50, "weeks": 10, "events_per_user": 200, "seed": 2}
    assert synthetic.write_events(tmp_path / "a", **asked) == pytest.approx(60_000, rel=0.05)
    assert synthetic.write_events(tmp_path / "b", **asked, funnel=True) == pytest.approx(60_000, rel=0.05)


def test_a_funnel_narrows_and_goes_forward(tmp_path):
    synthetic.write_events(tmp_path, users=400, items=50, weeks=8, events_per_user=60, funnel=True)
    events = duckdb.sql(f"FROM '{tmp_path}/events/*.parquet'")
    counts = dict(duckdb.sql("SELECT event, count(*) FROM events GROUP BY event").fetchall())
    assert counts["cart"] / counts["view"] == pytest.approx(synthetic.CARTS, abs=0.03)
    assert counts["purchase"] / counts["view"] == pytest.approx(synthetic.BUYS, abs=0.03)
    assert duckdb.sql("SELECT sum(value) FROM events WHERE event <> 'purchase'").fetchall() == [(0.0,)]
    assert events.columns[:4] == ["user_id", "item_id", "event", "timestamp"]


def test_the_same_seed_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "DRAWS", 5_000)  # several chunks
    asked = {"users": 100, "items": 30, "weeks": 10, "events_per_user": 20}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthetic.write_events(tmp_path / name, **asked, seed=seed)
    files = {name: sorted((tmp_path / name).rglob("*.parquet")) for name in "abc"}
    assert len(files["a"]) == 3 + 4
    same = [a.read_bytes() == b.read_bytes() for a, b in zip(files["a"], files["b"], strict=True)]
    assert all(same)
    assert files["a"][0].read_bytes() != files["c"][0].read_bytes()


def test_the_source_brings_its_truth_under_pseudonyms(tmp_path, rows):
    source = {"type": "synthetic", "users": 50, "items": 20, "categories": 5, "weeks": 12, "events_per_user": 12}
    data = Data.model_validate({"source": source})
    snapshot = ingest(data, tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
    assert (snapshot.weeks, snapshot.last_week_complete, snapshot.rows["items"]) == (12, True, 20)
    truth, users = rows(tmp_path / "tables" / "truth.parquet"), rows(tmp_path / "tables" / "users.parquet")
    assert truth[0]["user_id"] == users[0]["user_id"] == pseudonym("1", KEY)
    assert len(truth[0]["before"]) == 5
    assert set(users[0]) == {"user_id", "taste"}


@pytest.mark.slow
def test_ten_million_events_are_made_at_two_million_a_second(tmp_path):
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = synthetic.write_events(tmp_path, users=100_000, items=5_000, weeks=52, events_per_user=100)
    assert made / (time.process_time() - start) > 2e6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
