"""What tests of changes over HTTP share."""

from collections.abc import Iterator

import pytest

from tests.bentos.conftest import TinyRanker, TinyScorer, World
from tests.bentos.recommender.item_shop import shop


@pytest.fixture
def shown(world: World) -> Iterator[World]:
    """The tiny world with items of more columns and a document log; its doors are closed at the end."""
    words = shop()
    world.scorer, world.ranker, world.documents = TinyScorer(words), TinyRanker(words), world.log()
    world.opened = []  # type: ignore[attr-defined]
    yield world
    for door in world.opened:  # type: ignore[attr-defined]
        door.close()
