"""One checkerboard world through the profile steps, shared by the tests here."""

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import servers
from components.profiles import steps
from components.profiles.online import materialise
from tests import worlds
from tests.profiles.online_stores import NUMBER, Place

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


@pytest.fixture(scope="session", params=servers.KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.running(request.param, tmp_path_factory.mktemp(request.param), durable=False) as found:
        yield found


@pytest.fixture
def place(server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    # A file of its own, also of the registry: one in SQL is as good, and slow to fill; one test has it.
    own = {"path": str(tmp_path / "online.db")} if server.kind == "sqlite" else {}
    mine = dataclasses.replace(server, online_store=server.online_store | own, registry=str(tmp_path / "registry.db"))
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(mine.registry, mine.online_store))
    monkeypatch.setattr(materialise, "SETTLED_S", 0.0)
    return Place(mine, f"world{next(NUMBER)}", tmp_path)


def built(world: worlds.World, folder: Path, *, fitted: Path | None = None, top: int = 4) -> Path:
    """Build profiles of a world, with the vocabulary of others or its own."""
    intents = [worlds.VOCABULARY["intents"][0] | {"top": top}, worlds.VOCABULARY["intents"][1]]  # type: ignore[index]
    wanted = json.dumps(worlds.VOCABULARY | {"intents": intents})
    clean = world.write(folder / "clean")
    steps.run_profiles(PROFILES, SPLIT, wanted, clean=clean, destination=folder / "profiles", fitted=fitted)
    return folder / "profiles"


@pytest.fixture(scope="session")
def bought_later(made: Made) -> dict[str, object]:
    """What u00 buys ten minutes after everything else: an odd item, by an even user."""
    last = max(e["timestamp"] for e in made.world.events)  # type: ignore[type-var]
    return worlds.event("u00", "i1", last + dt.timedelta(minutes=10), session="late", value=7.0)  # type: ignore[operator]


@pytest.fixture(scope="session")
def later(made: Made, bought_later: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next batch: one event more, the same vocabulary."""
    world = dataclasses.replace(made.world, events=[*made.world.events, bought_later])
    return built(world, tmp_path_factory.mktemp("later"), fitted=made.profiles)


@pytest.fixture(scope="session")
def other(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data under another vocabulary: positions mean other things."""
    return built(made.world, tmp_path_factory.mktemp("other"), top=2)
