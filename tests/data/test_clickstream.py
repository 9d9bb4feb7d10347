"""The made-up visits: their truth is the rate of what happens, and ingest brings both."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.data import clickstream
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo import files

KEY = "5eed" * 8
SIZE = {"items": 200, "categories": 5, "days": 20, "visits_per_user": 2.0}


def test_the_same_seed_makes_the_same_rows(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        clickstream.write_events(tmp_path / name, users=50, seed=seed, **SIZE)
    one, again, other = (files.file_digest(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again != other


def test_the_truth_is_the_share_of_visits_that_go_on_to_a_purchase_a_cart_or_nothing(tmp_path: Path) -> None:
    assert clickstream.write_events(tmp_path, users=20_000, seed=3, **SIZE) > 200_000
    told = pq.read_table(tmp_path / "truth.parquet").to_pandas()
    for kind in ("purchase", "cart"):
        happens = (told["event"] == kind).astype(int)
        later = happens[::-1].groupby(told["session_id"][::-1]).cumsum()[::-1] - happens
        for chance, rows in told.groupby(told[kind].round(6)):
            assert np.isclose((later[rows.index] > 0).mean(), chance, atol=0.02), (kind, chance)
    last = ~told["session_id"].duplicated(keep="last")
    for chance, rows in told.groupby(told["leave"].round(6)):
        assert np.isclose(last[rows.index].mean(), chance, atol=0.02), chance


def test_the_last_two_events_do_not_tell_the_truth(tmp_path: Path) -> None:
    clickstream.write_events(tmp_path, users=2000, seed=3, **SIZE)
    told = pq.read_table(tmp_path / "truth.parquet").to_pandas()
    before = told.groupby("session_id")["event"].shift(1)
    views = told[(told["event"] == "view") & (before == "view")]
    assert views["purchase"].max() - views["purchase"].min() > 0.5


@pytest.mark.world
def test_ingest_brings_visits_and_truth_under_pseudonyms(tmp_path: Path) -> None:
    source = {"type": "clickstream", "users": 60, "items": 100, "categories": 5, "days": 20, "visits_per_user": 2}
    split = {"warmup_steps": 4, "validate_steps": 2, "test_steps": 3}
    data = Data.model_validate({"source": source, "step": "day", "split": split})
    ingest(data, tmp_path / "tables", key=KEY, base=tmp_path)
    events, truth = (pq.read_table(tmp_path / "tables" / f"{name}.parquet") for name in ("events", "truth"))
    assert events.num_rows == truth.num_rows
    assert set(events["user_id"].to_pylist()) == set(truth["user_id"].to_pylist())
    assert set(events["event"].to_pylist()) <= {"view", "cart", "purchase"}
    assert "1" not in set(events["user_id"].to_pylist())
    assert len(set(events["session_id"].to_pylist())) > 60
