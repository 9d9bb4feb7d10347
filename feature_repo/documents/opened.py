"""Opens the document log of a recommender in the online store that the environment names, one kind of store a shelf."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from feature_repo.documents.changes import Change
from feature_repo.documents.log import DocumentLog
from feature_repo.documents.postgres import PostgresShelf
from feature_repo.documents.redis import RedisShelf
from feature_repo.documents.shelf import Head, Page, Replaced, Shelf
from feature_repo.documents.sqlite import SqliteShelf
from feature_repo.errors import ServerError
from feature_repo.online import feast_store
from feature_repo.online.stores.rows import recommender_of

Result = TypeVar("Result")


def document_log(project: str) -> DocumentLog:
    """Return a recommender's log; nothing is asked of the store yet."""
    found = document_log_if_any(project)
    if found is None:
        raise ServerError(
            "feast.online_store: a store of this type keeps no document log; have sqlite, redis, postgres"
        )
    return found


def document_log_if_any(project: str) -> DocumentLog | None:
    """Return a recommender's log; None where its store is of a kind that keeps none."""
    config = feast_store.online_config(project)
    shelf = _shelf(config)
    return None if shelf is None else DocumentLog(_Answering(config, shelf))


def _shelf(config: Any) -> Shelf | None:
    recommender, settings = recommender_of(config.project), config.online_store
    kind = feast_store.kind(settings)
    if kind == "sqlite":
        return SqliteShelf(str(settings.path), recommender)
    if kind == "postgres":
        return PostgresShelf(settings, recommender)
    if kind == "redis":
        from feast.infra.online_stores.redis import RedisOnlineStore

        return RedisShelf(RedisOnlineStore()._get_client(settings), recommender)
    return None


class _Answering:
    """A shelf whose client's failures are StoreAway, with the store's address."""

    def __init__(self, config: Any, shelf: Shelf) -> None:
        self._config, self._shelf = config, shelf

    def _ask(self, call: Callable[[], Result]) -> Result:
        with feast_store.answering(self._config):
            return call()

    def head(self) -> Head:
        return self._ask(self._shelf.head)

    def write(self, change: Change, name: str) -> bool:
        return self._ask(lambda: self._shelf.write(change, name))

    def keyed(self, key: str) -> Change | None:
        return self._ask(lambda: self._shelf.keyed(key))

    def changes(self, after: int, until: int) -> list[Change]:
        return self._ask(lambda: self._shelf.changes(after, until))

    def newest(self, after: int) -> Page:
        return self._ask(lambda: self._shelf.newest(after))

    def replace(self, head: Head, changes: Sequence[Change], newest: Sequence[Replaced], name: str) -> bool:
        return self._ask(lambda: self._shelf.replace(head, changes, newest, name))
