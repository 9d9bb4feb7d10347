"""Reading a release folder."""

from typing import Any

import pytest

from bentos.release import Release
from feature_repo import files
from feature_repo.errors import DataError


def test_a_release_brings_the_specs_slices(world: Any) -> None:
    release = world.release(k=7, timeout_s=1.5, max_concurrency=9)
    assert (release.name, release.serving.k, release.serving.timeout_s, release.serving.max_concurrency) == (
        "tiny",
        7,
        1.5,
        9,
    )
    assert (release.ttl_s, release.candidates) == (120 * 86400, 370)


def test_a_release_that_was_edited_is_refused(world: Any) -> None:
    path = world.release().folder / "release.json"
    files.write_json(path, files.read_json(path) | {"policy": "another@1"})
    with pytest.raises(DataError, match="is not the digest of the rest"):
        Release.load(path.parent)


def test_a_folder_without_a_release_is_refused(tmp_path: Any) -> None:
    with pytest.raises(DataError, match=r"release\.json: no such file"):
        Release.load(tmp_path)
