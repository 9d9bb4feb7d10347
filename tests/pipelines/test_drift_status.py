"""The line of `intentflow status` about the last drift check."""

from pathlib import Path

from monitoring.drift import watch_record
from pipelines import drift_status
from tests.monitoring.records import moved, record

MARK = {
    "at": 1_507_600_001,
    "verdict": "stable",
    "share": 0.0,
    "drifted": 0,
    "lost": [],
    "compared": 11,
    "release": "3",
}


def shown(home: Path, **marks) -> list[str]:
    return drift_status.lines(drift_status.summary(home, marks))


def test_nothing_is_said_where_nothing_was_checked(tmp_path: Path) -> None:
    assert shown(tmp_path) == []


def test_a_calm_check_is_a_word_and_a_time(tmp_path: Path) -> None:
    assert shown(tmp_path, drift=MARK | {"class": "none"}) == ["  drift       stable, checked 2017-10-10 01:46 UTC"]


def test_an_alarm_says_class_since_and_signals_and_whether_it_was_told(tmp_path: Path) -> None:
    watch_record.keep_last(tmp_path, record(moved()))
    (tmp_path / "monitoring" / "today.html").write_text("page")
    names = ["events.null.value", "events.volume", "events.users", "events.sessions"]
    drift = MARK | {"verdict": "faulty", "class": "data_fault", "alarms": names}
    assert shown(tmp_path, drift=drift, notice={"at": 1, "problem": "HTTP 503"}) == [
        "  drift       faulty (data_fault) since 2017-10-02: events.null.value, events.volume, events.users and 1 "
        "more, checked 2017-10-10 01:46 UTC",
        "    not told: HTTP 503; the next check tries again (monitoring.notify)",
        f"    {tmp_path}/monitoring/today.html says what changed and what was done",
    ]


def test_a_record_of_another_check_lends_no_date(tmp_path: Path) -> None:
    watch_record.keep_last(tmp_path, record(moved(), at=1_600_000_000))
    found = drift_status.summary(tmp_path, {"drift": MARK | {"class": "data_fault"}})
    assert found is not None
    assert found["since"] == ""


def test_a_mark_of_before_is_read(tmp_path: Path) -> None:
    (line,) = shown(tmp_path, drift=MARK | {"verdict": "no_data"})
    assert line.startswith("  drift       undecided, checked")
    (line,) = shown(tmp_path, drift=MARK | {"verdict": "lost", "lost": ["spend"]})
    assert line.startswith("  drift       lost (data_fault): spend, checked")
