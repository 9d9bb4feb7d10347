"""A release's profiles: found by its vocabulary, written again at any time, pruned when nobody needs them."""

import os
import shutil
from pathlib import Path

import pytest

from components.profiles.online import materialise
from feature_repo import files, release_folder
from feature_repo.errors import DataError
from feature_repo.online import erase
from feature_repo.online.profiles import OnlineProfiles
from pipelines import environment
from pipelines.environment import Installation
from pipelines.releases.release import variables
from pipelines.rollout import profiles
from tests.profiles.conftest import Made

DEMO = Path(__file__).resolve().parents[2] / "pipelines" / "specs" / "grocery.yaml"


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    """A state folder with one fetched release, r1, and nothing published."""
    return environment.place(DEMO, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state"), **os.environ})


def fetched(place: Installation, release: str, vocabulary: str) -> None:
    folder = place.home / "releases" / release / "models"
    folder.mkdir(parents=True)
    files.write_json(folder / "release.json", release_folder.identified({"vocabulary": vocabulary}))


def test_a_release_finds_its_profiles_in_a_runs_artifacts_and_keeps_them(place: Installation, made: Made) -> None:
    folds = materialise.folding(made.profiles)
    fetched(place, "r1", folds.vocabulary.digest)
    run = place.home / "runs" / "run-1" / "build-profiles" / "features"
    shutil.copytree(made.profiles, run)
    assert profiles.materialise_release(place, "r1") == "24 rows written, 0 rows unchanged, 0 rows removed"
    shutil.rmtree(place.home / "runs")
    with variables(place):
        erase.erase(place.spec.name, ["u03"])
    assert profiles.materialise_release(place, "r1") == "1 rows written, 23 rows unchanged, 0 rows removed"
    with variables(place):
        assert OnlineProfiles.open(place.spec.name, folds).read(made.world.users, now=1_800_000_000).known.all()
    assert profiles.prune(place, ["r1"]) == []
    fetched(place, "r2", "0123456789ab")
    assert len(profiles.prune(place, ["r2"])) == 1
    with pytest.raises(DataError, match="release r1 has vocabulary"):
        profiles.materialise_release(place, "r1")


def test_nothing_is_pruned_for_a_release_that_nobody_knows(place: Installation) -> None:
    with pytest.raises(DataError, match="release r9 was not fetched"):
        profiles.prune(place, ["r9"])
