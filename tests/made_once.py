"""Worlds that tests of several folders use, each made once a run, in whichever process asks first.

Making takes seconds, copying none: everyone gets a copy and may do with it as they like. The original is what the next
copy is taken of, so whoever changed it spoils the next copy, and is found out then.
"""

import fcntl
import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from feature_repo import files

FOLDER = "made-once"


def copied(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a copy of the world of this name, in a folder of the asker's own; `make` writes it where nobody has.

    A name stands for what made it: two worlds under one name would be one. What holds its own paths is not the same
    in another place; its module says how it is opened there, as `tests/bentos/toy.py` does.
    """
    original = once(shared(factory), name, make)
    return Path(shutil.copytree(original, factory.mktemp(name) / name, symlinks=True))


def once(shared: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Return the world's original; raises AssertionError where somebody changed it since it was made."""
    shared.mkdir(parents=True, exist_ok=True)
    folder, whole = shared / name, shared / f"{name}.digest"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other process waits; it ends with its holder
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # the half of one
            folder.mkdir()
            make(folder)
            gc.collect()  # closes what is left open: SQLite then moves its log into the file
            whole.write_text(files.file_digest(folder))
    assert files.file_digest(folder) == whole.read_text(), f"{folder}: a test changed what others are given"
    return folder


def shared(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of this run have."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / FOLDER
