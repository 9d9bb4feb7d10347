"""Aliases and the record of their moves."""

import contextlib
import os
import sqlite3
from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from components.registry import champion
from components.registry import client as mlflow_client
from components.registry import release as registered
from components.registry.aliases import HISTORY_CHARACTERS, Move, challenge, promote, rollback, status
from feature_repo.errors import Refused, SpecError
from tests.registry.conftest import EITHER

# What asks a server nothing that the other tests do not ask it as well.
WITHOUT_SERVER = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
BY = {"who": "ana", "why": "because"}


class Killed(BaseException):
    """The end of the process, as far as the code can see."""


@pytest.fixture
def releases(shared) -> list[str]:
    """Versions 1, 2 and 3, all passed."""
    made: list[str] = shared.begun.at(
        "three", lambda: [shared.release(spec=f"spec0000000{n}").version for n in (1, 2, 3)]
    )
    return made


def test_a_release_rises_from_challenger_to_champion_and_falls_back(shared, releases) -> None:
    assert status("shared").holders == {}
    challenge("shared", "1", passed=True, **BY)
    assert status("shared").holders == {"challenger": "1"}
    assert promote("shared", "challenger", **BY).note == "champion nobody -> 1"
    assert status("shared").holders == {"champion": "1"}
    challenge("shared", "2", passed=True, **BY)
    assert promote("shared", "2", **BY).note == "champion 1 -> 2"
    assert status("shared").holders == {"champion": "2", "previous": "1"}
    assert rollback("shared", who="eva", why="too slow").note == "champion 2 -> 1"
    now = status("shared")
    assert now.holders == {"champion": "1"}
    assert [move.line().split(" ", 1)[1] for move in now.history if move.alias == "champion"] == [
        "champion nobody -> 1 by ana: because",
        "champion 1 -> 2 by ana: because",
        "champion 2 -> 1 by eva: too slow",
    ]


def test_every_move_is_told_on_the_versions_and_the_parts_follow(shared, releases) -> None:
    promote("shared", "1", **BY)
    promote("shared", "2", **BY)
    with mlflow_client.connected() as client:
        tags = client.get_model_version("shared-release", "1").tags
        aliases = {part: client.get_registered_model(f"shared-{part}").aliases for part in ("intent", "ranking")}
    lines = [line.split(" ", 1)[1] for line in tags["moves"].splitlines()]
    assert lines == [
        "champion nobody -> 1 by ana: because",
        "previous nobody -> 1 by ana: because",
        "champion 1 -> 2 by ana: because",
    ]
    assert {part: {a: str(v) for a, v in held.items()} for part, held in aliases.items()} == {
        "intent": {"champion": "1", "previous": "1"},
        "ranking": {"champion": "1", "previous": "1"},
    }


@WITHOUT_SERVER
def test_doing_it_twice_changes_nothing(shared, releases) -> None:
    promote("shared", "1", **BY)
    promote("shared", "2", **BY)
    before = status("shared")
    again = promote("shared", "2", **BY)
    challenge("shared", "2", passed=True, **BY)  # the champion is no challenger
    assert (again.moved, again.note) == (False, "version 2 is the champion already")
    assert status("shared") == before


@WITHOUT_SERVER
def test_a_dry_run_moves_nothing(shared, releases) -> None:
    promote("shared", "1", **BY)
    promote("shared", "2", **BY)
    before = status("shared")
    assert promote("shared", "3", dry_run=True, **BY).note == "would move champion 2 -> 3; dry run"
    assert rollback("shared", dry_run=True, **BY).note == "would move champion 2 -> 1; dry run"
    assert status("shared") == before


def test_what_its_gates_refused_is_not_promoted(shared) -> None:
    made = shared.release(passed=False)
    with pytest.raises(
        Refused, match=r"its gates refused it \(intent.map 0.3 is below the floor 1 .*\); nothing was promoted"
    ):
        promote("shared", made.version, **BY)
    assert status("shared").holders == {}


