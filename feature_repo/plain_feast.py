"""Import Feast without what a process that reads rows has no use for, and without compiling its classes a second time.

Feast has typeguard rewrite the methods of its classes whenever it is imported, so that they check their arguments: more
than half of the seconds that importing it takes, in every door, step and command. What this repository hands to Feast,
its own tests check. And `import feast` takes its FeatureStore along, with SQLAlchemy, web servers and token readers: it
is imported when somebody asks for it. Whoever may be the first of a process to import Feast calls `load` before.
"""

import importlib
import re
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from feature_repo import lazy_torch

LATER = {"FeatureStore": "feast.feature_store", "FeastVectorStore": "feast.vector_store"}  # the one is of the other
OPERATIONS = "feast.repo_operations"  # its RepoConfig asks there whether a project's name is one
WEB = "fastapi"  # Feast's errors take the names of HTTP's statuses from it, which it has from Starlette
_LOADING = threading.Lock()


def load() -> None:
    """Import Feast, its methods as they are written; where it is there already, do nothing."""
    if "feast" in sys.modules:  # or on its way: who imports it waits for it
        return
    with _LOADING:
        if "feast" in sys.modules:
            return
        import typeguard

        lazy_torch.defer()
        checked = typeguard.typechecked
        typeguard.typechecked = _as_written
        try:
            with ExitStack() as stand_ins:
                for name, module in LATER.items():
                    stand_ins.enter_context(_without(module, **{name: object}))
                stand_ins.enter_context(_without(WEB, status=importlib.import_module("starlette.status")))
                import feast
        finally:
            typeguard.typechecked = checked
        for name, module in LATER.items():
            vars(feast).pop(name, None)
            vars(feast).pop(module.rpartition(".")[2], None)
        feast.__getattr__ = _later


def repo_config(document: Mapping[str, Any]) -> Any:
    """Return Feast's RepoConfig of a document, without importing its command line's operations for it."""
    load()
    from feast import RepoConfig

    with _LOADING, _without(OPERATIONS, is_valid_name=is_valid_name):
        return RepoConfig(**document)


def is_valid_name(name: str) -> bool:
    """Say whether Feast takes a project's name, as `feast.repo_operations` does.

    >>> is_valid_name("tea_shop_v012345"), is_valid_name("_tea"), is_valid_name("tea-shop")
    (True, False, True)
    """
    return not name.startswith(("_", "-")) and re.search(r"[^\w-]", name) is None


@contextmanager
def _without(module: str, **names: Any) -> Iterator[None]:
    """Put these names in the place of a module that is not imported yet, for the time of another's import."""
    if module in sys.modules:
        yield
        return
    stand_in = types.ModuleType(module)
    vars(stand_in).update(names)
    sys.modules[module] = stand_in
    try:
        yield
    finally:
        del sys.modules[module]


def _later(name: str) -> Any:
    """Return what Feast lacks until somebody asks for it."""
    if name in LATER:
        return getattr(importlib.import_module(LATER[name]), name)
    raise AttributeError(f"module 'feast' has no attribute '{name}'")


def _as_written(target: Any = None, **_: Any) -> Any:
    """Stand in for typeguard's decorator, with arguments or without."""
    return _as_written if target is None else target
