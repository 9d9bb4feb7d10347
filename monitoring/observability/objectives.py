"""What the service promises, in numbers that alerts, dashboards and docs/observability.md share.

Availability is ours to promise; the latency bound and the shares are the defaults of the spec's `promotion.rollout`,
by which a candidate is judged too: what takes a release back is what wakes a person.
"""

from dataclasses import dataclass

from components.registry.spec import Rollout, Tolerance

DAYS = 30  # over which a budget is counted
READS = "/recommend|/intents|/rank|/explain"


@dataclass(frozen=True)
class Objective:
    """A share of answers that must be good over `DAYS`."""

    name: str
    share: float
    about: str

    @property
    def budget(self) -> float:
        """Return the share that may be bad.

        >>> Objective("a", 0.999, "").budget
        0.001
        """
        return round(1 - self.share, 6)


@dataclass(frozen=True)
class Burn:
    """A speed at which a budget is spent: seen over the long window, and still so over the short one.

    Google, The Site Reliability Workbook, chapter 5: multi-window, multi-burn-rate alerts.
    """

    rate: float  # times the speed that spends exactly the budget in DAYS
    long: str
    short: str
    severity: str
    spent: str  # of the budget, when the long window is full


SLOW_S = Rollout().slow_ms / 1000
DEGRADED = Tolerance().degraded
AVAILABILITY = Objective("availability", 0.999, "reads that are answered without a fault of ours (5xx)")
LATENCY = Objective("latency", 0.99, f"reads that are answered within {SLOW_S:g} s")
OBJECTIVES = (AVAILABILITY, LATENCY)
BURNS = (
    Burn(14.4, "1h", "5m", "critical", "2 % in an hour"),
    Burn(6, "6h", "30m", "critical", "5 % in six hours"),
    Burn(3, "1d", "2h", "warning", "10 % in a day"),
    Burn(1, "3d", "6h", "warning", "10 % in three days"),
)
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FEWEST = 100  # answers in the long window, below which a share says little
STUCK_S = 2 * Rollout().wait_s  # a step waits `wait_s` for its answers at most
