"""The checkerboard world's folders, and a ranker trained on it once."""

from pathlib import Path

import pytest

from components.ranking import examples
from components.ranking.catalogue import Catalogue
from components.ranking.examples import World
from components.ranking.score import Ranker
from components.ranking.train import Trained, train
from tests.ranking.board import SPEC, Happened, checkerboard, write


@pytest.fixture(scope="session")
def happened() -> dict[str, Happened]:
    """Give what happened on the checkerboard."""
    return checkerboard()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, happened: dict[str, Happened]) -> tuple[Path, Path]:
    """Give the checkerboard's `rows` and `intent` folders."""
    return write(tmp_path_factory.mktemp("ranking"), happened)


@pytest.fixture(scope="session")
def world(folders: tuple[Path, Path]) -> World:
    """Give the checkerboard as the ranker reads it."""
    return examples.load(*folders)


@pytest.fixture(scope="session")
def catalogue(world: World) -> Catalogue:
    """Give the items as known after the last week."""
    return Catalogue.of(world.vocabulary, world.item_state)


@pytest.fixture(scope="session")
def trained(world: World) -> Trained:
    """Give a ranker trained on the checkerboard."""
    return train(world, SPEC)


@pytest.fixture(scope="session")
def ranker(trained: Trained) -> Ranker:
    """Give the trained ranker."""
    return trained.ranker
