"""Feast's view of the feature tables: entities, sources, feature views. Column names come from `columns`.

Lists sit in files of their own: they slow every view over the file that holds them. Feast's own ttl stays 0,
since it is enforced offline only, and would hide rows: a row's age is judged from its own `state_at`, by whoever
answers from it (docs/decisions/time.md).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo import columns, fallback, files, plain_feast

ROW_VIEWS = ("user_profile", "user_targets", "user_history", "user_daily")  # a user's row, from files
# What the online store keeps beside a row: the events that were pushed, and what the row was made of.
PUSHED, MADE_OF = "user_pushed", "user_made_of"
BLOB, BLOB_OF = "blob", "blob_of"  # of MADE_OF: the row as one cell (feature_repo/online/row_blob.py), and its head
RECEIVED = "user_received"  # of a user's row, where items are people
USER_VIEWS = (*ROW_VIEWS, RECEIVED, PUSHED, MADE_OF)
STATE_VIEWS = ("item_state", "target_state")
MEMORIES = "user_memory"  # event memories of the training cutoffs, from a file that a spec may ask for; never online


def row_views(*, people: bool) -> tuple[str, ...]:
    """Name the views of a user's row; where items are people there is one more.

    >>> row_views(people=True)[-1]
    'user_received'
    """
    return (*ROW_VIEWS, RECEIVED) if people else ROW_VIEWS


@dataclass(frozen=True)
class Views:
    """The entities and views over one folder of feature files."""

    user: Any
    item: Any
    target: Any
    user_profile: Any
    user_targets: Any
    user_history: Any
    user_daily: Any
    user_pushed: Any
    user_made_of: Any
    item_state: Any
    target_state: Any
    user_received: Any = None  # only where items are people

    def of_users(self) -> dict[str, Any]:
        """Return the views of users by name."""
        found = {name: getattr(self, name) for name in USER_VIEWS}
        return {name: view for name, view in found.items() if view is not None}

    def all(self) -> list[Any]:
        """Return everything to apply, entities first."""
        return [
            self.user,
            self.item,
            self.target,
            self.user_profile,
            self.user_targets,
            self.user_history,
            self.user_daily,
            self.user_pushed,
            self.user_made_of,
            self.item_state,
            self.target_state,
            *([] if self.user_received is None else [self.user_received]),
        ]


def build(
    folder: Path | str,
    *,
    windows_days: tuple[float, ...],
    lookback: dt.timedelta = dt.timedelta(0),
    people: bool = False,
) -> Views:
    """Declare the views over the parquet files in `folder` (a path, or a bucket's URL).

    `lookback` bounds how far back a point-in-time join searches, 0 for no bound. Feast joins every earlier row
    before it picks the newest: where each user has a row a week, eight days find the same row in a tenth of
    the time and memory.
    """
    plain_feast.load()
    from feast import Entity, ValueType
    from feast.types import Array, Bytes, Float32, Float64, Int32, Int64, String

    user = Entity(name="user", join_keys=[columns.USER_ID], value_type=ValueType.STRING)
    item = Entity(name="item", join_keys=[columns.ITEM_INDEX], value_type=ValueType.INT32)
    target = Entity(name="target", join_keys=[columns.TARGET_ID], value_type=ValueType.INT32)
    # Times in lists are epoch seconds as integers; ids are positions in the release's vocabulary.
    kinds = {"_at": Array(Int64), "ids": Array(Int32), "items": Array(Int32), "days": Array(Int32)}

    def lists(names: tuple[str, ...]) -> dict[str, Any]:
        return {n: next((k for end, k in kinds.items() if n.endswith(end)), Array(Float32)) for n in names}

    profile = dict.fromkeys(columns.profile_columns(windows_days), Float64)
    times = dict.fromkeys(columns.PROFILE_TIMES, Int64)
    more = {columns.SEGMENT: Int64, columns.STATE_AT: Int64, columns.VOCABULARY: String}
    recent = dict.fromkeys(columns.RECENT_LISTS, Array(Int32))
    declared = {columns.ATTRIBUTES: Array(Int32)}

    about = {columns.SEGMENT: _segments(folder)}

    def view(name: str, entity: Any, features: dict[str, Any], *, file: str | None = None) -> Any:
        return _view(name, entity, f"{folder}/{file or name}.parquet", features, lookback=lookback, about=about)

    return Views(
        user=user,
        item=item,
        target=target,
        user_profile=view("user_profile", user, profile | times | more),
        user_targets=view("user_targets", user, lists(columns.TARGET_LISTS) | recent | declared),
        user_history=view("user_history", user, lists(columns.HISTORY_LISTS)),
        user_daily=view(
            "user_daily",
            user,
            lists(columns.DAILY_LISTS) | {columns.LAST_SESSION: String, columns.MEMORY: Bytes},
        ),
        # These are written online only; a view must name a file, which tells Feast the type of its key.
        user_pushed=view(PUSHED, user, {"events": String}, file="user_daily"),
        user_made_of=view(
            MADE_OF,
            user,
            {"row": String, "data_end": Int64, "folded": String, "others": String, BLOB_OF: String, BLOB: Bytes},
            file="user_daily",
        ),
        item_state=view("item_state", item, dict.fromkeys(columns.ITEM_NUMBERS, Float32)),
        target_state=view("target_state", target, dict.fromkeys(columns.TARGET_NUMBERS, Float32)),
        user_received=view(RECEIVED, user, lists(columns.RECEIVED_LISTS)) if people else None,
    )


def memories(folder: Path, user: Any, *, lookback: dt.timedelta) -> Any:
    """Declare the view of the training cutoffs' event memories; None where the folder has none."""
    plain_feast.load()
    from feast.types import Bytes, Int64

    path = folder / f"{MEMORIES}.parquet"
    if not path.is_file():
        return None
    return _view(
        MEMORIES, user, str(path), {columns.MEMORY: Bytes, columns.STATE_AT: Int64}, lookback=lookback, about={}
    )


def _segments(folder: Path | str) -> str:
    """Say what the segments' numbers mean, for Feast's UI; a bucket's files are not looked into."""
    path = Path(folder) / fallback.FILE
    if not path.is_file():
        return "Position among the segments of the release"
    found = files.read_json(path)
    names = "; ".join(f"{number} {name}" for number, name in enumerate(found["names"]))
    return f"Position among the segments {found['digest']}: {names}"


def _view(
    name: str,
    entity: Any,
    path: str,
    features: dict[str, Any],
    *,
    lookback: dt.timedelta,
    about: Mapping[str, str],
) -> Any:
    from feast import FeatureView, Field, FileSource
    from feast.data_format import ParquetFormat

    source = FileSource(
        name=f"{name}_file",
        path=path,
        timestamp_field=columns.EVENT_TIMESTAMP,
        file_format=ParquetFormat(),
    )
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=lookback,
        schema=[Field(name=n, dtype=kind, description=about.get(n, "")) for n, kind in features.items()],
        source=source,
        online=True,
    )
