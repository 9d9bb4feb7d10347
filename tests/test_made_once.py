"""What is made once is whole for everyone, whatever others do to their copies or when they die."""

from pathlib import Path

import pytest

from tests import made_once
from tests.made_once import once


def test_it_is_made_by_whoever_comes_first_and_once(tmp_path: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "weights").write_text("1")

    assert once(tmp_path, "world", make) == once(tmp_path, "world", make) == tmp_path / "world"
    once(tmp_path, "other", make)
    assert made == [tmp_path / "world", tmp_path / "other"]


def test_a_copy_may_be_changed_and_the_next_is_as_it_was_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    def make(folder: Path) -> None:
        (folder / "weights").write_text("1")

    first = made_once.copied(tmp_path_factory, "copied-and-changed", make)
    (first / "weights").write_text("2")
    second = made_once.copied(tmp_path_factory, "copied-and-changed", make)
    assert (second / "weights").read_text() == "1"


def test_who_changes_the_original_is_found_out(tmp_path: Path) -> None:
    folder = once(tmp_path, "world", lambda folder: (folder / "weights").write_text("1"))
    (folder / "more").touch()
    with pytest.raises(AssertionError, match="a test changed what others are given"):
        once(tmp_path, "world", lambda folder: None)


def test_what_a_process_that_died_left_is_made_anew(tmp_path: Path) -> None:
    def dies(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        once(tmp_path, "world", dies)
    folder = once(tmp_path, "world", lambda folder: (folder / "weights").write_text("1"))
    assert [path.name for path in folder.iterdir()] == ["weights"]