@WITHOUT_SERVER
def test_a_challenger_that_no_longer_passes_loses_the_alias(shared, releases) -> None:
    challenge("shared", "1", passed=True, **BY)
    challenge("shared", "2", passed=False, **BY)  # never had it
    assert status("shared").holders == {"challenger": "1"}
    challenge("shared", "1", passed=False, **BY)
    assert status("shared").holders == {}


def test_nothing_to_roll_back_to_is_one_line(shared, releases) -> None:
    with pytest.raises(SpecError, match="no version holds 'previous', so there is nothing to roll back to"):
        rollback("shared", **BY)
    promote("shared", "1", **BY)
    with pytest.raises(SpecError, match="no version holds 'previous'"):
        rollback("shared", **BY)
    with pytest.raises(SpecError, match="nothing is registered under this name yet"):
        rollback("unheard", **BY)
    assert status("shared").holders == {"champion": "1"}


@EITHER
def test_a_champion_whose_alias_was_lost_gets_it_again(shared, releases) -> None:
    promote("shared", "1", **BY)
    promote("shared", "3", **BY)
    with mlflow_client.connected() as client:
        client.delete_registered_model_alias("shared-release", "champion")
    assert rollback("shared", dry_run=True, **BY).note.startswith("would move champion nobody -> 3")
    assert rollback("shared", serves="1", **BY).champion == "1"  # what the rollout made stable last
    assert status("shared").holders == {"champion": "1"}
    promote("shared", "3", **BY)
    with mlflow_client.connected() as client:
        client.delete_registered_model_alias("shared-release", "champion")
    done = rollback("shared", **BY)  # what the history names
    assert (done.champion, done.moved, done.note) == ("3", True, "champion nobody -> 3, which held it last")
    now = status("shared")
    assert (now.holders, now.unrecorded) == ({"champion": "3", "previous": "1"}, False)
    assert "champion 3 -> nobody by unknown: moved outside intentflow" in "\n".join(m.line() for m in now.history)


@WITHOUT_SERVER
def test_a_lost_champion_that_was_taken_back_is_not_restored(shared, releases) -> None:
    promote("shared", "1", **BY)
    promote("shared", "3", **BY)
    with mlflow_client.connected() as client:
        client.set_model_version_tag("shared-release", "3", "rolled_back", "it erred")
        client.delete_registered_model_alias("shared-release", "champion")
    assert rollback("shared", serves="3", **BY).champion == "1"
    assert status("shared").holders == {"champion": "1"}


@WITHOUT_SERVER
def test_a_champion_without_one_before_stays_where_serving_can_be_mended(shared, releases) -> None:
    promote("shared", "1", **BY)
    done = rollback("shared", stays=True, **BY)
    assert (done.champion, done.moved) == ("1", False)
    assert "`intentflow promote --version N` serves another" in done.note


def test_a_champion_moved_in_the_ui_is_recorded_and_can_be_rolled_back(shared, releases) -> None:
    promote("shared", "1", **BY)
    with mlflow_client.connected() as client:
        client.set_registered_model_alias("shared-release", "champion", "3")
    assert status("shared").unrecorded
    assert rollback("shared", **BY).note == "champion 3 -> 1"
    now = status("shared")
    assert not now.unrecorded
    assert "champion 1 -> 3 by unknown: moved outside intentflow" in "\n".join(move.line() for move in now.history)


@WITHOUT_SERVER
def test_promoting_what_the_ui_made_champion_records_it_and_what_was_before(shared, releases) -> None:
    promote("shared", "1", **BY)
    with mlflow_client.connected() as client:
        client.set_registered_model_alias("shared-release", "champion", "3")
    assert promote("shared", "3", **BY).note == "version 3 is the champion already"
    assert status("shared").holders == {"champion": "3", "previous": "1"}
    assert not status("shared").unrecorded


@EITHER
def test_a_version_that_was_rolled_back_is_marked_until_a_person_promotes_it(shared, releases) -> None:
    promote("shared", "1", **BY)
    promote("shared", "2", **BY)
    rollback("shared", **BY)
    challenge("shared", "2", passed=True, **BY)
    assert status("shared").versions["2"]["rolled_back"].endswith("by ana: because")
    promote("shared", "2", **BY)
    assert "rolled_back" not in status("shared").versions["2"]


