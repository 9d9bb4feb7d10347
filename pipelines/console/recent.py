"""What was read a moment ago: pages ask the same several times, and logs and registries are slow to read."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Values by key, each read again once it is older than `kept_s`; one thread reads, the others wait for it.

    >>> read = []
    >>> recent = Recent(60.0)
    >>> [recent.of("a", lambda: len(read) or read.append(1) or "new") for _ in range(2)]
    ['new', 'new']
    """

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._found: dict[Hashable, tuple[float, T]] = {}

    def of(self, key: Hashable, read: Callable[[], T]) -> T:
        """Return a value that is fresh enough; what `read` raises is kept by nobody."""
        with self._lock:
            now = time.monotonic()
            known = self._found.get(key)
            if known is not None and now - known[0] < self._kept_s:
                return known[1]
            self._found = {k: v for k, v in self._found.items() if now - v[0] < self._kept_s}
            made = read()
            self._found[key] = time.monotonic(), made
            return made
