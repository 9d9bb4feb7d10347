"""An archive of a stranger writes nothing outside the folder that it is restored to, whatever Python's patch is."""

import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from feature_repo.errors import DataError, SpecError
from pipelines import backup

Change = Callable[[tarfile.TarFile], None]


def archive(path: Path, change: Change = lambda tar: None, *, home: str = "/old/shop") -> Path:
    """Write an archive as `save` does, and what a stranger adds."""
    with tarfile.open(path, "w:gz") as tar:
        member(tar, "backup.json", f'{{"home": "{home}", "not_in_archive": []}}')
        member(tar, "state", kind=tarfile.DIRTYPE)
        member(tar, "state/run.json", "{}")
        change(tar)
    return path


def member(
    tar: tarfile.TarFile, name: str, text: str = "", *, kind: bytes = tarfile.REGTYPE, to: str = "", mode: int = 0o666
) -> None:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode, found.size = kind, to, mode, len(text)
    tar.addfile(found, io.BytesIO(text.encode()))


def above(tar: tarfile.TarFile) -> None:
    member(tar, "state/../../outside", "theirs")


def absolute(tar: tarfile.TarFile) -> None:
    member(tar, "/tmp/intentflow-outside", "theirs")


def beside(tar: tarfile.TarFile) -> None:
    member(tar, "other/file", "theirs")


def through_a_link(tar: tarfile.TarFile) -> None:
    member(tar, "state/door", kind=tarfile.SYMTYPE, to="../..")
    member(tar, "state/door/outside", "theirs")


def through_a_long_path(tar: tarfile.TarFile) -> None:
    """CVE-2025-4517: a path longer than the system resolves, whose last link leads out again."""
    long = "d" * 247
    at = "state"
    for step in "abcdefghijklmnop":
        member(tar, f"{at}/{long}", kind=tarfile.DIRTYPE)
        member(tar, f"{at}/{step}", kind=tarfile.SYMTYPE, to=long)
        at = f"{at}/{long}"
    short = "state/" + "/".join("abcdefghijklmnop") + "/" + "l" * 254
    member(tar, short, kind=tarfile.SYMTYPE, to="../" * 16)
    member(tar, "state/escape", kind=tarfile.SYMTYPE, to=short + "/../../..")
    member(tar, "state/escape/outside", "theirs")


def linked_file(tar: tarfile.TarFile) -> None:
    member(tar, "state/passwords", kind=tarfile.LNKTYPE, to="../../outside")


def device(tar: tarfile.TarFile) -> None:
    member(tar, "state/null", kind=tarfile.CHRTYPE)


def pipe(tar: tarfile.TarFile) -> None:
    member(tar, "state/pipe", kind=tarfile.FIFOTYPE)


def twice(tar: tarfile.TarFile) -> None:
    member(tar, "state/run.json", "theirs")


@pytest.mark.parametrize(
    "change",
    [above, absolute, beside, through_a_link, through_a_long_path, linked_file, device, pipe, twice],
)
def test_an_archive_that_leads_outside_is_refused_and_leaves_nothing(tmp_path: Path, change: Change) -> None:
    outside = tmp_path / "outside"
    outside.write_text("ours")
    made = archive(tmp_path / "theirs.tar.gz", change)
    home = tmp_path / "state" / "shop"
    with pytest.raises(DataError) as said:
        backup.restore(made, home)
    assert "\n" not in str(said.value)
    assert outside.read_text() == "ours"
    assert not Path("/tmp/intentflow-outside").exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["outside", "state", "theirs.tar.gz"]


def test_what_is_restored_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = tmp_path / "state" / "shop"
        backup.restore(archive(tmp_path / "own.tar.gz"), home)
    finally:
        os.umask(before)
    assert (home / "run.json").read_text() == "{}"
    assert stat.S_IMODE((home / "run.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_two_names_of_one_file_are_saved_as_files_and_restored(tmp_path: Path) -> None:
    home = tmp_path / "shop"
    home.mkdir()
    (home / "one").write_text("bytes")
    os.link(home / "one", home / "two")
    backup.save(home, tmp_path / "own.tar.gz")
    with tarfile.open(tmp_path / "own.tar.gz") as tar:
        assert all(found.isreg() or found.isdir() for found in tar)
    backup.restore(tmp_path / "own.tar.gz", tmp_path / "again")
    assert (tmp_path / "again" / "two").read_text() == "bytes"


def test_an_archive_of_before_with_a_second_name_of_a_file_is_restored(tmp_path: Path) -> None:
    def change(tar: tarfile.TarFile) -> None:
        member(tar, "state/again.json", kind=tarfile.LNKTYPE, to="state/run.json")

    backup.restore(archive(tmp_path / "own.tar.gz", change), tmp_path / "shop")
    assert (tmp_path / "shop" / "again.json").read_text() == "{}"


def test_a_folder_that_lies_elsewhere_is_not_saved_as_if_it_were_empty(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "shop" / "mlflow").symlink_to(tmp_path / "disk", target_is_directory=True)
    with pytest.raises(SpecError, match="is a link to a folder"):
        backup.save(tmp_path / "shop", tmp_path / "own.tar.gz")
    assert not (tmp_path / "own.tar.gz").exists()
