"""Features that tell nothing are dropped and reported; unstable ones are reported, and dropped only on request."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.intent import examples, inputs
from components.intent.spec import Intent
from components.profiles import steps
from components.profiles.spec import Selection
from components.profiles.training import feature_selection
from feature_repo import files
from feature_repo.dropped_features import FILE, Asked, Reduction, Relevance, asked, dropped, kept
from tests import worlds
from tests.profiles.conftest import RANKING, Made

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


# Each rule of the slice as it drops most; relevance is judged on encoded rows, the others on stored ones.
RULES = {
    "constant": {"constant": "drop", "duplicate": "keep"},
    "duplicate": {"constant": "keep", "duplicate": "drop"},
    "unstable_psi": {"constant": "keep", "duplicate": "keep", "unstable_psi": 1e-6},
    "relevance": {"constant": "keep", "duplicate": "keep", "relevance": "top_k", "k": 3},
}


def test_every_rule_has_its_case() -> None:
    assert set(RULES) == set(Selection.model_fields) - {"k", "join"}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_drops_looks_at_training_rows_alone_and_says_what_it_dropped(
    rule: str, made: Made, tmp_path: Path
) -> None:
    """The contract of every rule: validation and test rows turned upside down change nothing of what it does."""
    spec = Selection.model_validate(RULES[rule])
    out = [_without(rows, spec) for rows in (made.rows, _upside_down(made.rows, tmp_path / "other"))]
    assert out[0] == out[1]
    assert out[0]["dropped"], "the world has something for every rule to drop"
    assert not out[0]["dropped"] & set(out[0]["names"])


def _without(rows: Path, spec: Selection) -> dict[str, Any]:
    """Return which numbers the intent model sees of a `rows` folder, which it does without, and why."""
    found = feature_selection.examine(rows, spec, train=range(5, 13), windows_days=(7, 28, 91))
    loaded = examples.load(rows, [Intent(name="buy", level="category", top=4), Intent(name="visit")])
    out = {name for table in found["tables"].values() for name in table["dropped"]}
    loaded = dataclasses.replace(loaded, dropped=frozenset(out), asked=Asked.of(found))
    chosen, document = inputs.selected(loaded, loaded.part("train"))
    return {"dropped": set(chosen.dropped), "names": inputs.names_of(chosen), "why": [found["tables"], document]}


def _upside_down(rows: Path, destination: Path) -> Path:
    """Copy a `rows` folder with the numbers of its validation and test weeks multiplied and shuffled."""
    shutil.copytree(rows, destination)
    table = pq.read_table(rows / "intent.parquet")
    later = np.flatnonzero(table["week"].to_numpy() > 12)
    for name in (n for n in table.column_names if n.endswith(("d", "_total", "_slow", "_share"))):
        values = table[name].to_numpy().copy()
        if values.dtype == np.float64:
            values[later] = RNG.permutation(values[later]) * 7 + 1
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, destination / "intent.parquet")
    return destination


def test_what_is_asked_of_the_intent_models_numbers_passes_from_spec_to_rows(tmp_path: Path) -> None:
    profiles = {"selection": {"relevance": "top_k", "k": 4, "join": "max"}, "reduce": "pca", "segments": {"k": 2}}
    clean = worlds.checkerboard(users=6, weeks=10).write(tmp_path / "clean")
    split = json.dumps(worlds.SPLIT | {"warmup_weeks": 2})
    vocabulary = json.dumps(worlds.VOCABULARY)
    steps.run_profiles(json.dumps(profiles), split, vocabulary, clean=clean, destination=tmp_path / "profiles")
    steps.run_training_set(split, RANKING, clean=clean, profiles=tmp_path / "profiles", destination=tmp_path / "rows")
    assert asked(tmp_path / "rows") == Asked(Relevance(4, "max"), Reduction(0.95))


def test_a_spec_that_asks_for_nothing_leaves_the_files_that_it_left(made: Made) -> None:
    assert asked(made.rows) == asked(Path("nowhere")) == Asked()
    found, summary = (files.read_json(made.rows / name) for name in (FILE, "profiles.json"))
    assert set(found) == {"selection", "tables", "train_weeks"}
    assert found["selection"] == summary["selection"] == {"constant": "drop", "duplicate": "drop", "unstable_psi": None}
    assert "reduce" not in summary


def test_models_keep_what_is_no_dropped_column() -> None:
    assert kept(["share_1w", "trend", "price"], frozenset({"share_1w"})) == ("trend", "price")
    assert dropped(Path("nowhere")) == frozenset()
