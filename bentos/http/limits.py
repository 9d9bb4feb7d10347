"""Rate limits by caller and scope. Counts are in memory that a door's processes share, or in Redis.

The library's own store in memory walks all callers at every hit's expiry, 0.1 ms and more; this one is a dictionary.
While Redis is away every caller is let in: limits protect the service and must not be what stops it.
"""

import functools
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import limits
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from bentos.http.problems import OVERLOADED, TOO_LARGE, refused
from bentos.http.shared_counts import SharedCounts

CALLERS = 100_000  # that are counted; the longest silent ones are forgotten
PATIENCE_S, REST_S = 0.1, 5.0  # for Redis; and how long one that failed is not asked
log = logging.getLogger("intentflow.door")


class Counted(Storage):
    """Counts of windows in this process."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float] = time.time, *, most: int = 0) -> None:
        """Count at most so many names; 0: CALLERS."""
        super().__init__()
        self._clock, self._most = clock, most or CALLERS
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()  # count, end

    @property
    def base_exceptions(self) -> type[Exception]:
        """Name what it may raise."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count a hit; return how many there are in the window."""
        count, end = self._windows.pop(key, (0, 0.0))
        if end <= (now := self._clock()):
            count, end = 0, now + expiry
        self._windows[key] = (count + amount, end)
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
        return count + amount

    def get(self, key: str) -> int:
        """Return how many hits there are."""
        count, end = self._windows.get(key, (0, 0.0))
        return count if end > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends."""
        return self._windows.get(key, (0, self._clock()))[1]

    def check(self) -> bool:
        """Tell that it works."""
        return True

    def reset(self) -> int | None:
        """Forget all."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one."""
        self._windows.pop(key, None)


class Limits:
    """Refuses callers who ask too often."""

    def __init__(
        self,
        texts: Mapping[str, str],
        *,
        store: str = "",
        shared: Path | None = None,  # folder of the door's processes
        keyed: bool = False,  # rates come with keys as well
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._items = {scope: limits.parse(text) for scope, text in texts.items()}
        self._parsed = functools.lru_cache(maxsize=256)(limits.parse)  # rates of keys, which are few
        counting = bool(self._items) or keyed
        self._here = FixedWindowRateLimiter(
            SharedCounts(shared, clock) if shared is not None and counting else Counted(clock)
        )
        self._clock, self._resting = clock, 0.0
        self._there = None
        if store and counting:
            from limits.aio.storage import RedisStorage
            from limits.aio.strategies import FixedWindowRateLimiter as Shared

            uri = f"async+{store}"
            redis = RedisStorage(
                uri, implementation="redispy", socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
            )
            self._there = Shared(redis)

    async def hit(self, scope: str, caller: str, *, cost: int = 1, rate: str = "") -> None:
        """Count what a request costs; refuse it beyond the scope's limit, or `rate`, saying when to come again.

        What is refused uses up nothing. More than a whole window's is refused for good: no time to come again helps.
        """
        item = self._parsed(rate) if rate else self._items.get(scope)
        if item is None:
            return
        if cost > max(item.amount, 1):
            raise refused("service", f"asked for {cost} at once", f"at most {item.amount} at once", status=TOO_LARGE)
        if self._there is not None and self._clock() > self._resting:
            try:
                # One that is too many changes nothing, so this is asked of dearer requests alone.
                fits = cost == 1 or await self._there.test(item, scope, caller, cost=cost)
                if fits and await self._there.hit(item, scope, caller, cost=cost):
                    return
                end = (await self._there.get_window_stats(item, scope, caller)).reset_time
            except Exception as error:  # whatever its client raises
                log.warning("limits: their store is away (%s); callers are counted here", type(error).__name__)
                self._resting = self._clock() + REST_S
                return
        else:
            fits = cost == 1 or self._here.test(item, scope, caller, cost=cost)
            if fits and self._here.hit(item, scope, caller, cost=cost):
                return
            end = self._here.get_window_stats(item, scope, caller).reset_time
        wait_s = max(1, math.ceil(end - self._clock()))
        raise refused("service", "asked too often", str(item), status=OVERLOADED).with_header(
            "Retry-After", str(wait_s)
        )
