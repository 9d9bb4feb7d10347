"""The rows of users in a store's own words, beyond what Feast can ask: delete, count, list, drop. And Feast's names.

Feast writes and reads rows but has no call that deletes one. Keys and tables are Feast's; each module beside this one
is one kind of store.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from feature_repo import columns, views

DIGITS = 6  # of a vocabulary's digest, in the name of its Feast project
SEEDED = ""  # among the names of tombstones in a store: it shows that the list was brought in, and not lost since
Written = tuple[Any, Any, Any, Any]  # a row as Feast writes it: key, values, time, time of making


class Rows(Protocol):
    """The rows of users in one kind of store."""

    spaces: list[str]  # Feast projects with rows of the recommender

    def delete(self, user_ids: Sequence[str]) -> int:
        """Delete users' rows; return how many there were."""

    def tidy(self) -> None:
        """Leave nothing of deleted rows behind."""

    def count(self, user_ids: Sequence[str]) -> int:
        """Count users' rows."""

    def users(self, view: str | None = None) -> set[str]:
        """Return every user that has a row."""

    def drop(self) -> None:
        """Take out all rows."""

    def has(self, space: str, view: str) -> bool:
        """Tell whether a view can be read."""


class Marks(Protocol):
    """The names of tombstones in one store, beside its rows, and the write that asks them first.

    None instead of an answer: the store has no list, because none was brought in or because it lost its data.
    """

    def names(self) -> frozenset[str] | None:
        """Return all names."""

    def have(self, names: Sequence[str]) -> frozenset[str] | None:
        """Return which of some names the store has."""

    def add(self, names: Iterable[str]) -> None:
        """Add names; from then on the store has a list."""

    def remove(self, names: Iterable[str]) -> None:
        """Take names out."""

    def together(self) -> AbstractContextManager[None]:
        """Let a store that waits for its disk at each write wait once for all that is written meanwhile."""

    def write(self, view: Any, data: Sequence[Written], told: Sequence[Sequence[str]]) -> int | None:
        """Write rows of a view but those of which one of the names in `told` is in the list; return how many.

        Check and write are one step: no name is added between the two.
        """


def recommender_of(space: str) -> str:
    """Return the recommender's part of a Feast project's name.

    >>> recommender_of("tea_shop_v012345"), recommender_of("tea_shop")
    ('tea_shop', 'tea_shop')
    """
    return re.sub(rf"_v[0-9a-f]{{{DIGITS}}}$", "", space)


def pattern_of(project: str) -> str:
    """Return a pattern of a recommender's Feast projects: `store.space`'s, and the name alone as in older stores."""
    return f"{re.escape(project)}(?:_v[0-9a-f]{{{DIGITS}}})?"


def named(config: Any, space: str | None, have: Iterable[str]) -> dict[str, list[str]]:
    """Return of all tables in a database those that are ours, by Feast project."""
    pattern = re.compile(f"({pattern_of(config.project)})_({'|'.join(views.USER_VIEWS)})")
    found: dict[str, list[str]] = {}
    for match in filter(None, map(pattern.fullmatch, have)):
        if space in (None, match[1]):
            found.setdefault(match[1], []).append(match[0])
    return found


def key_of(config: Any, user: str) -> bytes:
    """Return the key of a user as Feast stores it."""
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=[columns.USER_ID], entity_values=[Value(string_val=user)])
    return bytes(serialize_entity_key(key, entity_key_serialization_version=config.entity_key_serialization_version))


def user_of(config: Any, key: bytes) -> str | None:
    """Return the user of a key, None for a key of something else."""
    from feast.infra.key_encoding_utils import deserialize_entity_key

    found = deserialize_entity_key(bytes(key), config.entity_key_serialization_version)
    return str(found.entity_values[0].string_val) if list(found.join_keys) == [columns.USER_ID] else None
