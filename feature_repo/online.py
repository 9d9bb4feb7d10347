"""The online store as serving uses it: read user rows by feature service, and fold new events into them.

One process owns the writes of a user (the door), so a read-fold-write needs no transaction.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
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
        return UserRows.from_online(self._answer(user_ids, services.RANKING), now=now)

    def _answer(self, user_ids: Sequence[str], service: str) -> dict[str, list[Any]]:
        """Ask Feast; a row that is aligned to another vocabulary counts as none: its positions mean other things."""
        wanted = [{columns.USER_ID: user} for user in user_ids]
        found = self.feast.get_online_features(features=self._service(service), entity_rows=wanted).to_dict()
        for place, digest in enumerate(found[columns.VOCABULARY]):
            if digest != self.folding.vocabulary.digest:
                for values in found.values():
                    values[place] = None
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
        state = self.push_all({user_id: events})[user_id]
        return self.read([user_id], now=int(state["state_at"]))

    def push_all(self, events: Mapping[str, Sequence[Event]]) -> dict[str, State]:
        """Fold the events of many users, oldest first, into their rows with one write a view; return their states."""
        states = self.states(list(events))
        for user, theirs in events.items():
            for event in sorted(theirs, key=lambda e: e.at):
                states[user] = self.folding.update(states[user], event)
        for name, frame in _frames(states, self.folding.windows_days).items():
            self.feast.write_to_online_store(name, df=frame)
        return states

    def states(self, user_ids: Sequence[str]) -> dict[str, State]:
        """Read all that an event may move, by user; a user without a row has the empty state."""
        answer, states = self._answer(user_ids, services.STATE), {}
        for place, user in enumerate(user_ids):
            states[user] = self.folding.empty()
            if answer["state_at"][place] is None:
                continue
            for name in states[user]:
                value = answer[name][place]
                if name in LIST_TYPES:
                    states[user][name] = np.asarray(value if value is not None else (), dtype=LIST_TYPES[name])
                elif value is not None:
                    states[user][name] = value
        return states


def _frames(states: Mapping[str, State], windows_days: tuple[int, ...]) -> dict[str, pd.DataFrame]:
    """Split states into the frames of their feature views, one row a user."""
    at = [pd.Timestamp(dt.datetime.fromtimestamp(int(state["state_at"]), dt.UTC)) for state in states.values()]
    families = {
        "user_profile": (*columns.profile_columns(windows_days), columns.SEGMENT, "state_at", columns.VOCABULARY),
        "user_targets": columns.TARGET_LISTS + columns.RECENT_LISTS,
        "user_history": columns.HISTORY_LISTS,
        "user_daily": (*columns.DAILY_LISTS, columns.LAST_SESSION),
    }
    assert set(families) == set(views.USER_VIEWS)
    return {
        view: pd.DataFrame(
            {columns.USER_ID: list(states), columns.STATE_AT: at}
            | {name: [_cell(name, state[name]) for state in states.values()] for name in names}
        )
        for view, names in families.items()
    }


def _cell(name: str, value: Any) -> Any:
    if name in LIST_TYPES:
        return value.tolist()
    if isinstance(value, str):
        return value
    return int(value) if name in NUMBERS_AS_INTEGERS else float(value)
