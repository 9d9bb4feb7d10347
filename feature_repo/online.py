"""The online store as serving uses it: read user rows by feature service, and fold new events into them.

One process owns the writes of a user (the door), so a read-fold-write needs no transaction.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from feature_repo import columns, services, store, views
from feature_repo.rows import LIST_TYPES, UserRows
from feature_repo.update import Event, Folding, State

NUMBERS_AS_INTEGERS = (*columns.PROFILE_TIMES, columns.SEGMENT, "state_at")


@dataclass(frozen=True)
class OnlineProfiles:
    """User rows in Feast's online store, aligned to one vocabulary."""

    feast: Any
    folding: Folding

    @classmethod
    def open(cls, project: str, folding: Folding) -> "OnlineProfiles":
        """Open the store that the environment names."""
        return cls(store.open_store(project), folding)

    def read(self, user_ids: Sequence[str], *, now: int) -> UserRows:
        """Read the rows of users as known now (epoch seconds); a user without a row comes back unknown."""
        return self._rows(user_ids, services.RANKING, now=now)

    def _rows(self, user_ids: Sequence[str], service: str, *, now: int) -> UserRows:
        answer = self._answer(user_ids, service)
        return UserRows.from_online(answer, now=now)

    def _answer(self, user_ids: Sequence[str], service: str) -> dict[str, list[Any]]:
        wanted = [{columns.USER_ID: user} for user in user_ids]
        found = self.feast.get_online_features(features=self._service(service), entity_rows=wanted).to_dict()
        found[columns.USER_ID] = list(user_ids)
        return dict(found)

    @cached_property
    def _found(self) -> dict[str, Any]:
        """Remember feature services: Feast parses one anew at every question, four times a read's own cost."""
        return {}

    def _service(self, name: str) -> Any:
        if name not in self._found:
            self._found[name] = self.feast.get_feature_service(name, allow_cache=True)
        return self._found[name]

    def push(self, user_id: str, events: Sequence[Event]) -> UserRows:
        """Fold events into a user's row, oldest first, write it, and return it; the next read sees it."""
        state = self.state(user_id)
        for event in sorted(events, key=lambda e: e.at):
            state = self.folding.update(state, event)
        for name, frame in _frames(user_id, state, self.folding.windows_days).items():
            self.feast.write_to_online_store(name, df=frame)
        return self.read([user_id], now=int(state["state_at"]))

    def state(self, user_id: str) -> State:
        """Read all that an event may move, or the empty state of a user without a row.

        A row that is aligned to another vocabulary counts as none: its positions mean other things.
        """
        answer = self._answer([user_id], services.STATE)
        state = self.folding.empty()
        if answer["state_at"][0] is None or answer[columns.VOCABULARY][0] != self.folding.vocabulary.digest:
            return state
        for name in state:
            value = answer[name][0]
            if name in LIST_TYPES:
                state[name] = np.asarray(value if value is not None else (), dtype=LIST_TYPES[name])
            elif value is not None:
                state[name] = value
        return state


def _frames(user_id: str, state: State, windows_days: tuple[int, ...]) -> dict[str, pd.DataFrame]:
    """Split a state into the frames of its feature views, one row each."""
    at = pd.Timestamp(dt.datetime.fromtimestamp(int(state["state_at"]), dt.UTC))
    families = {
        "user_profile": (*columns.profile_columns(windows_days), columns.SEGMENT, "state_at"),
        "user_targets": columns.TARGET_LISTS + columns.RECENT_LISTS,
        "user_history": columns.HISTORY_LISTS,
        "user_daily": (*columns.DAILY_LISTS, columns.LAST_SESSION, columns.VOCABULARY),
    }
    assert set(families) == set(views.USER_VIEWS)
    return {
        view: pd.DataFrame(
            {columns.USER_ID: [user_id], columns.STATE_AT: [at]} | {n: [_cell(n, state[n])] for n in names}
        )
        for view, names in families.items()
    }


def _cell(name: str, value: Any) -> Any:
    if name in LIST_TYPES:
        return value.tolist()
    if isinstance(value, str):
        return value
    return int(value) if name in NUMBERS_AS_INTEGERS else float(value)
