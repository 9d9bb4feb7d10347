"""The request log as a window: one row a user and week, the last one, within four weeks of the data's clock."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_repo.calendar import Calendar
from monitoring.drift.served_window import last_window

CALENDAR = Calendar("2024-01-01", "UTC")


def line(user: str, *, at: str, sessions: float = 1.0, scores: int = 2, known: bool = True) -> dict[str, Any]:
    now = int(dt.datetime.fromisoformat(f"{at}T12:00:00+00:00").timestamp())
    return {
        "request_id": f"{user}@{at}",
        "user_id": user,
        "now": now,
        "state_at": now - 60,
        "known": known,
        "rung": "fresh" if known else "popular",
        "numbers": {"sessions_7d": sessions, "segment": 1.0},
        "lists": {"recent_targets": [0, 1], "recent_weeks": [9, 10], "history_items": [5]},
        "probabilities": [0.5] * scores,
    }


def write(folder: Path, *days: list[dict[str, Any]], tail: str = "") -> Path:
    folder.mkdir()
    for number, lines in enumerate(days):
        text = "".join(json.dumps(entry) + "\n" for entry in lines)
        (folder / f"2024-03-{number + 1:02}.00000.jsonl").write_text(text + tail)
    return folder


def window(folder: Path, *, limit: int = 100):
    return last_window(folder, calendar=CALENDAR, targets=2, limit=limit)


def test_a_user_who_asked_twice_in_a_week_counts_once_as_served_last(tmp_path) -> None:
    log = write(
        tmp_path / "log",
        [line("ann", at="2024-03-05", sessions=1), line("bob", at="2024-03-05", sessions=5)],
        [line("ann", at="2024-03-06", sessions=2), line("ann", at="2024-03-13", sessions=3)],
    )
    served = window(log)
    assert served.rows.user_id.tolist() == ["ann", "ann", "bob"]
    assert served.rows.numbers["sessions_7d"].tolist() == [2.0, 3.0, 5.0]
    assert served.rows.lists["recent_weeks"].row(2).tolist() == [9, 10]
    assert served.probabilities.tolist() == [[0.5, 0.5]] * 3


def test_the_window_ends_at_the_latest_question_and_is_four_weeks_long(tmp_path) -> None:
    log = write(
        tmp_path / "log", [line("old", at="2024-02-01"), line("in", at="2024-03-05"), line("in", at="2024-03-30")]
    )
    assert window(log).rows.user_id.tolist() == ["in", "in"]


def test_strangers_and_answers_of_another_vocabulary_are_left_out(tmp_path) -> None:
    log = write(tmp_path / "log", [line("new", at="2024-03-05", known=False), line("bob", at="2024-03-05", scores=3)])
    assert window(log) is None


def test_no_log_is_no_window(tmp_path) -> None:
    assert window(tmp_path / "none") is None


def test_a_line_that_was_cut_short_is_skipped_and_said(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    log = write(tmp_path / "log", [line("ann", at="2024-03-05")], tail='{"request_id": "x", "us')
    assert window(log).rows.user_id.tolist() == ["ann"]
    assert "cut short" in caplog.text


def test_the_newest_answers_are_kept_where_the_log_is_longer_than_the_limit(tmp_path) -> None:
    log = write(tmp_path / "log", [line(f"u{n:03}", at="2024-03-05") for n in range(50)])
    assert window(log, limit=10).rows.user_id.tolist() == [f"u{n:03}" for n in range(40, 50)]


def test_what_the_service_logs_is_what_is_read(tmp_path) -> None:
    from bentos.recommender.logs import requestlog

    entry = line("ann", at="2024-03-05", sessions=7)
    answer = requestlog.LoggedAnswer(
        request_id="r1",
        endpoint="recommend",
        release="abc",
        policy="greedy@1",
        rung="fresh",
        rows=requestlog.rows_of(entry),
        probabilities=np.asarray([0.25, 0.75]),
        latency_ms=1.0,
    )
    log = requestlog.RequestLog(tmp_path / "log")
    log.append(answer)
    log.close()
    served = window(tmp_path / "log")
    assert served.rows.numbers["sessions_7d"].tolist() == [7.0]
    assert served.rows.lists["recent_targets"].row(0).tolist() == [0, 1]
    assert served.probabilities.tolist() == [[0.25, 0.75]]
