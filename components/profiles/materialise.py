"""Bring the newest user rows into the online store, and declare the views in Feast's registry.

Feast keeps the files' place in its registry, so the feature files move to a folder of their own first.
"""

import contextlib
import datetime as dt
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from feature_repo import artifacts, services, store, views

MARK = "materialised.json"
FILES = tuple(f"{name}.parquet" for name in (*views.USER_VIEWS, *views.STATE_VIEWS))


def publish(profiles: Path, features: Path) -> str:
    """Copy the feature files to the folder that the registry names; returns their digest."""
    summary = artifacts.read_json(profiles / "profiles.json")
    found = artifacts.digest(summary)
    if (features / "profiles.json").is_file() and artifacts.read_json(features / "profiles.json") == summary:
        return found
    with artifacts.written_folder(features) as folder:
        for name in (*FILES, "profiles.json"):
            _link(profiles / name, folder / name)
    return found


def _link(source: Path, target: Path) -> None:
    """Link a file where the file system can, else copy it: feature files are never changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _read_while_written(online_store: Any) -> None:
    """Let a service read a SQLite store while it is written: the mode stays with the file."""
    if online_store.type == "sqlite":
        with contextlib.closing(sqlite3.connect(online_store.path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")


def run(project: str, features: Path, *, windows_days: tuple[int, ...], data_end: dt.datetime) -> dict[str, Any]:
    """Apply views and services and write the newest rows online; nothing is done twice for the same files."""
    digest = artifacts.digest(artifacts.read_json(features / "profiles.json"))
    mark = features / MARK
    if mark.is_file() and artifacts.read_json(mark)["digest"] == digest:
        return {"materialised": False, "digest": digest}
    feast = store.open_store(project)
    declared = views.build(features, windows_days=windows_days)
    feast.apply([*declared.all(), *services.build(declared)])
    _read_while_written(feast.config.online_store)
    # Only the rows of the last cutoff, which every known user has: older rows have nothing newer to say.
    feast.materialize(start_date=data_end - dt.timedelta(seconds=2), end_date=data_end + dt.timedelta(seconds=1))
    artifacts.write_json(mark, {"digest": digest})
    return {"materialised": True, "digest": digest}
