"""The audit over a real document log and a real registry: all that people changed, by time, and nothing of people."""

import datetime as dt
import os
from pathlib import Path

import pytest

from components.registry import aliases
from feature_repo.documents.changes import ITEM, PERSON, RULE, VECTOR
from feature_repo.documents.log import DocumentLog, Snapshot
from feature_repo.documents.opened import document_log
from feature_repo.errors import StoreAway
from pipelines.console import changes
from pipelines.console.changes import LiveChanges
from pipelines.environment import Installation
from pipelines.environment import place as find_place
from pipelines.releases.release import variables
from tests.console.pages import Page, opened, visitor
from tests.pipelines.rollout.test_loop import place, registry  # noqa: F401 (fixtures)

pytestmark = pytest.mark.process  # MLflow's database takes as long as a process
NOON = dt.datetime(2026, 11, 30, 12, 0, tzinfo=dt.UTC)


@pytest.fixture
def audited(place: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:  # noqa: F811
    """A registry, and a log in which nothing was changed; its store is made."""
    for name, value in place.variables.items():
        monkeypatch.setenv(name, value)
    Path(place.home / "feast").mkdir(parents=True, exist_ok=True)
    return place


def log_of(place: Installation) -> DocumentLog:  # noqa: F811
    return document_log(place.spec.name)


def put(place: Installation, kind, *documents, who: str = "key 1f0c, console", minute: float = 0) -> int:  # noqa: F811
    log = log_of(place)
    at = NOON + dt.timedelta(minutes=minute)
    return log.put(kind, list(documents), who=who, at=at, after=log.refreshed(Snapshot())).version


def moved(place: Installation, version: str, minute: float, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    at = (NOON + dt.timedelta(minutes=minute)).isoformat(timespec="seconds")
    monkeypatch.setattr(aliases, "_now", lambda: at)
    aliases.promote("grocery", version, who="ana", why="better <i>by far</i>")


def rows(place: Installation, path: str = "/console/changes") -> list[str]:  # noqa: F811
    """The lines of the table, as a person reads them."""
    import re

    html = visitor(changes=LiveChanges(lambda: place)).get(path).text
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    return [Page(one).text for one in re.findall(r"<tr>.*?</tr>", body, re.S)]


def test_changes_of_items_rules_and_releases_stand_in_one_list_by_time(
    audited: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    aliases.notice("grocery")
    put(audited, ITEM, ("i1", {"price": 2}), minute=1)
    moved(audited, "2", 2, monkeypatch)
    put(audited, RULE, ("no soup", {"kind": "filter", "name": "no soup"}), ("two", {"removed": True}), minute=3)
    put(audited, RULE, ("no soup", {"removed": True}), who="bob, command line", minute=4)
    log = log_of(audited)
    log.undo(1, who="key 2, console", at=NOON + dt.timedelta(minutes=5), after=log.refreshed(Snapshot()))
    found = [one for one in rows(audited) if "unknown" not in one]
    assert found == [
        "2026-11-30 12:05 key 2, console items: i1 taken back (undoes version 1) 4",
        "2026-11-30 12:04 bob, command line rules: no soup removed 3",
        '2026-11-30 12:03 key 1f0c, console rules: no soup put {"kind": "filter", "name": "no soup"} 2',
        "2026-11-30 12:03 key 1f0c, console rules: two removed 2",
        "2026-11-30 12:02 ana releases: champion moved champion: 1 -> 2: better <i>by far</i>",
        "2026-11-30 12:02 ana releases: previous moved previous: - -> 1: better <i>by far</i>",
        '2026-11-30 12:01 key 1f0c, console items: i1 put {"price": 2} 1',
    ]
    assert [one.split()[-1] for one in rows(audited, "/console/changes?what=rule")] == ["3", "2", "2"]
    assert all("releases:" in one for one in rows(audited, "/console/changes?what=release"))
    assert len(rows(audited, "/console/changes?what=release")) == 3


def test_of_people_and_vectors_there_is_a_count_and_no_id(audited: Installation) -> None:
    put(audited, PERSON, ("f00d", {"to": []}), ("beef", {"by": [["f00d", 1]]}), who="job materialise")
    put(audited, VECTOR, *((f"i{n}", {"by": "enc", "vector": [0.25]}) for n in range(7)), who="job materialise")
    html = visitor(changes=LiveChanges(lambda: audited)).get("/console/changes").text
    assert "f00d" not in html
    assert "beef" not in html
    assert "0.25" not in html
    text = Page(html).text
    assert "people who came later: 2 people; no id is shown" in text
    assert "vectors of items: i0, i1, i2, i3, i4 and 2 more" in text


def test_pages_hold_every_change_once_and_moves_between_them(
    audited: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PAGE", 3)
    for number in range(8):
        put(audited, ITEM if number % 2 else RULE, (f"d{number}", {"x": number}), minute=number)
        if number in (2, 5):
            moved(audited, "2" if number == 2 else "3", number + 0.5, monkeypatch)
    port = LiveChanges(lambda: audited)
    versions, moves, until, pages = [], [], None, 0
    while pages < 9:
        part = port.audit(until=until)
        pages += 1
        versions += [one.version for one in part.entries if one.version]
        moves += [(one.at, one.said) for one in part.entries if not one.version]
        until = part.older
        if until is None:
            break
    assert (versions, pages) == ([8, 7, 6, 5, 4, 3, 2, 1], 3)
    with variables(audited):
        history = aliases.status("grocery").history
    assert sorted(at for at, _ in moves) == sorted(one.when for one in history), "none is missing, none is there twice"
    only = port.audit(what="rule")
    assert ([one.version for one in only.entries], only.older) == ([7, 5, 3], 2)
    assert [one.version for one in port.audit(what="rule", until=2).entries] == [1]


def test_a_source_that_is_away_is_said_and_the_other_is_shown(
    audited: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(audited, "2", 2, monkeypatch)

    def away(_: DocumentLog) -> None:
        raise StoreAway("redis://store:6379 does not answer")

    monkeypatch.setattr(DocumentLog, "head", away)
    text = opened(visitor(changes=LiveChanges(lambda: audited)), "/console/changes").text
    assert "Not all changes are here: items and rules: redis://store:6379 does not answer" in text
    assert "champion: 1 -> 2" in text
    monkeypatch.undo()
    for name, value in audited.variables.items():
        monkeypatch.setenv(name, value)
    put(audited, ITEM, ("i1", {"price": 2}))
    monkeypatch.setattr(aliases, "status", away)
    text = opened(visitor(changes=LiveChanges(lambda: audited)), "/console/changes").text
    assert "Not all changes are here: releases: redis" in text
    assert "items: i1 put" in text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("what=money", "changes: 'money' is no kind of change; have item, rule, release, vector, person"),
        ("until=<b>x</b>", "changes: '<b>x</b>' is no version of the log"),
        ("until=-3", "is no version of the log"),
        ("until=99999999999999999999", "is no version of the log"),
    ],
)
def test_an_address_that_is_wrong_is_a_sentence(audited: Installation, query: str, said: str) -> None:
    reply = visitor(changes=LiveChanges(lambda: audited)).get(f"/console/changes?{query}")
    assert reply.status_code == 422
    assert said in Page(reply.text).text
    assert "<b>x</b>" not in reply.text


def test_before_anything_was_made_the_page_says_so_and_makes_nothing(tmp_path: Path) -> None:
    spec = Path(__file__).parents[2] / "pipelines" / "specs" / "grocery.yaml"
    here = find_place(spec, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    text = opened(visitor(changes=LiveChanges(lambda: here)), "/console/changes?lang=zh").text
    assert "没有任何变更。" in text
    assert [one for one in os.listdir(tmp_path) if one != "state"] == []
    assert not (here.home / "mlflow").exists()
