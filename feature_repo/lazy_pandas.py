"""A process without pandas until something computes with it: Feast and pyarrow take it along for tables of their own.

That is 30 MiB and a quarter of a second of a door, which reads rows and makes no table. pyarrow looks for pandas once
and is told that there is none; its `to_pandas` looks again. While `deferred` lasts, a module that is imported gets a
stand-in: class and module bodies, which only name pandas' classes in annotations, get empty classes; a function that
asks for something gets the real thing, and with it the whole of pandas. Call both before anything makes a table.
"""

import importlib
import inspect
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

PANDAS = "pandas"


def unknown_to_arrow() -> None:
    """Let pyarrow look for pandas, which the first value that it makes has it do, and find none."""
    if PANDAS in sys.modules:
        return
    sys.meta_path.insert(0, _None)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(_None)


@contextmanager
def deferred() -> Iterator[None]:
    """Let modules that are imported meanwhile do without pandas; where it is imported already, change nothing."""
    if PANDAS in sys.modules:
        yield
        return
    stand_in = sys.modules[PANDAS] = _Lazy(PANDAS, __doc__)
    try:
        yield
    finally:
        if sys.modules.get(PANDAS) is stand_in:
            del sys.modules[PANDAS]


class _None:
    """A finder by which there is no pandas."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == PANDAS:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


class _Lazy(types.ModuleType):
    """What stands in for pandas."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        stands_in, here = sys.modules.get(PANDAS) is self, inspect.currentframe()
        asks = None if here is None else here.f_back
        if stands_in and asks is not None and not asks.f_code.co_flags & inspect.CO_OPTIMIZED:  # no function's code
            return type(name, (), {})
        if stands_in:
            del sys.modules[PANDAS]
        return getattr(importlib.import_module(PANDAS), name)
