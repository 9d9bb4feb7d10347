"""Forgotten people and the online store: no row is written for who was forgotten, whatever a writer itself knows.

The names of tombstones lie in the store beside the rows, and each write of a row asks for its user's there, in one step
with the write (stores/). So a door whose ConfigMap is old, a job and a batch are kept from bringing anybody back by the
same rule. A store that lost its list gets it from tombstone_list.py before the first row; without that list nothing is
written. A name is a keyed mark: it tells a writer, who has the key, and names nobody.
"""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from feature_repo.errors import SpecError, StoreAway
from feature_repo.online.stores.rows import Marks, Written
from feature_repo.privacy.pseudonyms import KEY, fingerprint, mark, ring

SEEDINGS = 3  # of a store that loses its list again at once


def keys_given() -> tuple[str, ...]:
    """Return the keys that this process has; a process without any can write while nobody is forgotten."""
    return ring(os.environ) if os.environ.get(KEY) else ()


@functools.lru_cache(maxsize=8_192)  # each view of a user's row asks
def names_of(user: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a tombstone of a user, by pseudonym, would be called: under the key in use, and under those before.

    >>> [name[12] for name in names_of("5f3c", ("00", "01"))]
    ['-', '-']
    """
    return tuple(f"{fingerprint(key)}-{mark(user, key)}" for key in keys)


@dataclass(frozen=True)
class Guard:
    """Keeps forgotten people out of one store."""

    marks: Marks  # writes, with the list in the same step
    asked: Marks  # the same list for who only asks: an answer must not wait while a write waits its turn
    keys: tuple[str, ...]
    listed: Callable[[], frozenset[str]]  # the names that outlive the store

    def write(self, view: Any, data: Sequence[Written], users: Sequence[str]) -> None:
        """Write rows, but those of forgotten people."""
        self._require_keys()
        told = [names_of(user, self.keys) for user in users]
        for _ in range(SEEDINGS):
            if self.marks.write(view, data, told) is not None:
                return
            self.marks.add(self.listed())
        raise StoreAway("online store: it loses its list of forgotten people as soon as it has it; nothing was written")

    def together(self) -> AbstractContextManager[None]:
        """Let what is written meanwhile be on disk at its end, where the store can do it at once."""
        return self.marks.together()

    def among(self, users: Iterable[str]) -> frozenset[str]:
        """Return which of some users were forgotten, as the store knows now."""
        told = {name: user for user in users for name in names_of(user, self.keys)}
        found = self.asked.have(list(told))
        if found is None:
            self.marks.add(self.listed())
            found = self.asked.have(list(told)) or frozenset()
        return frozenset(told[name] for name in found)

    def names(self) -> frozenset[str]:
        """Return all names that the store has; none where it has no list."""
        return self.asked.names() or frozenset()

    def bring_in(self) -> frozenset[str]:
        """Add the names that outlive the store, and return all it then has."""
        self.marks.add(self.listed())
        return self.names()

    def holds(self, user: str, names: frozenset[str]) -> bool:
        """Tell whether one of some names is a user's."""
        return not names.isdisjoint(names_of(user, self.keys))

    def _require_keys(self) -> None:
        if not self.keys and (count := len(self.names())):
            raise SpecError(f"{KEY} is not set, so {count} forgotten people cannot be told from others; set it")
