"""Tombstones keep people out by a keyed mark, across changes of the key, and hold nothing that names them."""

import os
import threading
import time
from pathlib import Path

import pytest

from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import KEY, PREVIOUS, fingerprint, matching, pseudonym, ring
from feature_repo.privacy.tombstones import Tombstones, read_all

OLD, NEW = "0a" * 16, "0b" * 16
ANN = "raw-user-7f3a-ann"


def test_a_tombstone_is_seen_by_those_who_have_the_key_and_names_nobody(tmp_path: Path) -> None:
    writer, reader = Tombstones(tmp_path, (OLD,)), Tombstones(tmp_path, (OLD,))
    assert not reader.holds(ANN)
    path = writer.write(ANN, {"state": "removing"})
    assert reader.holds(ANN)
    assert not reader.holds("bob")
    text = path.name + path.read_text()
    assert ANN not in text
    assert pseudonym(ANN, OLD) not in text
    assert read_all(tmp_path) == [{"state": "removing"}]


def test_withdrawing_lets_a_person_come_back(tmp_path: Path) -> None:
    tombstones = Tombstones(tmp_path, (OLD,))
    tombstones.write(ANN, {})
    assert tombstones.withdraw(ANN)
    assert not tombstones.withdraw(ANN)
    assert not tombstones.holds(ANN)
    assert tombstones.digest == ""


def test_a_second_folder_is_read_and_never_written(tmp_path: Path) -> None:
    names, home = tmp_path / "names", tmp_path / "home"
    written = Tombstones(tmp_path / "elsewhere", (OLD,)).write(ANN, {})
    names.mkdir()
    (names / written.name).write_text("{}")
    names.chmod(0o555)
    try:
        both = Tombstones(home, (OLD,), elsewhere=str(names))
        assert both.holds(ANN)
        assert both.digest == Tombstones(tmp_path / "elsewhere", (OLD,)).digest
        both.write("bob", {})
        assert both.holds("bob")
        assert not both.withdraw(ANN)
        assert both.holds(ANN)
        assert [path.name for path in names.iterdir()] == [written.name]
        with pytest.raises(SpecError, match=rf"^{names}: 1 tombstones are under the key {fingerprint(OLD)}"):
            Tombstones(tmp_path, (NEW,), elsewhere=str(names))
    finally:
        names.chmod(0o755)


def test_a_second_folder_that_changes_or_is_absent_is_no_mistake(tmp_path: Path) -> None:
    names = tmp_path / "names"
    tombstones = Tombstones(tmp_path / "home", (OLD,), elsewhere=str(names))
    assert not tombstones.any
    names.mkdir()
    os.utime(names, (0, 0))
    assert not tombstones.holds(ANN)
    (names / Tombstones(tmp_path / "elsewhere", (OLD,)).write(ANN, {}).name).write_text("{}")
    assert tombstones.holds(ANN)


def test_an_old_folder_is_read_again_when_it_changes(tmp_path: Path) -> None:
    tombstones = Tombstones(tmp_path, (OLD,))
    tombstones.write("bob", {})
    os.utime(tombstones.folder, (0, 0))  # long settled
    assert not tombstones.holds(ANN)
    Tombstones(tmp_path, (OLD,)).write(ANN, {})
    assert tombstones.holds(ANN)


def test_a_changed_key_still_knows_who_was_forgotten_under_the_one_before(tmp_path: Path) -> None:
    Tombstones(tmp_path, (OLD,)).write(ANN, {})
    both = Tombstones(tmp_path, (NEW, OLD))
    assert both.holds(ANN)
    assert both.under_other_keys() == 1
    assert both.renew([ANN, "bob"]) == 1
    assert both.under_other_keys() == 0
    assert Tombstones(tmp_path, (NEW,)).holds(ANN)


def test_a_tombstone_that_cannot_be_told_stops_the_start(tmp_path: Path) -> None:
    Tombstones(tmp_path, (OLD,)).write(ANN, {})
    with pytest.raises(SpecError, match=rf"1 tombstones are under the key {fingerprint(OLD)}.*previous_key_file"):
        Tombstones(tmp_path, (NEW,))


def test_a_service_that_runs_through_a_change_of_keys_keeps_what_it_knows(tmp_path: Path) -> None:
    Tombstones(tmp_path, (OLD,)).write(ANN, {})
    service = Tombstones(tmp_path, (OLD,))
    Tombstones(tmp_path, (NEW, OLD)).renew([ANN])
    assert service.holds(ANN)
    assert service.holds(ANN)  # also when it reads the folder once more


def test_a_new_tombstone_waits_for_events_that_are_being_stored(tmp_path: Path) -> None:
    tombstones, done = Tombstones(tmp_path, (OLD,)), []
    writer = threading.Thread(target=lambda: done.append(Tombstones(tmp_path, (OLD,)).write(ANN, {})))
    with tombstones.read_locked():
        writer.start()
        time.sleep(0.1)
        assert not done
    writer.join(5)
    assert done


def test_a_ring_has_the_key_in_use_first_and_bad_keys_are_one_line() -> None:
    assert ring({KEY: NEW, PREVIOUS: f"{OLD},{NEW}"}) == (NEW, OLD)
    assert ring({KEY: NEW}) == (NEW,)
    with pytest.raises(SpecError, match=f"{KEY} is not set"):
        ring({})
    with pytest.raises(SpecError, match=f"{PREVIOUS}: must be hexadecimal"):
        ring({KEY: NEW, PREVIOUS: "no key"})


def test_a_release_under_another_key_is_refused_in_one_line_unless_that_key_is_at_hand() -> None:
    assert matching((NEW, OLD), fingerprint(OLD), what="release r") == OLD
    assert matching((NEW,), "", what="release r") == NEW
    with pytest.raises(SpecError, match=rf"release r was made under the key {fingerprint(OLD)}.*{fingerprint(NEW)}"):
        matching((NEW,), fingerprint(OLD), what="release r")


def test_two_environments_have_other_names_for_the_same_person() -> None:
    assert pseudonym(ANN, OLD) != pseudonym(ANN, NEW)
    assert fingerprint(OLD) != fingerprint(NEW)
