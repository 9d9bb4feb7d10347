"""Similar items and values from a ranker behind its service are those of a ranker in the door's own process."""

import json
import shutil
from typing import Any

import numpy as np
import pytest

from bentos import wire
from bentos.ranking import service
from bentos.release import Release
from bentos.remote import RemoteRanker
from components.ranking.score import Ranker
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

pytestmark = pytest.mark.world


class Here:
    """The service's calls without a socket: bodies are packed and unpacked as on the wire."""

    def __init__(self, calls: Any) -> None:
        self.calls = calls

    def ask(self, path: str, arrays: Any, fields: Any) -> Any:
        return wire.unpacked(self.calls[path](*wire.unpacked(wire.packed(arrays, fields))))


@pytest.fixture(scope="module")
def both(trained_toy: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ranker, RemoteRanker]:
    folder = tmp_path_factory.mktemp("apart") / "release"
    shutil.copytree(trained_toy.release, folder)
    config = json.loads((folder / "ranking" / "config.json").read_text())
    (folder / "ranking" / "config.json").write_text(json.dumps(config | {"recommend": {"category": 0.5}}))
    _, calls = service.load(Release.load(folder))
    near = Ranker.served(folder / "ranking")
    return near, RemoteRanker(Here(calls), near.vocabulary)  # type: ignore[arg-type]


def test_similar_items_are_the_same(both: tuple[Ranker, RemoteRanker]) -> None:
    near, far = both
    for by in (None, "attributes", "als"):
        mine, theirs = (one.similar(3, k=5, exclude=frozenset({1}), by=by) for one in both)
        assert [(o.item_index, o.score, o.source, o.reasons) for o in mine.items] == [
            (o.item_index, o.score, o.source, o.reasons) for o in theirs.items
        ]
        assert mine.bases == theirs.bases
    assert near.similar(3, k=5).items
    with pytest.raises(DataError, match="body: item is"):
        far.similar("3", k=5, exclude=frozenset(), by=None)  # type: ignore[arg-type]


def test_values_are_the_same(both: tuple[Ranker, RemoteRanker]) -> None:
    rows = UserRows.unknown(["u"], now=1_700_000_000)
    chances = np.full(len(both[0].vocabulary.targets), 0.5)
    mine, theirs = (one.values(rows, chances, attribute="category", k=4, exclude=frozenset()) for one in both)
    assert [(o.value, o.score, o.source, tuple(o.items), o.reasons) for o in mine] == [
        (o.value, o.score, o.source, tuple(o.items), o.reasons) for o in theirs
    ]
    assert mine
