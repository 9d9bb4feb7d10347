"""Every signal of a period, from what it left; and of a recommender's periods, in their order."""

from collections.abc import Iterable, Sequence

from monitoring.drift import event_signals, frame_signals, model_signals, request_signals
from monitoring.drift.observed import Observed
from monitoring.drift.signals import Measured, Values


def measure(of: Observed, before: Sequence[Values]) -> dict[str, Measured]:
    """Return a period's signals; `before` are those of the periods before it, oldest first."""
    events = event_signals.measure(of)
    return (
        events | frame_signals.measure(of, [*before, events]) | model_signals.measure(of) | request_signals.measure(of)
    )


def measured(periods: Iterable[Observed]) -> dict[int, dict[str, Measured]]:
    """Return the signals of periods by their numbers; they come in their order."""
    found: dict[int, dict[str, Measured]] = {}
    for of in periods:
        found[of.period] = measure(of, list(found.values()))
    return found
