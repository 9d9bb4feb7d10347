"""Copies of folders of this checkout, for tests that change sources."""

import contextlib
import shutil
from pathlib import Path


def copy_tree(source: Path, destination: Path) -> None:
    """Copy a package with its byte code: only what a test edits is compiled anew, not hundreds of modules.

    Byte code names the size and the second of its source, which the copy keeps.
    """
    shutil.copytree(source, destination, copy_function=_copied)


def _copied(source: str, destination: str) -> None:
    with contextlib.suppress(
        FileNotFoundError
    ):  # byte code that another process is writing has its name a moment later
        shutil.copy2(source, destination)
