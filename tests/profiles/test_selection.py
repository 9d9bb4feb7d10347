"""Features that tell nothing are dropped and reported; unstable ones are reported, and dropped only on request."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.profiles.spec import Selection
from components.profiles.training import feature_selection
from feature_repo import files
from feature_repo.dropped_features import dropped, kept
from tests.profiles.conftest import Made

RNG = np.random.default_rng(0)
WEEK = np.repeat(np.arange(8), 500)
STEADY = RNG.normal(size=len(WEEK))
NAMES = ["steady", "growing", "flat", "opposite", "sometimes"]
VALUES = np.stack(
    [STEADY, RNG.normal(size=len(WEEK)) + WEEK, np.full(len(WEEK), 3.0), 7 - 2 * STEADY,
     np.where(RNG.random(len(WEEK)) < 0.5, np.nan, 1.0)], axis=1,
)  # fmt: skip


def test_constant_and_duplicate_columns_are_dropped_by_default() -> None:
    found = feature_selection.judged(NAMES, VALUES, WEEK, Selection())
    assert found["constant"] == ["flat"]
    assert found["duplicate"] == {"opposite": "steady"}
    assert found["dropped"] == ["flat", "opposite"]
    assert found["kept"] == ["steady", "growing", "sometimes"]  # that something is known says something


def test_an_unstable_column_is_reported_and_dropped_only_above_the_specs_limit() -> None:
    found = feature_selection.judged(NAMES, VALUES, WEEK, Selection())
    assert found["unstable"] == ["growing"]
    assert found["psi"]["steady"] < 0.05
    strict = feature_selection.judged(NAMES, VALUES, WEEK, Selection(unstable_psi=0.5))
    assert "growing" in strict["dropped"]


def test_the_spec_may_keep_all() -> None:
    found = feature_selection.judged(NAMES, VALUES, WEEK, Selection(constant="keep", duplicate="keep"))
    assert found["dropped"] == []
    assert found["constant"] == ["flat"]


def test_psi_is_that_of_its_definition() -> None:
    column, week = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]), np.repeat([1, 2], 4)
    expected = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    assert feature_selection.instability(column, week) == pytest.approx(expected)


def test_training_rows_come_with_their_report(made: Made) -> None:
    found = files.read_json(made.rows / "features.json")
    assert found["train_weeks"] == [5, 12]
    users, items = found["tables"]["user_profile"], found["tables"]["item_state"]
    assert {"discount_total", "discounted_total"} <= set(users["constant"])  # nobody ever got one
    assert {"offer_flyer", "offer_coupon"} <= set(items["constant"])  # the source has no offers
    assert dropped(made.rows) == {*users["dropped"], *items["dropped"]}


def test_only_training_rows_are_looked_at(made: Made, tmp_path: Path) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = files.read_json(made.rows / "features.json")
    for name in ("intent", "item_state"):
        table = pq.read_table(made.rows / f"{name}.parquet")
        pq.write_table(table.filter(pc.less_equal(table["week"], 12)), tmp_path / f"{name}.parquet")
    again = feature_selection.examine(tmp_path, Selection(), train=range(5, 13), windows_days=(7, 28, 91))
    assert json.dumps(again) == json.dumps(found)


def test_models_keep_what_is_no_dropped_column() -> None:
    assert kept(["share_1w", "trend", "price"], frozenset({"share_1w"})) == ("trend", "price")
    assert dropped(Path("nowhere")) == frozenset()
