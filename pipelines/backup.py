"""Save a recommender's state folder into one archive, and restore it elsewhere: `python -m pipelines.backup`.

    python -m pipelines.backup save SPEC grocery.tar.gz
    python -m pipelines.backup restore SPEC grocery.tar.gz

It holds the state folder and nothing else. What the environment keeps in servers is not in it: both verbs list that, by
address, with the commands that save and restore it, in their last lines and in the archive's own record
(backup_servers.py; on a cluster k8s/backup and k8s/restore). Exit code 0 says that the folder is in the archive, and
that the list was written. What can be made again from the rest stays out. MLflow and the last run's record hold
absolute paths: a restore puts the new folder in their place, so that a state folder may move.
"""

import argparse
import contextlib
import datetime as dt
import json
import lzma
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from feature_repo import files
from feature_repo.errors import DataError, Refused, ServerError, SpecError, UserError
from pipelines import backup_servers
from pipelines.backup_servers import Outside
from pipelines.environment import place
from pipelines.runs import local

ABOUT, STATE = "backup.json", "state"  # the members of an archive: its record, and the folder
# Made again: releases and Bentos from the registry, the rest by use.
REBUILT = frozenset(
    {"bentoml", "logs", "progress.jsonl", "releases", "rewards", "rollout", "run.lock", "serving", "up"}
)
TEXTS = frozenset({".json", ".yaml", ".yml", ""})  # MLmodel has no suffix
LARGEST_TEXT = 4 << 20
# What Python's readers of archives and JSON raise at bytes that are none, a link to itself or to a folder included.
BROKEN = (
    OSError, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, KeyError, OverflowError,
    RecursionError,
)  # fmt: skip


def save(home: Path, archive: Path, *, outside: Sequence[Outside] = ()) -> dict[str, Any]:
    """Write an archive of a state folder; databases are copied whole, also while they are in use.

    `outside` is what the environment keeps elsewhere: it is noted in the archive.
    """
    if not home.is_dir():
        raise SpecError(
            f"{home}: no state folder; nothing to save" + (f" here, but {_named(outside)}" if outside else "")
        )
    about: dict[str, Any] = {"home": str(home), "name": home.name}
    about |= {"at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}
    about |= {"in_archive": sorted({path.relative_to(home).parts[0] for path in _kept(home)})}
    about |= {"not_in_archive": list(outside)}
    with local.alone(home), tempfile.TemporaryDirectory(dir=archive.absolute().parent) as scratch:
        files.write_json(Path(scratch) / ABOUT, about)
        with files.written(archive) as aside, tarfile.open(aside, "w:gz", dereference=True) as tar:
            tar.add(Path(scratch) / ABOUT, ABOUT)
            for path in _kept(home):
                tar.add(_whole(path, Path(scratch)), f"{STATE}/{path.relative_to(home)}", recursive=False)
    return about | {"archive": str(archive), "bytes": archive.stat().st_size}


def restore(archive: Path, home: Path) -> dict[str, Any]:
    """Put an archive's state into a folder that is not there yet, with its own paths in the place of the old ones."""
    if home.exists() and any(home.iterdir()):
        raise SpecError(f"{home}: is there already; move it away first, a restore never writes over a state folder")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".restore-") as scratch:
        about = _unpacked(archive, Path(scratch))
        state = Path(scratch) / STATE
        try:
            moved = _moved(state, about["home"], str(home))
        except (sqlite3.Error, UnicodeError) as error:  # a table may have a name that is no text
            raise DataError(f"{archive}: holds a database that cannot be read: {error}") from error
        if home.exists():
            home.rmdir()
        state.rename(home)
    return about | {"restored": str(home), "paths_changed": moved}


def _named(outside: Sequence[Outside]) -> str:
    """Name what is elsewhere in a line."""
    return "; ".join(f"{one['what']} is at {one['where']}: {one['save']}" for one in outside)


def _kept(home: Path) -> Iterator[Path]:
    """Yield what an archive holds, folders before their files."""
    for path in sorted(home.rglob("*")):
        parts = path.relative_to(home).parts
        if parts[0] in REBUILT or ".kfp_cache" in parts or path.name.endswith(("-wal", "-shm")):
            continue
        if path.is_symlink() and path.is_dir():
            raise SpecError(f"{path}: is a link to a folder; an archive holds what lies in {home}: move it there first")
        yield path


def _whole(path: Path, scratch: Path) -> Path:
    """Return a file as it may be copied: a database as of one moment."""
    if path.suffix != ".db" or not path.is_file() or not _is_database(path):
        return path
    copy = scratch / "copy.db"
    copy.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    shutil.copymode(path, copy)
    return copy


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


