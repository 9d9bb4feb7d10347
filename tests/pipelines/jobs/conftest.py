"""Logged answers and events to compact, and a store that is killed in the middle."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from feature_repo.logs import request_log
from feature_repo.logs.object_store import Store, opened

NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
USERS = ("ana", "bo")


class Killed(BaseException):
    """What a kill -9 does to the process, as far as files can tell."""


def answer(number: int, *, day: str = "2026-03-08", user: str = "ana", **more: Any) -> dict[str, Any]:
    """Return a line as the door writes it."""
    at = dt.datetime.fromisoformat(f"{day}T08:00:00+00:00") + dt.timedelta(seconds=number)
    line = {"request_id": f"{day}-{number}", "logged_at": at.isoformat(), "endpoint": "recommend", "release": "r1"}
    line |= {"user_id": user, "now": 1_000 + number, "items": [{"item_id": "soup", "score": 0.5, "position": 1}]}
    return line | {"numbers": {"events_total": 2.0}, "lists": {"a": [1.0]}, "rung": "full", "asked": {"k": 1}} | more


def closed(folder: Path, name: str, lines: list[dict[str, Any]]) -> Path:
    """Write a closed file of the request log."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(request_log.table_of(lines), folder / name, compression="zstd", row_group_size=3)
    return folder / name


class Mortal(Store):
    """A store over one folder whose process dies around its n-th change: before it, or just after."""

    left: int
    after: bool

    def written(self, path: str) -> Any:
        """Write as a store does, dying on the way."""
        return _Writing(self, super().written(path))

    def delete(self, path: str) -> None:
        """Delete as a store does, dying around it."""
        self.spend(lambda: super(Mortal, self).delete(path))

    def spend(self, change: Any) -> Any:
        """Make a change, unless this is where the process dies."""
        if self.left == 0 and not self.after:
            raise Killed
        found = change()
        if self.left == 0:
            raise Killed
        object.__setattr__(self, "left", self.left - 1)
        return found


class _Writing:
    """Three changes: the file aside begins, holds everything, and has its name."""

    def __init__(self, store: Mortal, inner: Any) -> None:
        self.store, self.inner = store, inner

    def __enter__(self) -> Any:
        return self.store.spend(self.inner.__enter__)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if kind is not None:
            return self.inner.__exit__(kind, error, trace)
        self.store.spend(lambda: None)
        return self.store.spend(lambda: self.inner.__exit__(None, None, None))


def mortal(folder: Path, *, left: int, after: bool) -> Mortal:
    """Open a folder with so many changes to live."""
    found = opened(str(folder))
    store = Mortal(found.system, found.base)
    object.__setattr__(store, "left", left)
    object.__setattr__(store, "after", after)
    return store
