"""Who acted on whom, among items that are people: what the graph sources, features and baselines look at.

A `Graph` holds the ties that were known at the start of a week, and no later one: a training week sees its own. The
newest goes with the ranker, as its neighbours do. What a user did, and who acted on them, is in the user's own row,
which events move at once; the graph says how these people are tied to others. Plain numpy, the same for one user and
for many.

Letters: I people, E ties, B rows, N entries over all rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from feature_repo.rows import Ragged, UserRows

FILE = "graph.safetensors"
RECEIVED = ("received_items", "received_weeks", "received_slow", "received_last_at")


@dataclass(frozen=True)
class Graph:
    """Ties as known at one week; a tie is there once, however often the one acted on the other."""

    actor: np.ndarray  # [E] int32: position of who acted
    target: np.ndarray  # [E] int32: position of whom they acted on
    place: Mapping[str, int]  # pseudonym of a person: position among the items

    @property
    def n(self) -> int:
        """Count the people."""
        return len(self.place)

    @classmethod
    def of(cls, actor: np.ndarray, target: np.ndarray, place: Mapping[str, int]) -> "Graph":
        """Make a graph of pairs of positions [N], each once and none with oneself, in one order."""
        keys = np.unique(actor.astype(np.int64) * len(place) + target)
        one, other = np.divmod(keys, max(len(place), 1))
        apart = one != other
        return cls(one[apart].astype(np.int32), other[apart].astype(np.int32), place)

    @cached_property
    def out(self) -> Ragged:
        """List whom each person acted on."""
        return _adjacent(self.actor, self.target, self.n)

    @cached_property
    def both(self) -> Ragged:
        """List each person's acquaintances: whom they acted on, and who acted on them."""
        one, other = np.concatenate([self.actor, self.target]), np.concatenate([self.target, self.actor])
        keys = np.unique(one.astype(np.int64) * self.n + other)
        return _adjacent(*np.divmod(keys, max(self.n, 1)), self.n)

    @cached_property
    def rarity(self) -> np.ndarray:
        """Weigh each person as Adamic and Adar do, 1 / log(acquaintances): whom everyone knows tells little, [I]."""
        return np.asarray(1.0 / np.log(np.maximum(np.diff(self.both.offsets), 2)))

    def save(self, folder: Path) -> None:
        """Write the ties into an existing folder."""
        save_file({"actor": self.actor, "target": self.target}, folder / FILE)
        (folder / FILE).chmod(0o644)

    @classmethod
    def load(cls, folder: Path, place: Mapping[str, int]) -> "Graph":
        """Read what `save` wrote; `place` is the vocabulary's."""
        return cls(**load_file(folder / FILE), place=place)


@dataclass(frozen=True)
class Ties:
    """How the users of B rows are tied to each of I people; all [B, I] float64, 0 where they are not."""

    received: np.ndarray  # weeks in which the person acted on the user
    received_slow: np.ndarray  # the same, decayed by the clock's slow factor, as of the row's state
    received_last_at: np.ndarray  # epoch seconds; 0: never
    common: np.ndarray  # acquaintances that both have
    adamic_adar: np.ndarray  # the same, each weighed by its rarity
    followed: np.ndarray  # how many of those whom the user acted on acted on the person

    @classmethod
    def of(cls, rows: UserRows, graph: Graph) -> "Ties":
        """Look up the rows' ties."""
        n, size = graph.n, len(rows) * graph.n

        def dense(name: str) -> np.ndarray:
            values = np.zeros(size)
            values[came] = rows.lists[name].values
            return values.reshape(len(rows), n)

        has = all(name in rows.lists for name in RECEIVED)  # a user without a row has no lists
        came = _keys(rows.lists["received_items"], n) if has else np.empty(0, np.int64)
        received, slow, last_at = (dense(name) if has else np.zeros((len(rows), n)) for name in RECEIVED[1:])
        acted = _keys(rows.lists["history_items"], n)
        mine = np.asarray([graph.place.get(str(user), -1) for user in rows.user_id], dtype=np.int64)
        known = np.unique(np.concatenate([acted, came]))
        known = known[known % max(n, 1) != mine[known // max(n, 1)]] if len(known) else known
        return cls(
            received=received,
            received_slow=slow,
            received_last_at=last_at,
            common=_through(known, graph.both, None, rows=len(rows), n=n),
            adamic_adar=_through(known, graph.both, graph.rarity, rows=len(rows), n=n),
            followed=_through(acted, graph.out, None, rows=len(rows), n=n),
        )


def _adjacent(one: np.ndarray, other: np.ndarray, n: int) -> Ragged:
    """List for each person the others of pairs, which are in the order of `one`."""
    return Ragged(np.asarray(other, np.int64), np.searchsorted(one, np.arange(n + 1)).astype(np.int64))


def _keys(lists: Ragged, n: int) -> np.ndarray:
    """Return row * I + person of lists of people, int64 [N]."""
    return np.asarray(lists.row_of_value() * n + lists.values.astype(np.int64), dtype=np.int64)


def _through(known: np.ndarray, adjacent: Ragged, weight: np.ndarray | None, *, rows: int, n: int) -> np.ndarray:
    """Sum for each row and person those of `known` (row * I + person) whom the person is adjacent to, [B, I]."""
    row, person = np.divmod(known, max(n, 1))
    reached = adjacent.take(person)
    owner = reached.row_of_value()
    weights = None if weight is None else weight[person[owner]]
    found = np.bincount(row[owner] * n + reached.values, weights, minlength=rows * n)
    return np.asarray(found, dtype=np.float64).reshape(rows, n)
