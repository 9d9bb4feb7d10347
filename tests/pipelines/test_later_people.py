"""What the job `materialise` puts into the document log of people who came after training, on a world of messages."""

import datetime as dt
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from components.profiles.online import materialise, row_stream
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.documents.changes import MOST_BYTES, PERSON
from feature_repo.documents.log import Behind, DocumentLog, Snapshot
from feature_repo.documents.sqlite import SqliteShelf
from feature_repo.later_people import AS_PERSON, LaterPeople
from feature_repo.live_items import of_log
from feature_repo.online import erase
from feature_repo.release_folder import ReleaseFolder
from feature_repo.rows import UserRows
from feature_repo.signs import NONE
from feature_repo.vocabulary import Vocabulary
from pipelines.jobs import later_people, sources
from pipelines.jobs import materialise as job
from tests import people_worlds
from tests.people_worlds import Made

pytestmark = pytest.mark.world
NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
ASKED = {
    "split": json.dumps(people_worlds.SPLIT),
    "vocabulary": json.dumps(people_worlds.VOCABULARY | {"whole_history": True}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return people_worlds.make(people_worlds.newcomers(), tmp_path_factory.mktemp("later"), whole_history=True)


@pytest.fixture(scope="module")
def released(made: Made) -> ReleaseFolder:
    """What the job reads of a release: its vocabulary, its segments, and how its profiles are made."""
    folder = made.profiles.with_name("release")
    shutil.copytree(made.profiles / "vocabulary", folder / "vocabulary")
    shutil.copyfile(made.profiles / "segments.json", folder / "segments.json")
    return cast(ReleaseFolder, SimpleNamespace(ranking=folder, slices={"profiles": people_worlds.PROFILES}))


@pytest.fixture
def log(tmp_path: Path) -> DocumentLog:
    return DocumentLog(SqliteShelf(str(tmp_path / "online.db"), "people"))


def brought(log: DocumentLog, made: Made, released: ReleaseFolder, **more: Any) -> dict[str, int]:
    given: dict[str, Any] = {"most": 10, "at": NOW, "scratch": made.profiles.parent} | more
    return later_people.bring(log, [released], made.clean, ASKED, **given)


def counted(counts: dict[str, int]) -> tuple[int, int, int]:
    return counts["later_people"], counts["later_people_left_out"], counts["later_people_waiting"]


def test_who_came_after_everyone_that_is_learnt_comes_with_their_records(
    log: DocumentLog, made: Made, released: ReleaseFolder
) -> None:
    assert counted(brought(log, made, released)) == (2, 0, 0)
    held = log.refreshed(Snapshot()).of(PERSON)
    assert set(held) == {"p24", "p25"}
    said = {person: newest.document[AS_PERSON] for person, newest in held.items() if newest.document}
    # [user, kind, weeks, slow as of the week after the last, ...]; two messages of one week count once.
    assert [one[:5] for one in sorted(said["p24"]["by"])] == [["p01", "", 1, 0.96, 0.8], ["p02", "", 1, 0.96, 0.8]]
    assert sorted((one[0], one[2], one[3]) for one in said["p24"]["to"]) == [
        ("p00", 2, round(0.96 + 0.96**2, 6)),
        ("p03", 1, 0.96),
        ("p25", 1, 0.96),
    ]
    assert [one[0] for one in said["p25"]["by"]] == ["p24"]
    active = {e["user_id"] for e in made.world.events if made.world.calendar.week(cast(Any, e["timestamp"])) == 12}
    assert said["p24"]["state"]["share_1w"] == pytest.approx(2 / len(active), rel=1e-5)


def test_rows_with_the_logs_records_are_what_a_batch_that_knows_everybody_makes(
    log: DocumentLog, made: Made, released: ReleaseFolder, tmp_path: Path
) -> None:
    brought(log, made, released)
    learnt = Vocabulary.load(released.ranking / "vocabulary")
    live = of_log(learnt, log.refreshed(Snapshot()))
    later = LaterPeople.of(live.people, live.vocabulary.item_ids)
    fitted = tmp_path / "fitted"
    later_people._everyone(learnt, live.vocabulary.item_ids).save(fitted / "vocabulary")
    shutil.copyfile(released.ranking / "segments.json", fitted / "segments.json")
    steps.run_profiles(
        json.dumps(people_worlds.PROFILES), ASKED["split"], ASKED["vocabulary"], clean=made.clean,
        destination=tmp_path / "whole", fitted=fitted, training=False,
    )  # fmt: skip
    calendar = Calendar(**files.read_json(made.profiles / "calendar.json"))
    ours, theirs = rows(made.profiles), rows(tmp_path / "whole")
    assert set(ours) == set(theirs)
    for user in ours:
        found = later.extended(ours[user], NONE, calendar)
        for names in (columns.HISTORY_LISTS, columns.RECEIVED_LISTS):
            assert keyed(found, names) == pytest.approx(keyed(theirs[user], names), rel=1e-4), user


def rows(profiles: Path) -> dict[str, UserRows]:
    end, everyone = materialise.data_end(profiles), pq.read_table(profiles / "user_profile.parquet")
    users = everyone[columns.USER_ID].combine_chunks().unique()
    found: dict[str, UserRows] = {}
    folds = materialise.folding(profiles)
    for batch in row_stream.rows(profiles, users, data_end=end, batch=100):
        for user, cells in batch.items():
            state = {**folds.empty(), **cells}
            row = {n: [v] for n, v in state.items() if n not in ("vocabulary", "last_session_id", "memory")}
            found[user] = UserRows.from_online(row | {"user_id": [user]}, now=int(end.timestamp()) + 9)
    return found


def keyed(row: UserRows, names: tuple[str, ...]) -> dict[Any, float]:
    values = zip(*(row.lists[name].values.tolist() for name in names), strict=True)
    return {(int(key), name): float(v) for key, *rest in values for name, v in zip(names[1:], rest, strict=True)}


def test_nothing_is_written_twice_and_a_release_that_learnt_somebody_ignores_their_document(
    log: DocumentLog, made: Made, released: ReleaseFolder
) -> None:
    brought(log, made, released)
    assert brought(log, made, released)["later_people"] == 0
    assert log.head().version == 1
    learnt = later_people._everyone(Vocabulary.load(released.ranking / "vocabulary"), ["p24"])
    assert set(of_log(learnt, log.refreshed(Snapshot())).people) == {len(learnt.item_ids)}, "p25 alone"


def test_the_newest_come_first_and_who_is_left_out_is_counted(
    log: DocumentLog, made: Made, released: ReleaseFolder
) -> None:
    assert counted(brought(log, made, released, most=1)) == (1, 1, 1)
    assert counted(brought(log, made, released, most=1)) == (1, 0, 0)
    assert set(log.refreshed(Snapshot()).of(PERSON)) == {"p24", "p25"}


def test_documents_that_no_one_change_takes_come_in_several(
    log: DocumentLog, made: Made, released: ReleaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that have changed come with one run: the same run again would begin with the same ones."""
    brought(log, made, released)
    held = log.refreshed(Snapshot())
    said = {person: one.document for person, one in held.of(PERSON).items() if one.document}
    stale = [(person, {**one, AS_PERSON: {**one[AS_PERSON], "to": []}}) for person, one in said.items()]
    log.put(PERSON, stale, who="test", at=NOW, after=held)
    monkeypatch.setattr(later_people, "MOST_ENTRIES", 1)
    assert counted(brought(log, made, released)) == (2, 0, 0)
    assert log.head().version == 4, "a change for each"
    assert {person: one.document for person, one in log.refreshed(Snapshot()).of(PERSON).items()} == said


def test_a_writer_that_is_always_behind_gives_up(
    log: DocumentLog, made: Made, released: ReleaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteShelf, "write", lambda *_: False)
    with pytest.raises(Behind):
        brought(log, made, released)


def test_the_job_goes_on_while_somebody_waits_and_stands_still_then(
    log: DocumentLog, made: Made, released: ReleaseFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing of source, releases or log changes between the runs."""
    monkeypatch.setattr(sources, "state", lambda place: "as it was")
    monkeypatch.setattr(sources, "clean", lambda place: made.clean)
    monkeypatch.setattr(erase, "forgotten_among", lambda recommender, people: set())
    asked = {name: json.loads(text) for name, text in ASKED.items()}
    spec = SimpleNamespace(
        name="people", split_slice=lambda: asked["split"], vocabulary_rule=lambda: asked["vocabulary"]
    )
    here, one = cast(Any, SimpleNamespace(home=tmp_path, spec=spec)), cast(Any, released)
    one.id = "r1"
    runs = [counted(job._later_people(here, [one], log, 1, NOW)) for _ in range(2)]
    assert runs == [(1, 1, 1), (1, 0, 0)]
    monkeypatch.setattr(later_people, "bring", None)
    assert counted(job._later_people(here, [one], log, 1, NOW)) == (0, 0, 0)


def test_of_forgotten_people_nothing_is_written_and_what_is_there_goes(
    log: DocumentLog, made: Made, released: ReleaseFolder
) -> None:
    """The tables of this world still have them, as those of a job that has not heard of it."""
    brought(log, made, released)
    assert brought(log, made, released, forgotten={"p25", "p01"}.intersection)["later_people"] == 0
    assert log.people() == {"p24", "p00", "p02", "p03"}
    fresh = DocumentLog(SqliteShelf(cast(Any, log.shelf)._path, "another"))
    assert brought(fresh, made, released, forgotten={"p25", "p01"}.intersection)["later_people"] == 1
    assert fresh.people() == log.people()


def test_a_document_that_is_too_large_loses_what_the_person_did_and_never_what_was_done(
    log: DocumentLog, made: Made, released: ReleaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MOST_BYTES, PERSON, 560)  # one mapping, wherever it is read
    counts = brought(log, made, released)
    held = log.refreshed(Snapshot()).of(PERSON)
    assert counts["later_people"] + counts["later_people_left_out"] == 2
    for newest in held.values():
        assert newest.document is not None
        assert len(newest.document[AS_PERSON]["by"]) == {"p24": 2, "p25": 1}[newest.id]


def test_nobody_comes_where_nobody_is_learnt(log: DocumentLog, made: Made) -> None:
    nobody = cast(Any, Vocabulary.load(made.profiles / "vocabulary"))
    assert later_people.later([], made.clean) == []
    assert np.isin(["p24", "p25"], later_people.later([nobody], made.clean)).all()
