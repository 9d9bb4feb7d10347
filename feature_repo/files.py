"""Files that are either whole or absent: write aside, then rename. Also digests of files and objects."""

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def private_from_now() -> None:
    """Make what this process and its children write from now on readable by their user alone: umask 077.

    A state folder holds keys, profiles and logs of people, and the libraries that write them ask for no mode.
    """
    os.umask(0o077)


def keep_private(folder: Path) -> None:
    """Shut a folder that is there to other users; a folder of another owner stays as its owner has it."""
    if folder.is_dir() and (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
        with contextlib.suppress(PermissionError):
            folder.chmod(mode & 0o700)


def aside_of(path: Path, process: int) -> Path:
    """Return where a process writes a file before it takes its name: what is left there if it is killed."""
    return path.with_name(f".{path.name}.{process}.part")


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a sibling path to write a file to; it takes the name of `path` only on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path, os.getpid())
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def written_folder(path: Path) -> Iterator[Path]:
    """Yield a sibling folder to fill; it takes the place of `path` only on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        if path.is_dir() and not path.is_symlink():
            os.replace(path, old)
        else:
            path.unlink(missing_ok=True)
        os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def copied(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy those of the files that a folder has into another one."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    with written(path) as aside:
        aside.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document."""
    return json.loads(path.read_text())


def canonical(value: Any) -> str:
    """Return the one JSON text that equal values share.

    >>> canonical({"b": 1, "a": [1.5]})
    '{"a":[1.5],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the first 12 hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:12]


def file_digest(*paths: Path) -> str:
    """Return the first 12 hex digits of the sha256 of files' names and bytes, folders walked in order."""
    total = hashlib.sha256()
    for root in paths:
        files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
        for file in files:
            if "__pycache__" in file.parts:
                continue
            total.update(str(file.relative_to(root)).encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    total.update(block)
    return total.hexdigest()[:12]
