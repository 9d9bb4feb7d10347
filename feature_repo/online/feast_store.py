"""Open Feast: one configuration for the command line, the steps and the services, taken from the environment."""

import datetime as dt
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from feature_repo import columns, env_names, plain_feast, services, views
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError, StoreAway
from feature_repo.online import feast_values, stores, tombstone_list
from feature_repo.online.forgotten import Guard, keys_given
from feature_repo.online.stores.rows import DIGITS

VARIABLE = env_names.FEAST
FILE = ROOT / "feature_repo" / "feature_store.yaml"
NO_OFFLINE = "feature_repo.online.no_offline.NoOfflineStore"  # a door has no use for history
# Training rows ask at cutoffs a week apart, at which every known user has a row; a week with a clock change
# is up to an hour longer.
LOOKBACK = dt.timedelta(days=8)


def document(project: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a feature_store.yaml says: ours, with the environment's registry and stores."""
    base: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    found = {"project": project.replace("-", "_")} | base | settings
    return found | {"online_store": _bounded(found["online_store"])}


def space(project: str, vocabulary: str) -> str:
    """Return the Feast project that holds the rows of one vocabulary: a few digits, since PostgreSQL cuts long names.

    Rows name their vocabulary in full, so two that share the digits take turns, and are never taken for each other.

    >>> space("tea-shop", "0123456789ab")
    'tea_shop_v012345'
    """
    return f"{project.replace('-', '_')}_v{vocabulary[:DIGITS]}"


def kind(settings: dict[str, Any] | Any) -> str:
    """Return which store a configuration means, in the environment's word for it."""
    found = str(settings["type"] if isinstance(settings, dict) else settings.type)
    store = stores.named(found)
    return found if store is None else store.name


def _bounded(online: dict[str, Any]) -> dict[str, Any]:
    """Return Feast's settings for the environment's: a store on a network gets its time limit."""
    store = stores.named(online["type"])
    return online if store is None else store.settings(online)


def config(project: str, settings: dict[str, Any]) -> Any:
    """Return the same as Feast's RepoConfig."""
    return plain_feast.repo_config(document(project, settings))


def online_config(project: str) -> Any:
    """Return the same from the environment, for a process that only reads and pushes rows."""
    return config(project, settings_from() | {"offline_store": {"type": NO_OFFLINE}})


def settings_from(environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Read the environment's registry and stores."""
    text = (os.environ if environment is None else environment).get(VARIABLE)
    if not text:
        raise SpecError(f"{VARIABLE} is not set; the `intentflow` command sets it from the environment")
    found: dict[str, Any] = json.loads(text)
    return found


def open_store(project: str) -> Any:
    """Open the feature store that the environment names."""
    plain_feast.load()
    from feast import FeatureStore

    return FeatureStore(config=config(project, settings_from()))


@dataclass(frozen=True)
class Online:
    """The online store's rows of users, view by view: Feast's provider without its registry, which reads need not."""

    config: Any
    provider: Any
    views: Mapping[str, Any]
    kinds: Mapping[str, Mapping[str, str]]  # view -> feature -> field of Feast's Value
    guard: Guard  # keeps forgotten people out

    @classmethod
    def open(cls, project: str, *, windows_days: tuple[float, ...], people: bool = False) -> "Online":
        """Open the store that the environment names; nothing is asked of it yet."""
        plain_feast.load()
        from feast.infra.provider import get_provider

        found = online_config(project)
        declared = views.build("", windows_days=windows_days, people=people).of_users()
        kinds = {name: feast_values.kinds(view) for name, view in declared.items()}
        writer = get_provider(found)
        _ = writer.online_store  # imports the store's client
        # Of a file, reads have a connection of their own: on a shared one they would wait while a write waits its turn.
        reader = get_provider(found) if kind(found.online_store) == "sqlite" else writer
        return cls(found, reader, declared, kinds, guard(found, writer, reader=reader))

    def read(self, view: str, users: Sequence[str], *, without: Collection[str] = ()) -> list[feast_values.Row | None]:
        """Read rows of one view in the order of users; None where there is none. Cells in `without` are not needed."""
        return [row for _, row in self.read_timed(view, users, without=without)]

    def read_timed(
        self, view: str, users: Sequence[str], *, without: Collection[str] = ()
    ) -> list[tuple[dt.datetime | None, feast_values.Row | None]]:
        """Read rows of one view with the times that they were written under."""
        names = [name for name in self.kinds[view] if name not in without]
        keys = [feast_values.entity_key(columns.USER_ID, user) for user in users]
        with answering():
            found = self.provider.online_read(self.config, self.views[view], keys, names)
        return list(found)

    def write(self, view: str, rows: Sequence[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Write rows (user, epoch seconds, feature -> cell) of one view, but those of forgotten people."""
        kinds = self.kinds[view]
        data = [
            (
                feast_values.entity_key(columns.USER_ID, user),
                {name: feast_values.value(kind, cells[name]) for name, kind in kinds.items()},
                dt.datetime.fromtimestamp(at, dt.UTC),
                None,
            )
            for user, at, cells in rows
        ]
        with answering():
            self.guard.write(self.views[view], data, [user for user, _, _ in rows])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is written meanwhile as one, where the store can: what fails leaves nothing of it."""
        with answering(), self.guard.together():
            yield

    def forgotten(self, users: Sequence[str]) -> frozenset[str]:
        """Return which of some users were forgotten."""
        with answering():
            return self.guard.among(users)

    def tombstones(self) -> frozenset[str]:
        """Return the names of the tombstones that the store has."""
        with answering():
            return self.guard.names()


def guard(config: Any, provider: Any, *, reader: Any = None) -> Guard:
    """Return what keeps forgotten people out of a store; with a `reader` of its own it answers from that provider."""
    store = store_of(config)
    marks = store.marks(config, provider)
    asked = marks if reader is None or reader is provider else store.marks(config, reader)
    return Guard(marks, asked, keys_given(), lambda: tombstone_list.read(config, os.environ))


def store_of(config: Any) -> stores.Store:
    """Return the kind of store that a configuration means; one that only Feast knows is refused."""
    found = stores.named(named := kind(config.online_store))
    if found is None:
        have = ", ".join(store.name for store in stores.STORES)
        raise ServerError(f"feast.online_store: rows cannot be taken out of a store of type '{named}'; have {have}")
    return found


class answering:  # noqa: N801 - it is used as a function, and is a class since every answer reads a row in it
    """Turn what a store's client raises when nobody answers into StoreAway; `at` is a configuration, to name it."""

    def __init__(self, at: Any = None) -> None:
        self._at = at

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is None or not isinstance(error, _away()):
            return
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreAway(f"online store{'' if self._at is None else _named(self._at)}: no answer ({said})") from error


def _named(config: Any) -> str:
    """Return kind and address, without a password."""
    at = config.online_store
    given = getattr(at, "connection_string", "") or getattr(at, "path", "") or f"{at.host}:{at.port}"
    return f" {kind(at)} at {given.partition(',')[0]}"


def _away() -> tuple[type[BaseException], ...]:
    """List what clients raise."""
    return (OSError, *(failure for store in stores.STORES for failure in store.failures()))


@contextmanager
def offline(project: str, folder: Path, *, windows_days: tuple[float, ...], people: bool = False) -> Iterator[Any]:
    """Open a throw-away store over feature files, for point-in-time retrieval: nothing outside is touched."""
    plain_feast.load()
    import ibis
    from feast import FeatureStore

    with tempfile.TemporaryDirectory() as scratch:
        settings = {
            "registry": f"{scratch}/registry.db",
            "online_store": {"type": "sqlite", "path": f"{scratch}/online.db"},
        }
        store = FeatureStore(config=config(project, settings))
        declared = views.build(folder, windows_days=windows_days, lookback=LOOKBACK, people=people)
        store.apply([*declared.all(), *services.build(declared)])
        if (memories := views.memories(folder, declared.user, lookback=LOOKBACK)) is not None:
            store.apply([memories, services.of_memories(memories)])
        try:
            yield store
        finally:
            ibis.options.default_backend = None  # Feast opens it; left open, DuckDB prints a page when Python ends