@WITHOUT_SERVER
def test_the_history_stays_within_what_the_database_holds(shared, releases) -> None:
    for n in range(20):
        challenge("shared", "12"[n % 2], passed=True, who="ana", why="x" * 500)
    with mlflow_client.connected() as client:
        tags = client.get_registered_model("shared-release").tags
    assert len(tags["history"]) <= HISTORY_CHARACTERS
    assert status("shared").history[-1].to == "2"
    assert isinstance(status("shared").history[-1], Move)


WRITES = (
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_registered_model_tag",
    "set_model_version_tag",
    "delete_model_version_tag",
)


def killed(act: Callable[[], object], patch: pytest.MonkeyPatch, *, after: int) -> bool:
    """Run an act that dies after so many writes; tell whether it did."""
    left = [after]

    def dying(write):
        def call(*arguments, **named):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return write(*arguments, **named)

        return call

    for write in WRITES:
        patch.setattr(MlflowClient, write, dying(getattr(MlflowClient, write)))
    try:
        act()
    except Killed:
        return True
    return False


@WITHOUT_SERVER
@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_an_act_that_was_killed_at_any_write_is_completed_by_the_next(shared, releases, monkeypatch, act) -> None:
    def deed() -> None:
        promote("shared", "2", **BY) if act == "promote" else rollback("shared", **BY)

    def start_over() -> None:
        with mlflow_client.connected() as client:
            for alias in status("shared").holders:
                client.delete_registered_model_alias("shared-release", alias)
            client.delete_registered_model_tag("shared-release", "recorded_champion")
        promote("shared", "1", **BY)
        if act == "rollback":
            promote("shared", "2", **BY)

    promote("shared", "1", **BY)
    for after in range(0, 30, 3):
        start_over()
        with monkeypatch.context() as patch:
            died = killed(deed, patch, after=after)
        with contextlib.suppress(SpecError):  # rolled back already: there is nothing more to roll back to
            deed()
        now = status("shared")
        assert now.holders == ({"champion": "2", "previous": "1"} if act == "promote" else {"champion": "1"})
        assert not now.unrecorded
        if not died:
            return
    raise AssertionError("it never came through")


def dangle(alias: str, version: str) -> None:
    """Delete a version and have its alias stay, as databases do that were cleaned by hand."""
    with mlflow_client.connected() as client:
        client.delete_model_version("shared-release", version)
    with contextlib.closing(sqlite3.connect(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))) as db, db:
        db.execute("DELETE FROM registered_model_aliases WHERE name = 'shared-release' AND alias = ?", [alias])
        columns = "(alias, version, name)"
        db.execute(f"INSERT INTO registered_model_aliases {columns} VALUES (?, ?, 'shared-release')", [alias, version])


@WITHOUT_SERVER
def test_an_alias_of_a_version_that_was_deleted_holds_nothing_and_is_named(shared, releases) -> None:
    promote("shared", "1", **BY)
    promote("shared", "2", **BY)
    dangle("previous", "1")
    now = status("shared")
    assert (now.holders, now.dangling) == ({"champion": "2"}, {"previous": "1"})
    with pytest.raises(SpecError, match="no version holds 'previous'"):
        rollback("shared", **BY)
    assert promote("shared", "3", **BY).note == "champion 2 -> 3"
    assert status("shared").holders == {"champion": "3", "previous": "2"}
    assert status("shared").dangling == {}


@WITHOUT_SERVER
def test_a_champion_that_was_deleted_is_one_line_for_those_who_ask_for_it(shared, releases) -> None:
    promote("shared", "1", **BY)
    promote("shared", "2", **BY)
    dangle("champion", "2")
    assert status("shared").dangling == {"champion": "2"}
    with mlflow_client.connected() as client:
        told = "the alias 'champion' names version 2, which was deleted; give it to another"
        with pytest.raises(SpecError, match=told):
            registered.resolve(client, "shared", "champion")
        with pytest.raises(SpecError, match=told):
            promote("shared", "champion", **BY)
    assert champion.champion("shared") is None
    assert rollback("shared", **BY).champion == "1", "the last one that is still there"
    assert status("shared").holders["champion"] == "1"
