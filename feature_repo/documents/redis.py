"""The document log in Redis: hashes of one slot. A script makes a step of a change, and of a read.

How much a killed server loses is its own setting: k8s/base runs it with an append-only file (docs/catalogue.md).
"""

import json
from collections.abc import Sequence
from typing import Any, cast

from feature_repo.documents.changes import Change, Kind, Newest
from feature_repo.documents.shelf import Head, Page, Replaced

PARTS = ("head", "log", "keys", "newest", "order", "first")
# ARGV: the version, the log's name, the key, the change's text; then kind and id, place and document of each entry.
WRITE = """
local version = tonumber(ARGV[1])
if tonumber(redis.call('HGET', KEYS[1], 'version') or '0') ~= version - 1 then return 0 end
if ARGV[3] ~= '' and redis.call('HSETNX', KEYS[3], ARGV[3], ARGV[1]) == 0 then return 0 end
redis.call('HSETNX', KEYS[1], 'name', ARGV[2])
redis.call('HSET', KEYS[1], 'version', ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
for place = 5, #ARGV, 3 do
  redis.call('HSET', KEYS[4], ARGV[place], ARGV[place + 2])
  redis.call('ZADD', KEYS[5], version, ARGV[place])
  redis.call('HSETNX', KEYS[6], ARGV[place], ARGV[1] .. ' ' .. ARGV[place + 1])
end
return 1
"""
READ = """
local found = {redis.call('HGET', KEYS[1], 'name') or '', redis.call('HGET', KEYS[1], 'version') or '0'}
local members = redis.call('ZRANGEBYSCORE', KEYS[5], '(' .. ARGV[1], '+inf', 'WITHSCORES')
for place = 1, #members, 2 do
  table.insert(found, members[place])
  table.insert(found, members[place + 1])
  table.insert(found, redis.call('HGET', KEYS[6], members[place]))
  table.insert(found, redis.call('HGET', KEYS[4], members[place]))
end
return found
"""
# ARGV: the head's name and version, the new name, how many changes; then version and text of each; then the member that
# was there, the one that is now, its version, its first place and its document.
REPLACE = """
if redis.call('HGET', KEYS[1], 'name') ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'name', ARGV[3])
local rest = 5 + 2 * tonumber(ARGV[4])
for place = 5, rest - 1, 2 do redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 1]) end
for place = rest, #ARGV, 5 do
  redis.call('HDEL', KEYS[4], ARGV[place])
  redis.call('ZREM', KEYS[5], ARGV[place])
  redis.call('HDEL', KEYS[6], ARGV[place])
  redis.call('HSET', KEYS[4], ARGV[place + 1], ARGV[place + 4])
  redis.call('ZADD', KEYS[5], ARGV[place + 2], ARGV[place + 1])
  redis.call('HSET', KEYS[6], ARGV[place + 1], ARGV[place + 3])
end
return 1
"""
AT_ONCE = 1_000  # changes read in a question


class RedisShelf:
    """The log of one recommender in a server. Keys end in a brace: no row's key does (stores/redis.py)."""

    def __init__(self, client: Any, recommender: str) -> None:
        self._client = client
        self._keys = {part: f"intentflow:documents:{part}:{{{recommender}}}" for part in PARTS}

    def head(self) -> Head:
        """Return the log's name and version."""
        name, version = self._client.hmget(self._keys["head"], "name", "version")
        return Head(_text(name), int(version or 0))

    def write(self, change: Change, name: str) -> bool:
        """Append a change in one step; say whether the log stood before it."""
        entries: list[Any] = []
        for place, entry in enumerate(change.entries):
            entries += [f"{change.kind} {entry.id}", place, json.dumps(entry.document, ensure_ascii=False)]
        given = [change.version, name, change.key, change.text, *entries]
        return bool(self._client.eval(WRITE, len(PARTS), *self._keys.values(), *given))

    def replace(self, head: Head, changes: Sequence[Change], newest: Sequence[Replaced], name: str) -> bool:
        """Put other texts of versions and newest documents in the place of theirs; say whether the head was this."""
        given: list[Any] = [head.name, head.version, name, len(changes)]
        for change in changes:
            given += [change.version, change.text]
        for (kind, identity), new in newest:
            first, document = " ".join(map(str, new.first)), json.dumps(new.document, ensure_ascii=False)
            given += [f"{kind} {identity}", f"{new.kind} {new.id}", new.version, first, document]
        return bool(self._client.eval(REPLACE, len(PARTS), *self._keys.values(), *given))

    def keyed(self, key: str) -> Change | None:
        """Return the change that came under a key."""
        version = self._client.hget(self._keys["keys"], key)
        return None if version is None else self.changes(int(version) - 1, int(version))[0]

    def changes(self, after: int, until: int) -> list[Change]:
        """Return changes, oldest first."""
        until, found = min(until, self.head().version), []
        for start in range(after + 1, until + 1, AT_ONCE):
            versions = range(start, min(start + AT_ONCE, until + 1))
            found += self._client.hmget(self._keys["log"], *versions)
        return [Change.of(_text(text)) for text in found if text is not None]

    def newest(self, after: int) -> Page:
        """Return newest documents and the head as of one moment."""
        name, version, *rest = self._client.eval(READ, len(PARTS), *self._keys.values(), after)
        rows = [_newest(*rest[place : place + 4]) for place in range(0, len(rest), 4)]
        return Page(Head(_text(name), int(version)), tuple(sorted(rows, key=lambda one: one.first)))


def _newest(member: Any, version: Any, first: Any, document: Any) -> Newest:
    kind, _, identity = _text(member).partition(" ")
    began, _, place = _text(first).partition(" ")
    return Newest(cast(Kind, kind), identity, int(float(version)), (int(began), int(place)), json.loads(document))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
