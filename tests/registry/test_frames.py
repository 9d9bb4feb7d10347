"""What MLflow hands a model is read as training reads it."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd

from components.registry import frames, model_versions
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.rows import LIST_TYPES

LAST = dt.datetime(2017, 12, 31, 4, 30, tzinfo=dt.UTC)
CALENDAR = Calendar("2016-12-26", "America/New_York")


def test_the_example_is_one_known_and_one_unknown_user() -> None:
    frame = frames.example(lists=frames.RANKING_LISTS, windows_days=(7,), last=LAST, calendar=CALENDAR)
    rows = frames.user_rows(frame)
    assert rows.known.tolist() == [True, False]
    assert rows.now.tolist() == [int(LAST.timestamp())] * 2
    assert rows.lists["recent_weeks"].row(0).tolist() == [53]
    assert set(rows.lists) == set(frames.RANKING_LISTS)
    assert all(len(rows.lists[name].row(1)) == 0 for name in rows.lists)
    assert "value_7d" in rows.numbers


def test_lists_numbers_and_times_survive_what_pandas_and_json_do_to_them() -> None:
    frame = pd.DataFrame(
        {
            "user_id": ["a", "b", "c"],
            "now": ["2017-12-31T00:00:00", "2017-12-31T00:00:00", "2017-12-31T00:00:00"],
            "state_at": ["2017-12-30T00:00:00", None, None],
            "events_total": [3, None, 0],
            "target_ids": [[1, 2], None, np.array([], dtype=np.int64)],
            "target_slow": [(0.5, 0.25), [], float("nan")],
        }
    )
    rows = frames.user_rows(frame)
    assert rows.state_at.tolist() == [int(dt.datetime(2017, 12, 30, tzinfo=dt.UTC).timestamp()), 0, 0]
    assert rows.known.tolist() == [True, False, False]
    assert rows.numbers["events_total"].tolist() == [3.0, 0.0, 0.0]
    assert [rows.lists["target_ids"].row(b).tolist() for b in range(3)] == [[1, 2], [], []]
    assert rows.lists["target_ids"].values.dtype == LIST_TYPES["target_ids"]
    assert rows.lists["target_slow"].row(0).tolist() == [0.5, 0.25]


def test_the_signature_names_every_column_with_its_kind() -> None:
    frame = frames.example(lists=("target_ids", "target_slow"), windows_days=(7,), last=LAST, calendar=CALENDAR)
    frame[frames.PROBABILITIES] = [[0.5, 0.5]] * 2
    kinds = {column.name: str(column.type) for column in frames.schema(frame).inputs}
    assert list(kinds) == list(frame.columns)
    assert kinds["now"] == "DataType.datetime"
    assert (kinds["segment"], kinds["value_7d"]) == ("DataType.long", "DataType.double")
    assert kinds["target_ids"] == "Array(long)"
    assert kinds["target_slow"] == kinds["probabilities"] == "Array(double)"
    assert not frames.schema(frame).input_dict()["state_at"].required


def test_a_model_with_a_text_encoder_in_int8_asks_for_what_runs_it(tmp_path: Path) -> None:
    assert model_versions.further(tmp_path) == ()
    for text, want in ((None, ()), ({"tokens": 64}, ()), ({"tokens": 64, "onnx": 9}, ("onnxruntime",))):
        files.write_json(tmp_path / "config.json", {"network": {"architecture": "text", "text": text}})
        assert model_versions.further(tmp_path) == want
