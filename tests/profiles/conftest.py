"""One checkerboard world through the profile steps, shared by the tests here."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.profiles import steps
from tests import worlds

SPLIT = json.dumps(worlds.SPLIT)
PROFILES = json.dumps({"windows_days": [7, 28, 91], "segments": {"k": 2}})
RANKING = json.dumps({"train_weeks": 3, "test_every_weeks": 2})


@dataclass(frozen=True)
class Made:
    """The world and its folders."""

    world: worlds.World
    clean: Path
    profiles: Path
    rows: Path


def make(world: worlds.World, folder: Path) -> Made:
    """Run the profile steps on a world."""
    clean = world.write(folder / "clean")
    made = Made(world, clean, folder / "profiles", folder / "rows")
    vocabulary = json.dumps(worlds.VOCABULARY)
    steps.run_profiles(PROFILES, SPLIT, vocabulary, clean=clean, destination=made.profiles)
    steps.run_training_set(SPLIT, RANKING, clean=clean, profiles=made.profiles, destination=made.rows)
    return made


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return the checkerboard world's folders."""
    return make(worlds.checkerboard(), tmp_path_factory.mktemp("checkerboard"))


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test a state folder and an online store of its own, SQLite."""
    feast = {
        "registry": str(tmp_path / "registry.db"),
        "online_store": {"type": "sqlite", "path": str(tmp_path / "online.db")},
    }
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("INTENTFLOW_FEAST", json.dumps(feast))
