"""What follows a check: the figures of silence, the notice, the page; and pages a day, of which ninety are kept."""

import datetime as dt
from pathlib import Path

import pytest

from components.registry import heartbeats
from feature_repo import files
from monitoring import announcement, drift_verdicts
from monitoring.spec import Monitoring, Notify
from tests.monitoring.records import moved, past, record

VERDICT = {
    "verdict": "faulty",
    "class": "data_fault",
    "reason": "events.null.value rose",
    "release": "3",
    "at": "2017-10-09T00:00:00+00:00",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "home"


def test_a_check_leaves_figures_for_alerts_a_notice_and_a_page(tmp_path: Path, home: Path) -> None:
    spec = Monitoring(notify=Notify(url_env="NOBODY_SET_THIS"))
    history = past("labels.ratio.buy", 1.0, 0.4)
    document = VERDICT | {"signals": record(moved()).document()}
    announcement.announce("shop", spec, document, folder=tmp_path, history=history)
    marks = {path.stem: files.read_json(path) for path in (home / "marks").glob("*.json")}
    assert marks[heartbeats.SIGNALS]["figures"] == {"labels.ratio.buy": [0.4, 400.0]}
    assert marks[heartbeats.NOTICE]["problem"].startswith("monitoring.notify.url_env: NOBODY_SET_THIS is not set")
    page = (tmp_path / announcement.PAGE).read_text()
    assert "Something is wrong with the data" in page
    assert "Since 2 October 2017." in page
    assert "NOBODY_SET_THIS is not set" in page
    assert (home / "monitoring" / "today.html").read_text() == page


def test_a_dry_run_leaves_its_page_and_nothing_else(tmp_path: Path, home: Path) -> None:
    announcement.announce(
        "shop", Monitoring(), VERDICT, folder=tmp_path, history=past("labels.ratio.buy", 1.0), dry=True
    )
    assert not home.exists()
    assert (tmp_path / announcement.PAGE).is_file()


def test_a_page_a_day_is_kept_and_ninety_of_them(tmp_path: Path) -> None:
    verdict, folder = tmp_path / "verdict", tmp_path / "monitoring"
    verdict.mkdir()
    first = dt.date(2026, 1, 1)
    for day in range(92):
        (verdict / announcement.PAGE).write_text(f"day {day}")
        last = announcement.keep_page(folder, verdict, day=first + dt.timedelta(days=day))
    days = sorted((folder / announcement.DAYS).iterdir())
    assert (len(days), days[0].name, days[-1].name) == (90, "2026-01-03.html", "2026-04-02.html")
    assert last.read_text() == days[-1].read_text() == "day 91"


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ({"verdict": "drifted"}, "world"),
        ({"verdict": "lost", "class": "none"}, "data_fault"),
        ({"verdict": "drifted", "class": "performance"}, "performance"),
        ({"verdict": "stable", "class": "undecided"}, "undecided"),
        ({"verdict": "no_data"}, "undecided"),
        ({"verdict": "stable"}, "none"),
    ],
)
def test_a_verdict_without_a_class_has_that_of_its_word(verdict: dict[str, str], reason: str) -> None:
    assert drift_verdicts.class_of(verdict) == reason
