"""Windows: which rows, which columns, and that a world that stands still makes columns that stand still."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from monitoring.drift.served_window import ServedWindow
from monitoring.drift.window import score_columns, windows


def test_the_windows_are_the_train_weeks_and_the_test_weeks(world) -> None:
    reference, current = windows(world.rows(users=50))
    assert reference.document() == {
        "kind": "train",
        "weeks": [world.train[0], world.train[-1]],
        "from": world.calendar.start(world.train[0]).isoformat(),
        "to": world.calendar.start(world.train[-1]).isoformat(),
        "rows": 50 * len(world.train),
    }
    assert (current.kind, len(current.frame), current.last) == (
        "test",
        50 * len(world.test),
        world.calendar.start(world.test[-1]),
    )
    assert list(current.frame) == list(reference.frame)


def test_what_grows_by_construction_is_left_out(world) -> None:
    reference, _ = windows(world.rows(users=50))
    names = set(reference.frame)
    assert {"log_sessions_7d", "log_sessions_28d", "log_value_28d", "recency_days", "segment", "mix_buy"} <= names
    assert not [n for n in names if "91d" in n or "total" in n]  # the first train week has 35 days of history


def test_windows_of_hours_are_compared_as_those_of_days_are(world) -> None:
    """Where time is counted in hours a spec may have no window of days at all."""
    folder = world.rows(users=50)
    rename(folder / "intent.parquet", {"7d": "6h", "28d": "12h", "91d": "36h"})
    reference, current = windows(folder)
    names = set(reference.frame)
    assert {"log_sessions_6h", "log_value_12h", "log_sessions_36h", "log_lines_per_session"} <= names
    assert reference.frame["recency_days"].max() == 1.5, "no further back than the longest window"
    assert list(current.frame) == list(reference.frame)


def test_windows_of_hours_stand_beside_those_of_days(world) -> None:
    folder = world.rows(users=50)
    rename(folder / "intent.parquet", {"91d": "6h"})
    assert {"log_sessions_6h", "log_sessions_7d", "log_sessions_28d"} <= set(windows(folder)[0].frame)


def test_rows_without_windows_are_refused(world) -> None:
    folder = world.rows(users=50)
    rename(folder / "intent.parquet", {"7d": "seven", "28d": "more", "91d": "most"})
    with pytest.raises(DataError, match=r"intent\.parquet: no sessions_<days>d or sessions_<hours>h column"):
        windows(folder)


def rename(path: Path, tails: dict[str, str]) -> None:
    table = pq.read_table(path)
    names = [name.rpartition("_") for name in table.column_names]
    renamed = [f"{stem}{mark}{tails.get(tail, tail)}" for stem, mark, tail in names]
    pq.write_table(table.rename_columns(renamed), path)


def test_ratios_have_no_value_where_nobody_came(world) -> None:
    frame = windows(world.rows(users=50))[0].frame
    empty = frame["log_sessions_28d"] == 0
    assert empty.any()
    assert frame.loc[empty, "log_value_per_session"].isna().all()
    assert frame.loc[~empty, "log_lines_per_session"].to_numpy() == pytest.approx(np.log1p(6))
    assert frame.loc[~empty, "discount_share"].to_numpy() == pytest.approx(0.1)  # a ninth off what was paid


def test_the_mix_is_drawn_from_the_last_whole_week(world) -> None:
    frame = windows(world.rows(mix=(0.0, 1.0, 0.0, 0.0), users=50))[1].frame
    assert set(frame["mix_buy"].dropna()) == {"BREAD"}  # the week before, everyone bought CHRISTMAS
    assert (frame["mix_buy"].isna() == (frame["log_sessions_7d"] == 0)).all()


def test_windows_are_the_same_each_time(world) -> None:
    folder = world.rows(users=50)
    for first, second in zip(windows(folder), windows(folder), strict=True):
        assert first.frame.equals(second.frame)


def test_scores_are_joined_by_user_and_week(world, tmp_path) -> None:
    folder = world.rows(users=50)
    users = [f"{u:016x}" for u in range(50)]
    scores = pa.table(
        {
            "user_id": users + users,
            "week": [world.train[-1]] * 50 + [world.test[0]] * 50,
            "probabilities": pa.array([[0.1, 0.2, 0.3, 0.0, 0.9]] * 100, pa.list_(pa.float32())),
        }
    )
    pq.write_table(scores, tmp_path / "out_of_time.parquet")
    for window in windows(folder, scores=tmp_path / "out_of_time.parquet"):
        scored = window.frame["intent_visit"].notna()
        assert scored.sum() == 50  # the one week that was scored
        assert window.frame.loc[scored, "intent_buy"].to_numpy() == pytest.approx(0.6)


def test_scores_of_an_intent_with_values_are_the_number_expected(world) -> None:
    made = score_columns(np.array([[0.5, 0.25, 0.0, 0.25, 0.75]]), world.targets)
    assert {name: column.tolist() for name, column in made.items()} == {"intent_buy": [1.0], "intent_visit": [0.75]}


def test_the_reference_is_an_even_sample_where_rows_stand_for_several(world) -> None:
    folder = world.rows(users=400)
    table = pq.read_table(folder / "intent.parquet")
    segment, week = table["segment"].to_numpy(), table["week"].to_numpy()
    thinned = (segment > 0) & np.isin(week, world.train)
    kept = ~thinned | (np.random.default_rng(0).random(len(week)) < 0.25)
    table = table.append_column("row_weight", pa.array(np.where(thinned, 4.0, 1.0))).filter(pa.array(kept))
    pq.write_table(table, folder / "intent.parquet")
    reference, current = windows(folder)
    shares = reference.frame["segment"].value_counts(normalize=True)
    assert len(reference.frame) == pytest.approx(400 * len(world.train) / 4, rel=0.1)
    assert shares.to_numpy() == pytest.approx(0.25, abs=0.05)  # as stored, segment 0 has more than half
    assert len(current.frame) == 400 * len(world.test)


def test_served_rows_are_compared_with_the_weeks_of_users_who_came(world, tmp_path) -> None:
    folder = world.rows(users=50)
    rows = UserRows.from_arrow(pq.read_table(folder / "intent.parquet").drop(["week"]).slice(0, 120))
    reference, current = windows(folder, served=ServedWindow(rows, np.full((120, 5), 0.5)))
    assert (current.kind, len(current.frame)) == ("served", 120)
    assert (reference.frame["log_sessions_7d"] > 0).all()
    assert current.first == dt.datetime.fromtimestamp(int(rows.now.min()), dt.UTC)


def test_a_window_without_rows_is_said(world) -> None:
    folder = world.rows(users=5)
    files.write_json(
        folder / "split.json", {"train": list(world.train), "validate": [], "test": [90], "incomplete": []}
    )
    with pytest.raises(DataError, match="no rows in the test window"):
        windows(folder)
