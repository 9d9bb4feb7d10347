"""What was read a moment ago: pages ask the same several times, and logs and registries are slow to read."""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from feature_repo.errors import ServerError, UserError

log = logging.getLogger("intentflow.console")
T = TypeVar("T")


class Recent(Generic[T]):
    """Values by key, each read again once it is older than `kept_s`; one thread reads, the others wait for it.

    What is older, but no older than `stale_s`, is returned all the same while a thread reads it anew.

    >>> read = []
    >>> recent = Recent(60.0)
    >>> [recent.of("a", lambda: len(read) or read.append(1) or "new") for _ in range(2)]
    ['new', 'new']
    """

    def __init__(self, kept_s: float, *, stale_s: float = 0.0, most: int = 256) -> None:
        self._kept_s, self._stale_s, self._most = kept_s, stale_s, most
        self._lock = threading.Lock()
        self._reading: set[Hashable] = set()
        self._found: dict[Hashable, tuple[float, T]] = {}

    def of(self, key: Hashable, read: Callable[[], T]) -> T:
        """Return a value that is fresh enough; what `read` raises is kept by nobody."""
        known = self._found.get(key)
        if known is not None and self._fresh(known):
            return known[1]
        if known is not None and time.monotonic() - known[0] < self._stale_s:
            self._anew(key, read)
            return known[1]
        with self._lock:
            known = self._found.get(key)
            return known[1] if known is not None and self._fresh(known) else self._keep(key, read())

    def _fresh(self, known: tuple[float, T]) -> bool:
        return time.monotonic() - known[0] < self._kept_s

    def _keep(self, key: Hashable, made: T) -> T:
        kept = [(k, v) for k, v in self._found.items() if k != key][-self._most + 1 :]
        self._found = dict(kept) | {key: (time.monotonic(), made)}
        return made

    def _anew(self, key: Hashable, read: Callable[[], T]) -> None:
        """Read a value beside the request that found it old."""

        def work() -> None:
            try:
                made = read()
                with self._lock:
                    self._keep(key, made)
            except (UserError, ServerError) as error:
                log.warning("what a page shows was not read anew: %s", error)
            finally:
                self._reading.discard(key)

        with self._lock:
            if key in self._reading:
                return
            self._reading.add(key)
        threading.Thread(target=work, daemon=True).start()
