"""Drift over time: what checks and trainings left in a state folder, and the page that shows it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from bentos.console.ports import Ports
from bentos.console.words import drift as words_of_drift
from feature_repo.checkout import ROOT
from monitoring import announcement, checks_history
from monitoring.drift import watch_record
from monitoring.drift_verdicts import CLASSES, Verdict
from monitoring.retraining import machine
from monitoring.retraining.reason import Reason
from monitoring.spec import Monitoring
from pipelines.console import drift
from pipelines.environment import Installation, place
from tests.console import watching
from tests.console.test_home_page import page, words
from tests.monitoring.records import moved, past, record

SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"
VERDICT = {"verdict": "faulty", "class": "data_fault", "reason": "nulls rose", "release": "3"}
VERDICT |= {"at": "2017-10-09T00:00:00+00:00"}


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    found = place(SPEC, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    monkeypatch.setenv("INTENTFLOW_HOME", str(found.home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return found


def checked(where: Installation, tmp_path: Path, *signals: Any, reason: str = "data_fault", **verdict: Any) -> None:
    """Leave what a check leaves: record, history, mark, page, and its line of the history of checks."""
    from components.registry import heartbeats

    found, values = record(*signals, reason=reason), past("events.null.value", 0.002, 0.002, 0.05, 0.052)
    watch_record.keep_last(where.home, found)
    watch_record.add(where.home, [*values, *past("events.volume", 29000.0, 30000.0)])
    document = VERDICT | {"signals": found.document()} | verdict
    mark = {"class": reason, "alarms": [one.signal for one in found.alarms], "period": found.starts}
    said = str(document["verdict"])
    heartbeats.drift("grocery", verdict=said, share=0.0, drifted=0, lost=[], compared=9, release="3", signals=mark)
    announcement.announce("grocery", Monitoring(), document, folder=tmp_path, history=values)


def test_a_check_is_read_with_what_moved_since_when_and_its_periods(where: Installation, tmp_path: Path) -> None:
    checked(where, tmp_path, moved(), moved("events.volume", kind="volume", explained_by="Christmas", value=30000.0))
    found = drift.watched(where)
    assert (found.verdict, found.reason, found.judged, found.periods) == ("faulty", "data_fault", 95, 30)
    (nulls,), (volume,) = found.moved, found.explained
    assert nulls.said.en.startswith("The share of actions without “value”")
    assert nulls.since.en == "Since 2 October 2017."
    assert [(one.at, one.value) for one in nulls.points] == [
        ("2017-09-18", 0.002),
        ("2017-09-25", 0.002),
        ("2017-10-02", 0.05),
        ("2017-10-09", 0.052),
    ]
    assert nulls.usual == (0.001, 0.004)
    assert "Christmas" in volume.expected.en
    assert [(one.at[:4], one.verdict, one.alarms) for one in found.checks] == [
        (found.checks[0].at[:4], "faulty", ("events.null.value",))
    ]


def test_each_check_adds_a_line_and_the_newest_stands_first(where: Installation, tmp_path: Path) -> None:
    for n, reason in enumerate(("none", "data_fault")):
        made = checks_history.Check(f"2026-11-{28 + n}T04:00:00+00:00", "2017-10-09", "stable", reason, (), "3")
        checks_history.add(where.home, made)
        checks_history.add(where.home, made)  # once more after a crash
    checked(where, tmp_path, moved())
    assert [one.reason for one in drift.watched(where).checks] == ["data_fault", "data_fault", "none"]


def test_a_torn_line_of_the_history_hides_no_other(where: Installation) -> None:
    checks_history.add(where.home, checks_history.Check("2026-11-28T04:00:00+00:00", "", "stable", "none", (), ""))
    path = where.home / checks_history.FILE
    path.write_text(path.read_text() + '{"at": "2026-11-29\n[]\n')
    assert len(checks_history.read(where.home)) == 1


def test_the_history_of_checks_has_an_end(where: Installation) -> None:
    many = [checks_history.Check(f"at {n}", "", "stable", "none", (), "") for n in range(checks_history.KEPT)]
    checks_history.write(where.home, many)
    checks_history.add(where.home, checks_history.Check("newest", "", "stable", "none", (), ""))
    found = checks_history.read(where.home)
    assert (len(found), found[0].at, found[-1].at) == (checks_history.KEPT, "at 1", "newest")


def test_a_record_of_another_check_is_not_taken_for_this_one_s(where: Installation, tmp_path: Path) -> None:
    checked(where, tmp_path, moved())
    mark = where.home / "marks" / "drift.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"verdict": "stable", "class": "none", "alarms": []}))
    found = drift.watched(where)
    assert (found.reason, found.moved) == ("none", ())


def test_what_was_done_is_read_from_retraining_s_state(where: Installation) -> None:
    rule, day = machine.Rule(cooldown_s=0, after_failures=2), machine.DAY_S
    state = machine.State()
    for n, result in enumerate(("no_gain", "refused")):
        reason = Reason("world", f"prices moved {n}", f"k{n}")
        state, _ = machine.decide(state, reason, rule, at=(10 + 40 * n) * day)
        state = machine.judged(state, result, said="map -0.01", version=str(n + 2))  # type: ignore[arg-type]
        state = machine.settled(state, result, rule, at=(11 + 40 * n) * day)  # type: ignore[arg-type]
    state, _ = machine.decide(state, Reason("world", "again", "k9"), rule, at=99 * day)
    (where.home / "monitoring").mkdir(parents=True)
    (where.home / "monitoring" / "retraining.json").write_text(json.dumps(state.document()))
    found = drift.watched(where)
    assert [(one.began, one.result, one.version) for one in found.attempts] == [
        ("1970-02-20", "refused", "3"),
        ("1970-01-11", "no_gain", "2"),
    ]
    assert found.decided is not None
    assert (found.decided.action, found.decided.stopped, found.decided.at) == ("stop", True, "1970-04-10")
    text = words(page(Ports(drift=watching.Drift(found)), "/console/drift"))
    assert "Retraining has stopped itself." in text
    assert "1970-02-20 the world moved refused by its gates map -0.01 3 prices moved 1" in text


def test_nothing_was_checked_and_nothing_was_done_is_said(where: Installation) -> None:
    found = drift.watched(where)
    text = words(page(Ports(drift=watching.Drift(found)), "/console/drift"))
    assert "Nothing was checked yet." in text
    assert "No training followed from drift so far." in text
    assert "The history begins with the next check." in text
    assert "Something is wrong" not in text


def test_the_page_draws_each_signal_with_what_is_usual() -> None:
    html = page(Ports(drift=watching.drift(), links=watching.links()), "/console/drift")
    text = words(html)
    assert "Something is wrong with the data" in text
    assert "Since 2 October 2017." in text
    assert html.count('<svg class="chart"') == 2
    assert html.count('<rect class="band"') == 1
    assert "2017-09-18 to 2017-10-09, newest 5.2 %. The band is what is usual." in text
    assert "2017-10-02 to 2017-10-09, newest 30,000." in text
    assert "2026-11-30 04:00 2017-10-09 faulty fault of the data events.null.value" in text
    assert 'href="https://evidently.example/projects/p/reports/r"' in html
    assert "held: nothing is trained on faulty data" in text
    chinese = words(page(Ports(drift=watching.drift()), "/console/drift?lang=zh"))
    assert "数据出了问题" in chinese
    assert "自 2017年10月2日 起。" in chinese


def test_one_period_alone_is_no_drawing() -> None:
    alone = replace(watching.NULLS, points=watching.NULLS.points[-1:])
    html = page(Ports(drift=watching.Drift(replace(watching.FAULTY, moved=(alone,), usual=()))), "/console/drift")
    assert "<svg" not in html
    assert "Fewer than two periods are on record" in html


def test_every_word_that_checks_and_retraining_use_is_there() -> None:
    keys = words_of_drift.EN
    assert {f"class_{one}" for one in CLASSES} <= keys.keys()
    assert {f"verdict_{one}" for one in get_args(Verdict)} <= keys.keys()
    assert {f"action_{one}" for one in get_args(machine.Action)} <= keys.keys()
    assert {f"result_{one}" for one in get_args(machine.Result)} <= keys.keys()
