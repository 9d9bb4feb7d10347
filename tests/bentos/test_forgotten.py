"""The door and forgotten people: their events are as if not sent, and answers to them say nothing about them."""

import json
from pathlib import Path

import pytest

from bentos.endpoints.events import EventsRequest
from bentos.endpoints.intents import IntentsRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.recommender.logs import eventlog
from bentos.recommender.settings import Settings
from feature_repo import files
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import fingerprint, pseudonym
from feature_repo.privacy.tombstones import Tombstones
from tests.bentos.conftest import KEY, World, asked, release_document

ANN = "raw-user-7f3a-ann"


def events(*users: str) -> EventsRequest:
    given = [{"user_id": user, "item_id": "i1", "event": "purchase", "event_id": f"e-{user}"} for user in users]
    return EventsRequest.model_validate({"events": given})


def logged(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


@pytest.fixture
def forgetful(world: World) -> World:
    world.tombstones = Tombstones(world.folder, (KEY,))
    return world


def test_events_of_forgotten_people_are_ignored_and_the_others_are_taken(forgetful: World) -> None:
    assert forgetful.tombstones is not None
    door = forgetful.door()
    assert asked(door, events(ANN)).accepted == 1
    forgetful.tombstones.write(ANN, {})
    answer = asked(door, events(ANN, "bob"))
    assert (answer.accepted, answer.duplicates, answer.ignored) == (1, 0, 1)
    users = [line["user_id"] for line in logged(forgetful.folder / "events") if "user_id" in line]
    assert users == [pseudonym(ANN, KEY), pseudonym("bob", KEY)]
    assert forgetful.tombstones.withdraw(ANN)
    assert asked(door, events(ANN)).duplicates == 1


def test_a_forgotten_person_is_answered_and_logged_as_nobody(forgetful: World) -> None:
    assert forgetful.tombstones is not None
    forgetful.knows(ANN, 3)
    door = forgetful.door()
    known = asked(door, RecommendRequest(user_id=ANN))
    forgetful.tombstones.write(ANN, {})
    unknown = asked(door, RecommendRequest(user_id=ANN))
    nobody = asked(door, RecommendRequest(user_id="someone new"))
    assert known.profile.state_at is not None
    assert unknown.profile == nobody.profile
    assert unknown.items == nobody.items
    users = [line["user_id"] for line in logged(forgetful.folder / "requests")]
    assert users == [pseudonym(name, KEY) for name in (ANN, "", "someone new")]


def test_no_log_of_the_door_holds_a_raw_id(forgetful: World) -> None:
    door = forgetful.door()
    asked(door, events(ANN))
    for ask in (RecommendRequest(user_id=ANN), IntentsRequest(user_id=ANN)):
        asked(door, ask)
    door.close()
    files = [path for path in forgetful.folder.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} >= {"events", "requests"}
    text = b"".join(path.read_bytes() for path in files)
    assert pseudonym(ANN, KEY).encode() in text
    assert ANN.encode() not in text  # nor as part of the sender's own event_id


def test_an_event_says_under_which_key_its_user_is_named(forgetful: World) -> None:
    asked(forgetful.door(), events("bob"))
    assert logged(forgetful.folder / "events")[0][eventlog.UNDER] == fingerprint(KEY)


OLD, NEW = "0a" * 16, "0b" * 16


def environment(folder: Path, *, key: str, **more: str) -> dict[str, str]:
    document = release_document("v")
    document["serving"]["key"] = fingerprint(OLD)
    document["id"] = files.digest({k: v for k, v in document.items() if k != "id"})
    files.write_json(folder / "release.json", document)
    given = {"INTENTFLOW_HOME": str(folder), "INTENTFLOW_RELEASE": str(folder), "INTENTFLOW_CLOCK": "data_end"}
    return given | {"INTENTFLOW_PSEUDONYM_KEY": key} | more


def test_a_service_takes_the_key_that_its_release_was_made_under(tmp_path: Path) -> None:
    both = environment(tmp_path, key=NEW, INTENTFLOW_PREVIOUS_PSEUDONYM_KEYS=OLD)
    assert Settings.read(both).key == OLD


def test_a_service_without_that_key_does_not_start_and_says_why_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refusal:
        Settings.read(environment(tmp_path, key=NEW))
    assert "would all be unknown" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_door_without_the_tombstone_asks_the_store_and_takes_no_event(world: World) -> None:
    """The ConfigMap of its pod is older than the forgetting; nothing of the person reaches its disk or the profiles."""
    world.tombstones = Tombstones(world.folder, (KEY,))
    world.profiles.gone = {pseudonym(ANN, KEY)}
    answer = asked(world.door(), events(ANN, "bob"))
    assert (answer.accepted, answer.ignored) == (1, 1)
    assert [line["user_id"] for line in logged(world.folder / "events") if "user_id" in line] == [pseudonym("bob", KEY)]
    assert set(world.profiles.bought) == {pseudonym("bob", KEY)}


def test_a_door_without_the_tombstone_answers_and_logs_as_nobody(world: World) -> None:
    world.knows(ANN, 3)
    world.profiles.gone = {pseudonym(ANN, KEY)}
    answer = asked(world.door(), RecommendRequest(user_id=ANN))
    assert answer.profile.state_at is None
    assert [line["user_id"] for line in logged(world.folder / "requests")] == [pseudonym("", KEY)]
