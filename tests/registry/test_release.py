"""A release: written once, assembled from the registry alone, and only when it is what was released."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.registry import client as mlflow_client
from components.registry.aliases import challenge
from components.registry.release import ASKED, assemble, document
from feature_repo import file_set, files
from feature_repo.errors import ServerError, SpecError

WITHOUT_SERVER = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def test_a_release_is_a_version_with_its_fields_as_tags(shared) -> None:
    made = shared.release(quality=0.31)
    with mlflow_client.connected() as client:
        version = client.get_model_version("shared-release", made.version)
    assert version.tags["id"] == made.id
    assert (version.tags["intent_version"], version.tags["ranking_version"]) == ("1", "1")
    assert (version.tags["policy"], version.tags["prompt"]) == ("greedy@1", "template@2")
    assert version.tags["feature_services"] == '{"intent_v1":"aaaa","ranking_v1":"bbbb"}'
    assert (version.tags["gates"], version.tags["metrics"]) == ("passed", '{"intent.map":0.31}')


def test_a_version_says_which_cluster_run_came_to_it_last(shared, monkeypatch) -> None:
    for run in ("run-1", "run-2"):
        monkeypatch.setenv("INTENTFLOW_RUN", run)
        made = shared.release()
        with mlflow_client.connected() as client:
            found = mlflow_client.version_tagged(client, "shared-release", ASKED, run)
        assert (str(found.version), found.tags["gates"]) == (made.version, "passed")


def test_the_id_is_the_digest_of_the_rest_and_says_nothing_about_metrics(shared) -> None:
    released = document("shared", shared.registered, {"serving": {"k": 3}})
    rest = {key: value for key, value in released.items() if key != "id"}
    assert released["id"] == files.digest(rest)
    assert set(rest) == {
        *("format", "name", "intent", "ranking", "policy", "prompt", "feature_services"),
        *("spec", "data", "vocabulary", "segments", "git", "lock", "serving"),
    }
    assert released["serving"] == {
        "name": "shared",
        "calendar": {"first_day": "2016-12-26", "timezone": "America/New_York"},
        "data_end": "2017-12-31T04:30:00+00:00",
        "serving": {"k": 3},
    }


def test_the_same_release_is_made_once_and_another_spec_makes_another(shared) -> None:
    first, again, other = shared.release(), shared.release(), shared.release(spec="0ther0ther00")
    assert (first.created, again.created, other.created) == (True, False, True)
    assert first.version == again.version != other.version
    assert first.id == again.id != other.id


def test_a_verdict_or_a_metric_that_changed_is_told_on_the_version(shared) -> None:
    shared.release(passed=False)
    made = shared.release(passed=True, quality=0.4)
    with mlflow_client.connected() as client:
        version = client.get_model_version("shared-release", made.version)
    assert (version.tags["gates"], version.tags["metrics"]) == ("passed", '{"intent.map":0.4}')
    assert version.description.startswith(f"# Gates of release {made.id}: passed")


@pytest.mark.parametrize("which", ["1", "challenger"])
def test_a_release_folder_holds_what_serving_needs(shared, tmp_path, which) -> None:
    made = shared.release()
    challenge("shared", made.version, passed=True, who="test", why="passed")
    folder = assemble("shared", which, tmp_path / "release")
    released = files.read_json(folder / "release.json")
    assert released["id"] == made.id
    assert {path.name for path in folder.iterdir()} == {"release.json", "intent", "ranking"}
    for part in ("intent", "ranking"):
        assert file_set.digest(folder / part) == released[part]["digest"]
        assert (folder / part / "weights.safetensors").is_file()


@WITHOUT_SERVER
def test_a_release_that_is_there_is_left_alone_and_one_that_is_damaged_is_made_again(shared, tmp_path) -> None:
    shared.release()
    folder = assemble("shared", "1", tmp_path / "release")
    inode = folder.stat().st_ino
    assert assemble("shared", "1", folder).stat().st_ino == inode
    (folder / "intent" / "config.json").write_text("{}")
    assemble("shared", "1", folder)
    assert (folder / "intent" / "config.json").read_text() != "{}"


@WITHOUT_SERVER
def test_a_folder_with_something_else_in_it_is_not_touched(shared, tmp_path) -> None:
    shared.release()
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(SpecError, match="holds something else than a release"):
        assemble("shared", "1", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


@pytest.fixture
def breakable(shared) -> Iterator[Path]:
    """The folder of the registered intent model, which is mended after the test."""
    folder = shared.folder_of("intent") / "artifacts" / "model"
    safe = folder.with_name("safe")
    shutil.copytree(folder, safe)
    yield folder
    shutil.rmtree(folder)
    safe.rename(folder)


@pytest.mark.parametrize("harm", ["changed", "lost", "added"])
def test_a_model_that_was_damaged_in_the_registry_is_refused_by_name(shared, breakable, tmp_path, harm) -> None:
    made = shared.release()
    weights = breakable / "weights.safetensors"
    if harm == "changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    elif harm == "lost":
        weights.unlink()
    else:
        (breakable / "weights.safetensors.old").write_bytes(b"")
    with pytest.raises(ServerError) as said:
        assemble("shared", made.version, tmp_path / "release")
    assert "models:/shared-intent/1: intent/weights.safetensors" in str(said.value)
    assert "\n" not in str(said.value)
    assert list(tmp_path.iterdir()) == []


def test_a_release_document_that_was_changed_or_lost_is_refused(shared, tmp_path) -> None:
    made = shared.release()
    (file,) = shared.artifacts.rglob(f"release/{made.id}/release.json")
    kept = file.read_text()
    file.write_text(kept.replace("greedy@1", "greedy@2"))
    with pytest.raises(ServerError, match=r"release.json in the registry is broken"):
        assemble("shared", made.version, tmp_path / "release")
    file.unlink()
    with pytest.raises(ServerError, match=r"release.json cannot be read from the registry"):
        assemble("shared", made.version, tmp_path / "release")
    file.write_text(kept)
    assert assemble("shared", made.version, tmp_path / "release").is_dir()


def test_an_alias_or_a_version_that_does_not_exist_is_one_line_with_what_does(shared, tmp_path) -> None:
    with pytest.raises(SpecError, match="nothing is registered under this name yet"):
        assemble("shared", "champion", tmp_path / "release")
    made = shared.release()
    challenge("shared", made.version, passed=True, who="test", why="passed")
    with pytest.raises(SpecError, match=r"no version holds the alias 'champion'; aliases: challenger \(version 1\)"):
        assemble("shared", "champion", tmp_path / "release")
    with pytest.raises(SpecError, match="no version 77; have 1"):
        assemble("shared", "77", tmp_path / "release")
