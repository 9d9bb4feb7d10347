"""Rows of several vocabularies side by side in one store: what a door missed, what is pruned, who is forgotten."""

import dataclasses
from pathlib import Path

import pytest

from components.profiles.online import materialise
from feature_repo.online import erase, feast_store
from tests.profiles.conftest import Made
from tests.profiles.online_stores import LAST, Place, assert_same, offline, purchase, total, vocabulary


def test_rows_of_two_vocabularies_lie_side_by_side(place: Place, made: Made, other: Path) -> None:
    users = made.world.users
    place.materialise(made.profiles)
    old, new = place.open(made.profiles), place.open(other)
    old.push("u01", [purchase("i2", LAST)])
    assert place.materialise(other) == {"written": 24, "unchanged": 0, "removed": 0}
    assert place.materialise(made.profiles)["written"] == 0, "the champion's rows are as they were"
    rest = [user for user in users if user != "u01"]
    assert_same(old.read(rest, now=LAST), offline(made.profiles, rest, now=LAST))
    assert_same(new.read(rest, now=LAST), offline(other, rest, now=LAST))
    pushed = new.read(["u01"], now=LAST)
    assert pushed.numbers["events_total"][0] == offline(other, ["u01"], now=LAST).numbers["events_total"][0] + 1
    assert new.folding.vocabulary.index_of_item["i2"] in pushed.lists["history_items"].row(0)


def test_what_one_vocabularys_door_missed_its_next_batch_brings_in_exactly_once(
    place: Place, made: Made, other: Path
) -> None:
    place.materialise(made.profiles)
    place.materialise(other)
    a, b = place.open(made.profiles), place.open(other)
    before = {user: total(b, user) for user in ("u00", "u01", "u02", "new")}
    missed, both = purchase("i2", LAST, key="missed"), purchase("i4", LAST + 1, key="both")
    a.push_all({"u00": [missed, both], "u01": [purchase("i1", LAST)] * 2, "new": [missed]})  # two without a key
    b.push_all({"u00": [dataclasses.replace(both, known_at=LAST + 9)], "u02": [purchase("i3", LAST)]})
    assert total(b, "u00") == before["u00"] + 1
    for written in (2, 0):
        assert place.materialise(other)["written"] == written
        added = {user: total(b, user) - count for user, count in before.items()}
        assert added == {"u00": 2, "u01": 2, "u02": 1, "new": 1}
    b.push_all({"u00": [missed, purchase("i1", LAST + 2, key="next")], "new": [missed]})  # the copy comes late
    assert {user: total(b, user) - count for user, count in before.items()} == {"u00": 3, "u01": 2, "u02": 1, "new": 1}
    assert place.materialise(other)["written"] == 0
    assert place.materialise(made.profiles)["written"] == 2, "u00 and u02, from the other side"
    materialise.prune(place.project, place.home, [vocabulary(other)])
    assert place.materialise(other)["written"] == 0, "what came in from the rows that were dropped stays"
    assert total(b, "u00") == before["u00"] + 3


def test_pruning_takes_rows_files_and_declarations_of_no_release_and_leaves_the_rest(
    place: Place, made: Made, other: Path
) -> None:
    place.materialise(made.profiles)
    place.materialise(other)
    keep, gone = (feast_store.space(place.project, vocabulary(p)) for p in (other, made.profiles))
    assert erase.spaces(place.project) == sorted([keep, gone])
    assert materialise.prune(place.project, place.home, [vocabulary(other)]) == [gone]
    assert materialise.prune(place.project, place.home, [vocabulary(other)]) == []
    assert erase.spaces(place.project) == [keep]
    assert [path.name for path in (place.home / "features").iterdir()] == [vocabulary(other)]
    assert [found.name for found in feast_store.open_store(keep).list_projects()] == [keep]
    assert place.open(other).read(made.world.users, now=LAST).known.all()


def test_a_forgotten_user_is_in_no_vocabularys_rows(place: Place, made: Made, other: Path) -> None:
    place.materialise(made.profiles)
    place.materialise(other)
    place.open(made.profiles).push("u03", [purchase("i2", LAST)])
    assert erase.erase(place.project, ["u03"]) > 0
    assert erase.count(place.project, ["u03"]) == 0
    assert "u03" not in erase.users(place.project)
    for profiles in (made.profiles, other):
        assert place.open(profiles).read(["u03", "u04"], now=LAST).known.tolist() == [False, True]


def test_the_rows_of_before_are_read_by_nobody_and_erased_with_the_rest(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:  # all vocabularies in one Feast project
        before.setattr(feast_store, "space", lambda project, _: project)
        before.setattr("feature_repo.online.profiles.space", lambda project, _: project)
        place.materialise(made.profiles)
        place.open(made.profiles).push("u00", [purchase("i1", LAST)])
    counted = offline(made.profiles, ["u00"], now=LAST).numbers["events_total"][0]
    assert place.materialise(made.profiles)["written"] == 24
    assert total(place.open(made.profiles), "u00") == counted + 1, "its pushed event comes along"
    erase.erase(place.project, ["u00"])
    assert erase.count(place.project, ["u00"]) == 0
    assert materialise.prune(place.project, place.home, [vocabulary(made.profiles)]) == [place.project]
