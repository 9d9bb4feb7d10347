"""Take users' rows out of the online store so that nothing of them is left in its files, and count what is there.

Feast writes and reads rows but has no call that deletes one, so each kind of store is asked in its own words (stores/).
Used when a person is forgotten and when the key of pseudonyms has changed.
"""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from feature_repo import columns, views
from feature_repo.online import feast_store, feast_values, provenance, tombstone_list
from feature_repo.online.forgotten import Guard
from feature_repo.online.stores.rows import Rows

AT_ONCE = 500  # users in one question
EMPTY = {"int64_val": 0, "string_val": "", "bytes_val": b""}  # cells of the views beside a row, where it has none


def erase(project: str, user_ids: Sequence[str], *, space: str | None = None) -> int:
    """Delete the rows of users from the online store that the environment names; return how many there were.

    They go from the rows of every vocabulary, or with `space` from those of one.
    """
    with _opened(project, space=space) as rows:
        found = sum(rows.delete(part) for part in _parts(user_ids))
        rows.tidy()  # also where nothing was found: a call before this one may have been killed between the two
    return found


def erase_items(project: str, item_ids: Collection[str]) -> int:
    """Take the events with some items out of the lists that wait beside users' rows; return how many there were.

    For items that are people: what others did to a forgotten person, and what the person did to them.
    """
    from feature_repo.online.feast_store import Online

    found = 0
    for space in spaces(project, view=views.PUSHED):
        online = Online.open(space, windows_days=columns.WINDOWS_DAYS)
        for part in _parts(sorted(users(project, space=space, view=views.PUSHED))):
            for view, name in ((views.PUSHED, "events"), (views.MADE_OF, "others")):
                for user, (at, row) in zip(part, online.read_timed(view, part), strict=True):
                    cells = {f: feast_values.number(row, f, kind, EMPTY[kind])
                             for f, kind in online.kinds[view].items()}  # fmt: skip
                    events = provenance.decode(str(cells[name]))
                    kept = [event for event in events if event.item_id not in item_ids]
                    if len(kept) < len(events) and at is not None:
                        found += len(events) - len(kept)
                        online.write(view, [(user, int(at.timestamp()), cells | {name: provenance.encode(kept)})])
    return found


def count(project: str, user_ids: Sequence[str]) -> int:
    """Count the rows of users in the online store."""
    with _opened(project) as rows:
        return sum(rows.count(part) for part in _parts(user_ids))


def users(project: str, *, space: str | None = None, view: str | None = None) -> set[str]:
    """Return every user that has a row: for a change of keys, after which the old names must go.

    With `space` among the rows of one vocabulary; `view` narrows it where a view has a table of its own.
    """
    with _opened(project, space=space) as rows:
        return rows.users(view)


def spaces(project: str, *, view: str | None = None) -> list[str]:
    """Return the Feast projects with rows of a recommender: one a vocabulary, and one of before there were such.

    `view` leaves out those that lack its table: whoever made the tables was killed.
    """
    with _opened(project) as rows:
        return [space for space in rows.spaces if view is None or rows.has(space, view)]


def drop(project: str, space: str) -> None:
    """Take out all rows of one vocabulary."""
    with _opened(project, space=space) as rows:
        rows.drop()


def keep_out(project: str, names: Collection[str]) -> None:
    """Let nobody of some tombstones' names get a row from now on: in the list that lasts, then in the store."""
    config = feast_store.config(project, feast_store.settings_from())
    tombstone_list.add(config, names)
    with _guarded(config) as guard:
        guard.marks.add({*names, *guard.listed()})


def let_in(project: str, names: Collection[str]) -> None:
    """Let people have rows again."""
    config = feast_store.config(project, feast_store.settings_from())
    tombstone_list.remove(config, names)
    with _guarded(config) as guard:
        guard.marks.remove(names)


def kept_out(project: str, names: Collection[str]) -> frozenset[str]:
    """Return which of some tombstones' names the store has."""
    with _guarded(feast_store.config(project, feast_store.settings_from())) as guard:
        return guard.marks.have(list(names)) or frozenset()


def forgotten_among(project: str, users: Collection[str]) -> frozenset[str]:
    """Return which of some people, by pseudonym, the store keeps out, by the keys that this process has."""
    with _guarded(feast_store.config(project, feast_store.settings_from())) as guard:
        return guard.among(users) if guard.keys and users else frozenset()


def sweep(project: str) -> int:
    """Bring the list of forgotten people in, and delete rows of theirs that an older door wrote; return of how many.

    A store that was restored from a copy has rows of people who were forgotten since, and they go by this too.
    """
    with _guarded(feast_store.config(project, feast_store.settings_from())) as guard:
        names = guard.bring_in()
    there = [user for user in users(project) if guard.holds(user, names)] if names and guard.keys else []
    if there:
        erase(project, sorted(there))
    return len(there)


@contextlib.contextmanager
def _guarded(config: Any) -> Iterator[Guard]:
    from feast.infra.provider import get_provider

    with feast_store.answering(config):
        yield feast_store.guard(config, get_provider(config))


def _parts(user_ids: Sequence[str]) -> list[Sequence[str]]:
    return [user_ids[start : start + AT_ONCE] for start in range(0, len(user_ids), AT_ONCE)]


@contextlib.contextmanager
def _opened(project: str, *, space: str | None = None) -> Iterator[Rows]:
    """Yield the rows of the store that the environment names, of one vocabulary or of all."""
    config = feast_store.config(project, feast_store.settings_from())
    with feast_store.answering(config), feast_store.store_of(config).opened(config, space) as rows:
        yield rows
