"""Redis: one hash a user, of all views."""

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from feature_repo import columns
from feature_repo.online.stores.rows import key_of, pattern_of, user_of

TIMEOUT_S = 2.0  # without an answer


class RedisStore:
    """The store of a cluster, in memory."""

    name = feast = "redis"

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """Give it a time limit, unless the environment did.

        >>> given = {"type": "redis", "connection_string": "redis:6379,socket_timeout=9"}
        >>> RedisStore().settings(given)["connection_string"]
        'redis:6379,socket_timeout=9,socket_connect_timeout=2.0,retry=null'
        """
        address = str(given.get("connection_string", "localhost:6379"))
        limits = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "retry": "null"}
        more = [f"{name}={value}" for name, value in limits.items() if f",{name}=" not in address]
        # Feast leaves out a row whose time is not later than the stored one's. Ours are corrected at the same time:
        # two events within a second, the same week under another vocabulary.
        return {"skip_dedup": True} | given | {"connection_string": ",".join([address, *more])}

    def failures(self) -> tuple[type[BaseException], ...]:
        """Return what its client raises; one that was never imported raised nothing."""
        return (sys.modules["redis.exceptions"].RedisError,) if "redis.exceptions" in sys.modules else ()

    def let_read(self, config: Any) -> None:
        """Do nothing: a server lets others read."""

    @contextlib.contextmanager
    def opened(self, config: Any, space: str | None) -> Iterator["_Rows"]:
        """Yield the rows of one vocabulary, or of all."""
        from feast.infra.online_stores.redis import RedisOnlineStore

        yield _Rows(config, RedisOnlineStore()._get_client(config.online_store), space)


class _Rows:
    """One hash a user. Snapshots and append-only files of the server follow in its own time."""

    def __init__(self, config: Any, client: Any, space: str | None) -> None:
        self._config, self._client = config, client
        self.spaces = [space] if space is not None else self._found()

    def _found(self) -> list[str]:
        """Look through all keys: a key ends with its project, and nothing lists the projects."""
        end = re.compile(pattern_of(self._config.project).encode() + b"$")
        return sorted({found[0].decode() for key in self._scan(b"*") if (found := end.search(key))})

    def _scan(self, pattern: bytes) -> Iterator[bytes]:
        from feast.infra.online_stores.helpers import _redis_key_prefix

        return map(bytes, self._client.scan_iter(_redis_key_prefix([columns.USER_ID]) + pattern, count=10_000))

    def _keys(self, user_ids: Sequence[str]) -> list[bytes]:
        return [key_of(self._config, user) + space.encode() for space in self.spaces for user in user_ids]

    def delete(self, user_ids: Sequence[str]) -> int:
        return sum(int(self._client.unlink(key)) for key in self._keys(user_ids))

    def tidy(self) -> None:
        """Do nothing: what is deleted is gone from memory."""

    def count(self, user_ids: Sequence[str]) -> int:
        return sum(int(self._client.exists(key)) for key in self._keys(user_ids))

    def users(self, view: str | None = None) -> set[str]:
        return {user for user, _ in self._rows()}

    def drop(self) -> None:
        for _, key in self._rows():
            self._client.unlink(key)

    def has(self, space: str, view: str) -> bool:
        return True

    def _rows(self) -> Iterator[tuple[str, bytes]]:
        """Yield user and key of every row."""
        for end in map(str.encode, self.spaces):
            for key in self._scan(b"*" + end):
                user = user_of(self._config, key[: -len(end)])
                # A project whose name ends as ours does matches as well: only a key that we would write is ours.
                if user is not None and key_of(self._config, user) + end == key:
                    yield user, key