def _unpacked(archive: Path, folder: Path) -> dict[str, Any]:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _write(tar, member, folder, archive)
        about = files.read_json(folder / ABOUT)
        if not (isinstance(about, dict) and isinstance(home := about.get("home"), str) and home[:1] == "/" != home):
            raise ValueError(f"its {ABOUT} names no folder that it was saved from")
        if not (folder / STATE).is_dir():
            raise ValueError(f"it holds no {STATE}/")
    except BROKEN as error:
        said = " ".join(str(error).split())
        raise DataError(f"{archive}: is no whole archive of `pipelines.backup save`: {said}") from error
    return about


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, archive: Path) -> None:
    """Write one member of an archive below a folder that was empty, readable by its owner only.

    An archive may come from anywhere, and what Python's own filters let through has led outside (CVE-2025-4517). So
    nothing is extracted: a folder is made, and a file's bytes are read from the archive, a second name of one included.
    """
    parts = PurePosixPath(member.name).parts
    inside = member.name == ABOUT or parts[:1] == (STATE,)
    if not inside or ".." in parts or "\0" in member.name:
        raise DataError(f"{archive}: holds '{member.name}'; an archive holds {ABOUT} and files below {STATE}/ alone")
    if not (member.isdir() or member.isreg() or member.islnk()):
        raise DataError(f"{archive}: '{member.name}' is a link, a device or a pipe; an archive holds files and folders")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        path.mkdir(mode=0o700, exist_ok=True)
        return
    source = tar.extractfile(member)
    if source is None:
        raise DataError(f"{archive}: '{member.name}' is a second name of what is no file; an archive holds files alone")
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 | member.mode & 0o100), "wb") as target:
        shutil.copyfileobj(source, target)
    os.utime(path, (member.mtime, member.mtime))


def _moved(state: Path, old: str, new: str) -> int:
    """Put the new folder in the place of the old one, in MLflow's database and in small texts; count the places."""
    if old == new:
        return 0
    count = 0
    for path in sorted(state.rglob("*")):
        if path.suffix == ".db" and path.is_file():
            count += _moved_rows(path, old, new)
        elif path.is_file() and path.suffix in TEXTS and path.stat().st_size <= LARGEST_TEXT:
            count += _moved_text(path, old, new)
    return count


def _moved_text(path: Path, old: str, new: str) -> int:
    found = path.read_bytes()
    if old.encode() not in found or b"\0" in found:
        return 0
    path.write_bytes(found.replace(old.encode(), new.encode()))
    return found.count(old.encode())


def _moved_rows(path: Path, old: str, new: str) -> int:
    """Change text columns of a database; other files with that suffix are left alone."""
    if not _is_database(path):
        return 0
    count = 0
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for table in [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]:
            for _, name, kind, *_ in database.execute(f"PRAGMA table_info({_quoted(table)})").fetchall():
                if not kind.upper().startswith(("VARCHAR", "TEXT", "CHAR")):
                    continue
                column = _quoted(name)
                change = f"UPDATE {_quoted(table)} SET {column} = replace({column}, ?, ?) WHERE instr({column}, ?) > 0"
                count += database.execute(change, (old, new, old)).rowcount
    return count


def _quoted(name: str) -> str:
    """Quote a name of SQL: an archive's database may call a table as it likes."""
    return '"' + name.replace('"', '""') + '"'


def text(found: Mapping[str, Any], verb: str) -> str:
    """Return what was done as a person reads it: last, what the archive does not hold."""
    lists = ("in_archive", "not_in_archive")
    said = [f"{key}: {value}" for key, value in found.items() if key not in lists]
    inside = f"in this archive, of {found['home']}: {', '.join(found.get('in_archive', ())) or 'its files'}"
    return "\n".join([*said, inside, *backup_servers.lines(found["not_in_archive"], verb)])


def main(arguments: list[str] | None = None) -> None:
    """Run the command; a user's mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("save", "restore"))
    parser.add_argument("spec", type=Path)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--env", default="local")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    asked = parser.parse_args(arguments)
    files.private_from_now()
    try:
        there = place(asked.spec, asked.env)
        elsewhere = backup_servers.outside(there.environment, there.home)
        if asked.verb == "save":
            found = save(there.home, asked.archive, outside=elsewhere)
        else:
            found = restore(asked.archive, there.home)
            found.setdefault("not_in_archive", elsewhere)  # an archive of before has no such list
    except (UserError, Refused, ServerError) as error:
        print(f"intentflow: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(json.dumps(found, indent=2) if asked.json else text(found, asked.verb))


if __name__ == "__main__":
    main()
