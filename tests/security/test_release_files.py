"""A release is its set of files and each one's bytes: what is added, moved, merged or linked is refused."""

import shutil
from pathlib import Path

import pytest

from bentos.release import Release
from feature_repo import file_set, files, release_folder
from feature_repo.errors import DataError, ServerError
from feature_repo.release_folder import ReleaseFolder
from tests.registry.conftest import Shared

WITHOUT_SERVER = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
SERVING = {
    "calendar": {"first_day": "2016-12-26", "timezone": "America/New_York"},
    "data_end": "2017-01-01T00:00:00+00:00",
    "profiles": {"ttl_days": 30},
    "ranking": {},
    "serving": {"k": 3},
}


def release(folder: Path, *, full: bool = True) -> Path:
    """Write a release of two small parts, with digests of today's form or the one before."""
    for part in ("intent", "ranking"):
        (folder / part / "vocabulary").mkdir(parents=True)
        (folder / part / "config.json").write_text('{"width": 8}')
        (folder / part / "vocabulary" / "items.txt").write_text("bread\n")
    digest = file_set.digest if full else files.file_digest
    parts = {part: {"version": "1", "digest": digest(folder / part)} for part in ("intent", "ranking")}
    rest = {
        "name": "shop",
        **parts,
        "policy": "greedy@1",
        "prompt": "template@1",
        "vocabulary": "w",
        "serving": SERVING,
    }
    files.write_json(folder / "release.json", release_folder.identified(rest))
    return folder


def merged(part: Path) -> None:
    """Write one file whose name and bytes run on as those of the two did."""
    items = part / "vocabulary" / "items.txt"
    (part / "config.json").write_bytes(b'{"width": 8}' + b"vocabulary/items.txt" + items.read_bytes())
    shutil.rmtree(part / "vocabulary")


def byte_code(part: Path) -> None:
    (part / "__pycache__").mkdir()
    (part / "__pycache__" / "score.cpython-311.pyc").write_bytes(b"code of a stranger")


def hidden(part: Path) -> None:
    (part / ".config.json.swp").write_bytes(b"")


def changed(part: Path) -> None:
    (part / "config.json").write_text('{"width": 9}')


def renamed(part: Path) -> None:
    (part / "config.json").rename(part / "Config.json")


def linked(part: Path) -> None:
    """Leave the bytes and have them lie elsewhere, where they may be changed after the check."""
    outside = Path(shutil.move(part / "config.json", part.parent / "elsewhere.json"))
    (part / "config.json").symlink_to(outside)


def linked_folder(part: Path) -> None:
    outside = Path(shutil.move(part / "vocabulary", part.parent / "elsewhere"))
    (part / "vocabulary").symlink_to(outside, target_is_directory=True)


def gone(part: Path) -> None:
    shutil.rmtree(part)


HARMS = (merged, byte_code, hidden, changed, renamed, linked, linked_folder, gone)


@pytest.mark.parametrize("harm", HARMS)
def test_a_release_with_other_files_than_the_registered_ones_is_not_loaded(tmp_path: Path, harm) -> None:
    folder = release(tmp_path)
    assert Release.verified(folder).name == "shop"
    harm(folder / "intent")
    with pytest.raises(DataError) as said:
        Release.verified(folder)
    assert str(folder / "intent") in str(said.value)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("harm", [h for h in HARMS if h is not merged])
def test_a_release_of_before_is_read_by_its_own_digest(tmp_path: Path, harm) -> None:
    folder = release(tmp_path, full=False)
    assert ReleaseFolder.verified(folder).name == "shop"
    harm(folder / "ranking")
    with pytest.raises(DataError):
        ReleaseFolder.verified(folder)


@pytest.mark.parametrize("digest", ["", "a", "sha256:", "md5:d41d8cd98f00", "0" * 64, "sha256:" + "0" * 64])
def test_a_digest_of_another_form_stands_for_nothing(tmp_path: Path, digest: str) -> None:
    assert not file_set.matches(release(tmp_path) / "intent", digest)


def test_an_empty_part_is_no_part_even_where_the_digest_says_so(tmp_path: Path) -> None:
    (tmp_path / "intent").mkdir()
    assert not file_set.matches(tmp_path / "intent", file_set.digest_of({}))


@WITHOUT_SERVER
@pytest.mark.parametrize("harm", [merged, byte_code, hidden])
def test_the_registry_cannot_hand_out_more_than_was_registered(shared: Shared, tmp_path: Path, harm) -> None:
    """The review's own attack: a `.pyc` that is added, and two files that become one."""
    from components.registry.release import assemble

    made = shared.release()
    model = shared.folder_of("intent") / "artifacts" / "model"
    safe = Path(shutil.copytree(model, tmp_path / "safe"))
    try:
        if harm is merged:
            names = sorted(path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file())
            first, second = (model / names[0], model / names[1])
            first.write_bytes(first.read_bytes() + names[1].encode() + second.read_bytes())
            second.unlink()
        else:
            harm(model)
        with pytest.raises((ServerError, DataError), match="intent"):
            assemble("shared", made.version, tmp_path / "release")
        assert not (tmp_path / "release").exists()
    finally:
        shutil.rmtree(model)
        shutil.move(safe, model)
