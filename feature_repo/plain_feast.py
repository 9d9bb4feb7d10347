"""Import Feast without having its classes compiled a second time.

Feast has typeguard rewrite the methods of its classes whenever it is imported, so that they check their arguments: more
than half of the seconds that importing it takes, in every door, step and command. What this repository hands to Feast,
its own tests check. Whoever may be the first of a process to import Feast calls `load` before.
"""

import sys
import threading
from typing import Any

from feature_repo import lazy_torch

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
            import feast  # noqa: F401
        finally:
            typeguard.typechecked = checked


def _as_written(target: Any = None, **_: Any) -> Any:
    """Stand in for typeguard's decorator, with arguments or without."""
    return _as_written if target is None else target
