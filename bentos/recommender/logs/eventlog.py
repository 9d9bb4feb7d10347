"""The event log: every event that the door took, on disk before the answer, and which of them are in a profile.

There are two kinds of lines: an event with its key, and `{"folded": [keys]}` once those events are in their users'
profiles. An event is accepted when it is folded, by whichever of the processes that share the folder: what others
append is read before a duplicate is looked for. One that was logged but not folded (the store was down, the process
was killed) was never confirmed; it is folded as it was logged when its sender repeats it. Readers drop repeated keys:
another door may have logged the event too.
"""

import contextlib
import dataclasses
import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from bentos.recommender.logs import json_lines
from feature_repo import columns, files, update
from feature_repo.calendar import Calendar

FOLDER = columns.EVENTS_FOLDER
KEY = "key"
FOLDED = "folded"
UNDER = columns.HASHED_UNDER
REMEMBERED = 200_000  # latest keys, by which duplicates are found
GROWING = 8  # latest files that another process may still append to
log = logging.getLogger("intentflow.door")
Event = dict[str, Any]


class EventLog:
    """Appends events durably and recognises duplicates, across restarts too."""

    def __init__(
        self,
        folder: Path,
        *,
        remember: int = REMEMBERED,
        max_age_s: float | None = None,  # of a file, where closed files are shipped
        on_failure: Callable[[int], object] = lambda events: None,  # with how many events could not be stored
    ) -> None:
        self._lines = json_lines.Lines(folder, max_age_s=max_age_s)
        self._remember, self._on_failure = remember, on_failure
        self._folded: dict[str, None] = {}  # in order of arrival
        self._waiting: dict[str, Event] = {}  # logged and not folded
        self.latest: int | None = None  # timestamp, epoch seconds, of the latest folded event that is remembered
        self.lock = threading.Lock()  # held from `unseen` to `folded`
        self._read: dict[str, tuple[int, int]] = {}  # of a file: which it was, and how far its lines were read
        self._read |= {path.name: (found.st_ino, found.st_size) for path, found in self._grown()}
        self._recover(folder)

    @property
    def folder(self) -> Path:
        """Return where its files are."""
        return self._lines.folder

    def leave_old(self) -> None:
        """Close a file that is old enough to be shipped."""
        self._lines.leave_old()

    @property
    def size_bytes(self) -> int:
        """Return the size of its files."""
        return sum(path.stat().st_size for path in json_lines.files(self._lines.folder))

    @property
    def unfolded(self) -> int:
        """Return how many events were logged and are in no profile, as far as is remembered. Never with `lock` held."""
        with self.lock:
            self._follow()
            return len(self._waiting)

    def unseen(self, events: Sequence[Event]) -> list[Event]:
        """Return the events that were not accepted before, each key once; one that was logged as it was then."""
        self._follow()
        first: dict[str, Event] = {}
        for event in events:
            if event[KEY] not in self._folded:
                logged = self._waiting.get(event[KEY])
                again = event if logged is None else logged | {columns.CREATED_AT: event[columns.CREATED_AT]}
                first.setdefault(event[KEY], again)
        return list(first.values())

    def append(self, events: Sequence[Event]) -> None:
        """Write events that are not in the log; they are on disk when this returns."""
        new = [event for event in events if event[KEY] not in self._waiting]
        if new:
            try:
                self._lines.append(*(to_json(event) for event in new))
            except OSError as error:
                log.error("%d events could not be stored in %s: %s", len(new), self.folder, error)
                self._on_failure(len(new))
                raise
            self._waiting.update((event[KEY], event) for event in new)
        self._trim()

    def folded(self, keys: Sequence[str]) -> None:
        """Note that events are in their users' profiles.

        Nobody waits for the disk: a note that a power cut takes leaves events that were logged and are in profiles, and
        who sends them again finds them there by their keys.
        """
        self._lines.append(to_json({FOLDED: keys}), sync=False)
        self._folded.update(dict.fromkeys(keys))
        for key in keys:
            self._waiting.pop(key, None)
        self._trim()

    def close(self) -> None:
        """Sync and close."""
        self._lines.close()

    def _trim(self) -> None:
        """Forget the oldest of what is remembered."""
        for kept in (self._waiting, self._folded):
            while len(kept) > self._remember:
                del kept[next(iter(kept))]

    def _grown(self) -> list[tuple[Path, os.stat_result]]:
        """Return the files that were not read to their end, oldest first, and how they are."""
        found = [path for path in json_lines.files(self.folder) if path.suffix == json_lines.SUFFIX]
        grown = []
        for path in [one for one in found[:-GROWING] if one.name not in self._read] + found[-GROWING:]:
            with contextlib.suppress(FileNotFoundError):  # shipped or archived meanwhile
                state = path.stat()
                if self._read.get(path.name) != (state.st_ino, state.st_size):
                    grown.append((path, state))
        return grown

    def _follow(self) -> None:
        """Read what was appended since the last look, by this process or by others."""
        for path, state in self._grown():
            node, end = self._read.get(path.name, (state.st_ino, 0))
            begin = end if node == state.st_ino and end <= state.st_size else 0  # else it was written anew
            with contextlib.suppress(FileNotFoundError):
                lines, end = json_lines.read_from(path, begin)
                self._read[path.name] = (state.st_ino, end)
                for line in lines:
                    self._note(line)
        self._trim()

    def _note(self, line: Event) -> None:
        """Remember what a line says."""
        for key in _folded(line):
            self._folded.pop(key, None)
            self._folded[key] = None  # the latest, also where it was known: lines of this process come by here too
            self._waiting.pop(key, None)
        if _whole(line) and line[KEY] not in self._folded:
            self._waiting.setdefault(line[KEY], line)

    def _recover(self, folder: Path) -> None:
        """Read back the latest keys, newest file first, and the time that events had moved the clock to."""
        for path in reversed(json_lines.files(folder)):
            found = list(json_lines.read(path))
            keys = [key for line in found for key in _folded(line)]
            known = dict.fromkeys(keys)
            found = [line for line in found if _whole(line)]
            times = [line[columns.TIMESTAMP] for line in found if line[KEY] in known]
            self.latest = max(times + ([self.latest] if self.latest is not None else []), default=None)
            self._folded = known | self._folded
            logged = {line[KEY]: line for line in reversed(found)}  # the first line of each
            self._waiting |= {key: line for key, line in logged.items() if key not in self._folded}
            if len(self._folded) >= self._remember:
                return


