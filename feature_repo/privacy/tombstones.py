"""Tombstones: which people were forgotten and must not come back, by a keyed mark alone.

A tombstone is a file `<key's fingerprint>-<mark>.json` under the recommender's state folder; its name is all that
the door and ingest need, its text is the proof that `intentflow forget` wrote. Neither holds a raw id or a
pseudonym. Removing the data is done elsewhere (pipelines/privacy/forget.py). A pod gets the names of those that were
written elsewhere in a folder beside, which is only read.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from feature_repo import env_names, files
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import fingerprint, mark, pseudonym

FOLDER = "forgotten"  # under the recommender's state folder
ELSEWHERE = env_names.FORGOTTEN  # a second folder with names of tombstones, that others fill: a mounted ConfigMap
LOCK = ".lock"
SETTLED_S = 2.0  # a folder that changed less than so long ago may change again within one tick of its time


class Tombstones:
    """The tombstones of a state folder, for a process that knows the keys. Sees changes as they happen."""

    def __init__(self, home: Path, keys: tuple[str, ...], *, elsewhere: str = "") -> None:
        self.folder = home / FOLDER
        self._folders = (self.folder, *([Path(elsewhere)] if elsewhere else []))
        self._paths = [str(folder) for folder in self._folders]  # every answer looks at them
        self._keys = {fingerprint(key): key for key in keys}
        self._seen: tuple[int, ...] = ()  # the folders' times when they were read
        self._marks: dict[str, frozenset[str]] = {}  # by fingerprint of the key
        self._read()
        self._require_keys()

    def holds(self, raw: str) -> bool:
        """Tell whether a user, by raw id, was forgotten."""
        return self.mark_of(raw) is not None

    def hides(self, hidden: str) -> bool:
        """Tell whether a user, by pseudonym, was forgotten."""
        if self._changed():
            self._read()
        return any(mark(hidden, key) in self._marks.get(name, frozenset()) for name, key in self._keys.items())

    def mark_of(self, raw: str) -> str | None:
        """Return the mark under which a user was forgotten, if so."""
        if self._changed():
            self._read()
        for name, marks in self._marks.items():
            if name in self._keys:
                found = mark(pseudonym(raw, self._keys[name]), self._keys[name])
                if found in marks:
                    return found
        return None

    @property
    def any(self) -> bool:
        """Whether there are any."""
        if self._changed():
            self._read()
        return any(self._marks.values())

    @property
    def digest(self) -> str:
        """Name the set of all tombstones: another set asks for the data anew."""
        return files.digest(sorted(m for marks in self._marks.values() for m in marks)) if self.any else ""

    @contextlib.contextmanager
    def read_locked(self) -> Iterator[None]:
        """Keep new tombstones away while events are being stored: after `write`, nobody stores for the forgotten."""
        with _locked(self.folder, fcntl.LOCK_SH):
            yield

    def write(self, raw: str, document: Mapping[str, Any]) -> Path:
        """Write a person's tombstone, or replace its text; waits for events that are being stored."""
        key = next(iter(self._keys.values()))
        path = self.path(raw) or self.folder / f"{fingerprint(key)}-{mark(pseudonym(raw, key), key)}.json"
        with _locked(self.folder, fcntl.LOCK_EX):
            files.write_json(path, dict(document))
        self._read()
        return path

    def withdraw(self, raw: str) -> bool:
        """Take a person's tombstone away; tells whether there was one in the state folder."""
        path = self.path(raw)
        if path is not None:
            path.unlink(missing_ok=True)
            self._read()
        return path is not None

    def path(self, raw: str) -> Path | None:
        """Return a person's tombstone, if there is one in the state folder."""
        found = self.mark_of(raw)
        return next((self.folder / name for name in _names(self.folder) if name.endswith(f"-{found}.json")), None)

    def renew(self, raws: Iterable[str]) -> int:
        """Put the tombstones of people whose raw ids are at hand under the key in use; return how many moved."""
        moved, key = 0, next(iter(self._keys.values()))
        for raw in raws:
            path = self.path(raw) if self.any else None
            if path is not None and not path.name.startswith(fingerprint(key)):
                path.rename(self.folder / f"{fingerprint(key)}-{mark(pseudonym(raw, key), key)}.json")
                self._read()
                moved += 1
        return moved

    def under_other_keys(self) -> int:
        """Count the tombstones that are not under the key in use: it cannot be dropped while there are any."""
        current = next(iter(self._keys))
        return sum(len(marks) for name, marks in self._marks.items() if name != current)

    def _changed(self) -> bool:
        now = self._times()
        return now != self._seen or time.time_ns() - max(now) < SETTLED_S * 1e9

    def _times(self) -> tuple[int, ...]:
        return tuple(_time_of(folder) for folder in self._paths)

    def _read(self) -> None:
        self._seen = self._times()
        marks: dict[str, set[str]] = {}
        for name in (name for folder in self._folders for name in _names(folder)):
            key, _, found = name.removesuffix(".json").partition("-")
            marks.setdefault(key, set()).add(found)
        if set(marks) - set(self._keys):
            # A service that runs through a change of keys goes on with what it can tell until it is restarted.
            marks |= {key: set(known) for key, known in self._marks.items() if key not in marks}
        self._marks = {k: frozenset(v) for k, v in marks.items()}

    def _require_keys(self) -> None:
        """Refuse to start where a tombstone cannot be told: a forgotten person would come back unnoticed."""
        strange = sorted(set(self._marks) - set(self._keys))
        if strange:
            count = sum(len(self._marks[name]) for name in strange)
            where = next(f for f in self._folders if any(name.partition("-")[0] in strange for name in _names(f)))
            raise SpecError(
                f"{where}: {count} tombstones are under the key {', '.join(strange)}, which the environment does "
                "not give; name it as the previous key (pseudonyms.previous_key_file, docs/privacy.md)"
            )


def names_here(home: Path | str, elsewhere: str) -> frozenset[str]:
    """Return what the tombstones of this machine are called: of a state folder, and of the second folder.

    >>> names_here("", "")
    frozenset()
    """
    folders = [*([Path(home) / FOLDER] if home else []), *([Path(elsewhere)] if elsewhere else [])]
    return frozenset(name.removesuffix(".json") for folder in folders for name in _names(folder))


def read_all(home: Path) -> list[dict[str, Any]]:
    """Return the texts of all tombstones, for people to read; no key is needed."""
    folder = home / FOLDER
    return [dict(files.read_json(folder / name)) for name in _names(folder)]


def _time_of(folder: str) -> int:
    """Return when a folder changed, 0 where there is none."""
    try:
        found = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return found.st_mtime_ns if stat.S_ISDIR(found.st_mode) else 0


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*-*.json")) if folder.is_dir() else []


@contextlib.contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    if kind == fcntl.LOCK_SH and folder.is_dir() and not os.access(folder, os.W_OK):
        yield  # mounted read-only: whoever writes tombstones is elsewhere, and no lock reaches there
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        fcntl.flock(lock, kind)
        yield
