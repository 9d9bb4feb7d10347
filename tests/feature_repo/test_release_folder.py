"""The one reader of release.json: today's format, the one before, and what it refuses in one line."""

from pathlib import Path
from typing import Any

import pytest

from feature_repo import files, release_folder
from feature_repo.calendar import Calendar
from feature_repo.checkout import ROOT
from feature_repo.errors import DataError
from feature_repo.release_folder import ReleaseFolder
from tests import source_texts

PACKAGES = ("pipelines", "components", "feature_repo", "bentos", "monitoring", "benchmarks")
HOME = "feature_repo/release_folder.py"

# Written by hand as the registry wrote it before there was a format: no `format`, no segments, no content.
FORMAT_1: dict[str, Any] = {
    "id": "ed0a4bb8ed23",
    "name": "shop",
    "intent": {"version": "1", "digest": "a"},
    "ranking": {"version": "2", "digest": "b"},
    "policy": "greedy@1",
    "prompt": "template@1",
    "vocabulary": "0123456789ab",
    "serving": {
        "name": "shop",
        "calendar": {"first_day": "2016-12-26", "timezone": "America/New_York"},
        "data_end": "2017-01-01T00:00:00+00:00",
        "profiles": {"ttl_days": 30},
        "ranking": {},
        "serving": {"k": 3},
    },
}


def rest(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "id"}


def read(folder: Path, document: dict[str, Any]) -> ReleaseFolder:
    files.write_json(folder / "release.json", document)
    return ReleaseFolder.read(folder)


def test_a_release_of_before_there_was_a_format_is_read_and_keeps_its_id(tmp_path: Path) -> None:
    found = read(tmp_path, FORMAT_1)
    assert (found.id, found.format, found.name) == ("ed0a4bb8ed23", 1, "shop")
    assert (found.vocabulary, found.segments, found.policy, found.key) == ("0123456789ab", "", "greedy@1", "")
    assert found.calendar == Calendar("2016-12-26", "America/New_York")
    assert found.data_end == 1483228801  # the second after the last event
    assert (found.intent, found.ranking) == (tmp_path / "intent", tmp_path / "ranking")
    assert found.slices["serving"] == {"k": 3}


def test_a_new_release_says_its_format_and_the_id_covers_it(tmp_path: Path) -> None:
    slices = FORMAT_1["serving"] | {"key": "k1"}
    document = release_folder.identified(rest(FORMAT_1) | {"segments": "segs", "serving": slices})
    assert document["format"] == 2
    assert document["id"] == files.digest(rest(document)) != FORMAT_1["id"]
    found = read(tmp_path, document)
    assert (found.format, found.segments, found.key) == (2, "segs", "k1")


@pytest.mark.parametrize("number", [99, 3, 0, -1, "2", None, True, 1.5])
def test_a_format_that_is_not_read_is_one_line_that_says_what_rewrites_it(tmp_path: Path, number: object) -> None:
    document = rest(FORMAT_1) | {"format": number}
    with pytest.raises(DataError) as refusal:
        read(tmp_path, {"id": files.digest(document), **document})
    said = str(refusal.value)
    assert f"{tmp_path}/release.json: release format {number!r}; this version reads 1 and 2" in said
    assert "`intentflow run` with this version registers the release anew in format 2" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"name": 7}, "its 'name' is no text"), ({"intent": "x"}, "its 'intent' is no object"),
     ({"serving": []}, "its 'serving' is no object")],
)  # fmt: skip
def test_a_document_of_another_shape_is_one_line(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    """Its id is right, so whoever wrote it did so on purpose, or with a tool of their own."""
    files.write_json(tmp_path / "release.json", release_folder.identified(rest(FORMAT_1) | wrong))
    with pytest.raises(DataError, match=said) as error:
        ReleaseFolder.read(tmp_path)
    assert "\n" not in str(error.value)


def test_half_a_character_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_text('{"id": "1", "name": "\\ud800"}')
    with pytest.raises(DataError, match="is no Unicode"):
        ReleaseFolder.read(tmp_path)


def test_a_number_that_no_number_holds_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_text('{"id": "1", "name": "shop", "k": 1e4003}')
    with pytest.raises(DataError, match="a number that is too large"):
        ReleaseFolder.read(tmp_path)


def test_a_part_without_a_digest_is_one_line(tmp_path: Path) -> None:
    files.write_json(tmp_path / "release.json", release_folder.identified(rest(FORMAT_1) | {"intent": {}}))
    with pytest.raises(DataError, match="holds no digest of 'intent'"):
        ReleaseFolder.verified(tmp_path)


@pytest.mark.parametrize("document", [FORMAT_1, release_folder.identified(rest(FORMAT_1))])
def test_a_release_that_was_edited_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"id '{document['id']}' is not the digest of the rest"):
        read(tmp_path, document | {"policy": "another@1"})


@pytest.mark.parametrize(("text", "said"), [("{", "line 1 is no JSON"), ("[]", "no JSON object")])
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "release.json").write_text(text)
    with pytest.raises(DataError, match=said):
        ReleaseFolder.read(tmp_path)


def test_a_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    assert not release_folder.holds(tmp_path)
    with pytest.raises(DataError, match=r"release\.json: no such file; a release folder holds"):
        ReleaseFolder.read(tmp_path)


def other_readers(root: Path) -> list[str]:
    """Name every place outside the reader that types the file's name as a path."""
    found = []
    for path in sorted(file for package in PACKAGES for file in (root / package).rglob("*.py")):
        place = path.relative_to(root).as_posix()
        for line, text in source_texts.of(path):
            if place != HOME and text.rpartition("/")[2] == release_folder.FILE:
                found.append(f"{place}:{line}")
    return found


def test_nobody_else_types_the_name_of_the_file() -> None:
    assert other_readers(ROOT) == []


@pytest.mark.parametrize("line", ['folder / "release.json"', 'home.glob("*/models/release.json")'])
def test_a_name_that_is_typed_again_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "bentos").mkdir()
    (tmp_path / "bentos" / "planted.py").write_text(line + "\n")
    assert len(other_readers(tmp_path)) == 1
