"""Redis: one hash a user, of all views."""

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from feature_repo import columns
from feature_repo.online.stores.rows import SEEDED, Written, key_of, pattern_of, recommender_of, user_of

TIMEOUT_S = 2.0  # without an answer
# KEYS: the list of tombstones, the row. ARGV: seconds that the row lives ('0': for ever), how many names, the names,
# then fields and values. A server runs a script as one step.
WRITE = """
if redis.call('SISMEMBER', KEYS[1], '') == 0 then return -1 end
local names = tonumber(ARGV[2])
for place = 3, 2 + names do
  if redis.call('SISMEMBER', KEYS[1], ARGV[place]) == 1 then return 0 end
end
redis.call('HSET', KEYS[2], unpack(ARGV, 3 + names))
if ARGV[1] ~= '0' then redis.call('EXPIRE', KEYS[2], ARGV[1]) end
return 1
"""


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

    def marks(self, config: Any, provider: Any) -> "_Marks":
        """Return the names of tombstones: one set."""
        return _Marks(config, provider)


class _Marks:
    """One set of names; a script looks into it and writes a row in one step, as Feast lays it out."""

    def __init__(self, config: Any, provider: Any) -> None:
        self._config, self._provider = config, provider
        self._key = f"intentflow:{recommender_of(config.project)}:forgotten"

    @property
    def _client(self) -> Any:
        return self._provider.online_store._get_client(self._config.online_store)

    def names(self) -> frozenset[str] | None:
        found = frozenset(bytes(name).decode() for name in self._client.smembers(self._key))
        return found - {SEEDED} if SEEDED in found else None

    def have(self, names: Sequence[str]) -> frozenset[str] | None:
        with self._client.pipeline(transaction=False) as asked:
            for name in (SEEDED, *names):
                asked.sismember(self._key, name)
            seeded, *found = asked.execute()
        return frozenset(name for name, is_there in zip(names, found, strict=True) if is_there) if seeded else None

    def add(self, names: Iterable[str]) -> None:
        self._client.sadd(self._key, *names, SEEDED)

    def remove(self, names: Iterable[str]) -> None:
        if gone := list(names):
            self._client.srem(self._key, *gone)

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def write(self, view: Any, data: Sequence[Written], told: Sequence[Sequence[str]]) -> int | None:
        if self._config.online_store.redis_type == "redis_cluster":
            return self._write_apart(view, data, told)
        lives = str(self._config.online_store.key_ttl_seconds or 0)
        with self._client.pipeline(transaction=False) as asked:
            for (key, values, at, _), names in zip(data, told, strict=True):
                row = _redis_key(self._config, key)
                asked.eval(
                    WRITE, 2, self._key, row, lives, len(names), *names, *_fields(self._config, view, values, at)
                )
            done = asked.execute()
        return None if -1 in done else sum(map(int, done))

    def _write_apart(self, view: Any, data: Sequence[Written], told: Sequence[Sequence[str]]) -> int | None:
        """Write where rows and list lie on several nodes, which no script spans: look before, and again after.

        A row of somebody who was forgotten in between is there for a moment; if the writer dies in it, until the next
        batch.
        """
        asked = [name for names in told for name in names]
        before = self.have(asked)
        if before is None:
            return None
        kept = [(row, names) for row, names in zip(data, told, strict=True) if before.isdisjoint(names)]
        if kept:
            self._provider.online_write_batch(self._config, view, [row for row, _ in kept], None)
        after = self.have(asked)
        late = [row for row, names in kept if after is not None and not after.isdisjoint(names)]
        for key, *_ in late:
            self._client.unlink(_redis_key(self._config, key))
        return None if after is None else len(kept) - len(late)


def _redis_key(config: Any, key: Any) -> bytes:
    from feast.infra.online_stores.helpers import _redis_key

    version = config.entity_key_serialization_version
    return bytes(_redis_key(config.project, key, entity_key_serialization_version=version))


def _fields(config: Any, view: Any, values: Any, at: Any) -> list[Any]:
    """Return fields and values of a row's hash in turn, as Feast lays them out."""
    from feast import utils
    from feast.infra.online_stores.helpers import _mmh3
    from feast.infra.online_stores.redis import _versioned_fv_name
    from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

    name, stamp = _versioned_fv_name(view, config), Timestamp()
    stamp.FromDatetime(utils.make_tzaware(at))
    found = [f"_ts:{name}", stamp.SerializeToString()]
    for feature, value in values.items():
        found += [_mmh3(f"{name}:{feature}"), value.SerializeToString()]
    return found


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