def _folded(line: Mapping[str, Any]) -> list[str]:
    """Return the keys that a line says are folded; none of a line that is no such one."""
    keys = line.get(FOLDED)
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []


def _whole(line: Mapping[str, Any]) -> bool:
    """Tell whether a line is an event with its key and time: a disk's or a person's damage must not stop a door."""
    return isinstance(line.get(KEY), str) and type(line.get(columns.TIMESTAMP)) is int


def pushed(event: Mapping[str, Any], calendar: Calendar) -> update.Event:
    """Return a logged event as it is pushed to profiles."""
    read = update.event_of(event, calendar)
    return dataclasses.replace(read, known_at=int(event[columns.CREATED_AT]), key=event[KEY])


def key_of(event: Event, event_id: str | None, *, timed: bool) -> str:
    """Return what makes two deliveries the same event: its id, else who did what when.

    An event without an id and without a time of its own has no such thing: each delivery is a new event.
    """
    if event_id is not None:
        return f"id:{event_id}"
    if not timed:
        return secrets.token_hex(16)
    what = [
        event[name] for name in (columns.USER_ID, columns.ITEM_ID, columns.EVENT, columns.TIMESTAMP, columns.SESSION_ID)
    ]
    return hashlib.sha256(files.canonical(what).encode()).hexdigest()[:32]
