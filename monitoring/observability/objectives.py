"""What a service promises, in numbers that alerts, dashboards and docs/observability.md share.

Availability is ours to promise. The latency bound and the shares are those of the spec's `promotion.rollout`, by which
a candidate is judged too: what takes a release back is what wakes a person. The committed rules and the dashboards hold
the spec's defaults (`DEFAULT`); pipelines/manifests/alert_rules.py makes the rules of one recommender's own spec.
"""

from dataclasses import dataclass

from components.registry.spec import Rollout
from feature_repo.endpoints import paths

DAYS = 30  # over which a budget is counted
READS = "|".join(paths("read"))  # a regular expression


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


@dataclass(frozen=True)
class Promises:
    """What one recommender's service promises, and whose series are held to it."""

    slow_s: float  # an answer that takes longer is slow; a bucket of both latency histograms
    degraded: float  # share of answers that may come from a lower rung since something failed
    stuck_s: float  # longest time of a rollout in one phase
    namespace: str = ""  # of the recommender; '': of every recommender that Prometheus sees

    @property
    def availability(self) -> Objective:
        """Return how many reads must be answered."""
        return Objective("availability", 0.999, "reads that are answered without a fault of ours (5xx)")

    @property
    def latency(self) -> Objective:
        """Return how many reads must be answered quickly."""
        return Objective("latency", 0.99, f"reads that are answered within {self.slow_s:g} s")

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return all of them."""
        return (self.availability, self.latency)


def promises(rollout: Rollout, *, namespace: str = "") -> Promises:
    """Return what a spec's `promotion.rollout` promises.

    >>> promises(Rollout(slow_ms=250)).latency.about
    'reads that are answered within 0.25 s'
    """
    return Promises(
        slow_s=rollout.slow_ms / 1000,
        degraded=rollout.tolerance.degraded,
        stuck_s=2 * rollout.wait_s,  # a step waits `wait_s` for its answers at most
        namespace=namespace,
    )


DEFAULT = promises(Rollout())
BURNS = (
    Burn(14.4, "1h", "5m", "critical", "2 % in an hour"),
    Burn(6, "6h", "30m", "critical", "5 % in six hours"),
    Burn(3, "1d", "2h", "warning", "10 % in a day"),
    Burn(1, "3d", "6h", "warning", "10 % in three days"),
)
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FEWEST = 100  # answers in the long window, below which a share says little
