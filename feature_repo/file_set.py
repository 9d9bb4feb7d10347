"""What a folder of a release holds: the set of its files, each one's SHA-256, and the one digest that stands for both.

The digest is taken over the canonical JSON of {path: SHA-256 of the bytes}: names and bytes are framed, so that two
files never read as one, and nothing is left out, byte code and hidden files included. Links, devices and pipes are
refused: their bytes lie elsewhere and may change after they were looked at.

A digest says its form. `sha256:` and 64 hex digits is today's. Releases registered before it have 12 hex digits of the
names and bytes in a row (files.file_digest), which never looked at `__pycache__`: such a folder may hold none.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from feature_repo import files
from feature_repo.errors import DataError

FORM = "sha256:"
OLD_FORM = re.compile(r"[0-9a-f]{12}")
BYTE_CODE = "__pycache__"
BLOCK = 1 << 20


def listed(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by its path; refuse what is neither file nor folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DataError(f"{path}: is a link, a device or a pipe; a release holds files and folders alone")
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = _sha256(path)
    return found


def digest_of(found: Mapping[str, str]) -> str:
    """Return the digest of a set of files.

    >>> digest_of({"a": "0" * 64}) == digest_of({"b": "0" * 64})
    False
    """
    return FORM + hashlib.sha256(files.canonical(dict(found)).encode()).hexdigest()


def digest(folder: Path) -> str:
    """Return the digest of what a folder holds."""
    return digest_of(listed(folder))


def is_full(digest: str) -> bool:
    """Tell whether a digest names the whole SHA-256 of every file."""
    return digest.startswith(FORM)


def matches(folder: Path, expected: str) -> bool:
    """Tell whether a folder holds exactly what a digest stands for, in the form that the digest says."""
    found = listed(folder)
    if not found:
        return False
    if is_full(expected):
        return digest_of(found) == expected
    if OLD_FORM.fullmatch(expected) is None or any(BYTE_CODE in path.split("/") for path in found):
        return False
    return files.file_digest(folder) == expected


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            total.update(block)
    return total.hexdigest()
