"""A rollout as the registry holds it: its state, its story, and aliases that come back to where they belong."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from components.registry import aliases, rollout_tags
from components.registry.release import model_name

NAME = "toy"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of a release, the third refused by its gates. Made once, copied."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    client = mlflow.MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}")
    client.create_registered_model(model_name(NAME))
    for number in (1, 2, 3):
        gates = {"gates": [{"passed": number != 3, "reason": "map is low"}]}
        tags = {"id": f"r{number}", "gates": "refused" if number == 3 else "passed", "verdict": json.dumps(gates)}
        client.create_model_version(model_name(NAME), str(file.parent), tags=tags)
    return file


@pytest.fixture
def client(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """Return a client of such a registry, in which the first version was promoted."""
    uri = f"sqlite:///{shutil.copy(registry, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    aliases.promote(NAME, "1", who="ana", why="the first")
    return mlflow.MlflowClient(uri, uri)


def moved(client: mlflow.MlflowClient, version: str) -> None:
    """Move the champion as MLflow's UI does."""
    client.set_registered_model_alias(model_name(NAME), "champion", version)


def test_everything_about_a_rollout_is_read_at_once_and_kept(client: mlflow.MlflowClient) -> None:
    assert rollout_tags.read("nobody") == rollout_tags.Registry("", recorded=True)
    rollout_tags.write(NAME, {"phase": "canary", "step": 1})
    moved(client, "3")
    found = rollout_tags.read(NAME)
    assert (found.champion, found.recorded, found.state) == ("3", False, {"phase": "canary", "step": 1})
    assert found.versions["3"] == rollout_tags.Version("3", "r3", passed=False, refusals="map is low")


def test_the_story_is_told_once_in_words_and_within_what_a_tag_holds(client: mlflow.MlflowClient) -> None:
    for line in ("begins", "begins", "shadow: ready"):
        rollout_tags.say(NAME, "2", phase="shadow", line=line)
    tags = client.get_model_version(model_name(NAME), "2").tags
    assert [line.split(" ", 1)[1] for line in tags["rollout_log"].splitlines()] == ["begins", "shadow: ready"]
    assert tags["rollout"] == "shadow"
    for count in range(3):
        rollout_tags.say(NAME, "2", phase="canary", line=f"{count} " + 2000 * "x")
    told = client.get_model_version(model_name(NAME), "2").tags["rollout_log"]
    assert len(told) <= rollout_tags.CHARACTERS
    assert told.splitlines()[-1].split()[1] == "2"
    rollout_tags.say(NAME, "7", phase="canary", line="of a version that is gone")


def test_a_state_too_long_for_a_tag_is_refused_before_it_is_cut(client: mlflow.MlflowClient) -> None:
    with pytest.raises(ValueError, match="a tag holds 5000"):
        rollout_tags.write(NAME, {"why": 5000 * "x"})


def test_a_release_that_failed_gives_the_alias_back_and_says_why(client: mlflow.MlflowClient) -> None:
    aliases.promote(NAME, "2", who="ana", why="better")
    moved(client, "3")
    aliases.notice(NAME)
    assert aliases.status(NAME).holders["previous"] == "2"
    assert aliases.take_back(NAME, "3", to="2", who="rollout", why="slow")
    aliases.keep_previous(NAME, "1", who="rollout", why="as before")
    found = aliases.status(NAME)
    assert found.holders == {"champion": "2", "previous": "1"}
    assert aliases.rolled_back(NAME, "3").endswith("by rollout: slow")
    assert not found.unrecorded
    rollout_tags.settle(NAME, "3")
    assert aliases.rolled_back(NAME, "3") == ""


def test_an_alias_that_was_moved_meanwhile_is_not_taken_back(client: mlflow.MlflowClient) -> None:
    moved(client, "2")
    assert not aliases.take_back(NAME, "3", to="1", who="rollout", why="slow")
    assert aliases.status(NAME).holders["champion"] == "2"


def test_a_first_release_that_failed_leaves_no_champion(client: mlflow.MlflowClient) -> None:
    assert aliases.take_back(NAME, "1", to="", who="rollout", why="does not start")
    assert "champion" not in aliases.status(NAME).holders
