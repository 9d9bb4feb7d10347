"""The kinds of online store, by the name that an environment gives in `feast.online_store.type`.

Reading and writing rows is Feast's; a kind adds the settings that we insist on, what its client raises when nobody
answers, and what Feast has no call for. A new kind is its module and its entry in `STORES`.
"""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from feature_repo.online.stores.postgres import PostgresStore
from feature_repo.online.stores.redis import RedisStore
from feature_repo.online.stores.rows import Marks, Rows
from feature_repo.online.stores.sqlite import SqliteStore


class Store(Protocol):
    """One kind of store."""

    name: str  # in an environment
    feast: str  # in Feast's configuration

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return Feast's settings for the environment's."""

    def failures(self) -> tuple[type[BaseException], ...]:
        """Return what its client raises when nobody answers."""

    def let_read(self, config: Any) -> None:
        """Let services read while a batch writes."""

    def opened(self, config: Any, space: str | None) -> AbstractContextManager[Rows]:
        """Yield the rows of users: those of one Feast project, or with None of all of the recommender's."""

    def marks(self, config: Any, provider: Any) -> Marks:
        """Return the names of tombstones that the recommender of `config` keeps; `provider` is Feast's."""


STORES: tuple[Store, ...] = (SqliteStore(), RedisStore(), PostgresStore())


def named(kind: str) -> Store | None:
    """Return a kind of store by the environment's name or Feast's; None for one that only Feast knows."""
    return next((store for store in STORES if kind in (store.name, store.feast)), None)
