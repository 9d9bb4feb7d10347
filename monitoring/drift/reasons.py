"""Why a signal moved, as far as the signal itself tells: a fault of the data, the world, or the models' performance.

A fault of the data pages somebody and never trains: models would learn the broken feed. The world and performance may
train. What a broken feed does and people do not: fields and rows go missing, a unit or a clock changes, a number stands
still, labels do not arrive, features stop following from the events that they are made of.
"""

from monitoring.drift.signals import IDENTITY, NULL, VOLUME, Kind, is_gone
from monitoring.reason_classes import DATA_FAULT, PERFORMANCE, WORLD, Reason

UNIT = 5.0  # no price moves by such a factor from one period to the next; a unit or a currency does
STUCK = 0.1  # of an ordinary spread: less than that is a number that stands still
STANDING = (
    *("features.spread.", "scores.spread.", "scores.distinct", "forecasts.spread.", "forecasts.distinct"),
    *("served.spread.", "served.distinct"),
)
JUDGES = ("labels.ratio.",)
CLOCK = ("events.hour.", "events.clock")
MAY_BE_GONE = ("events.share.", "events.kind.", "events.discounted")
SAME = 0.99  # share of the events that hold one and the same number


def reason_of(signal: str, kind: Kind, value: float, reference: float, *, large: bool) -> Reason:
    """Return the class of a move.

    >>> reason_of("events.price.p50", "level", 1.2, 1.0, large=False)
    'world'
    >>> reason_of("events.price.p50", "level", 100.0, 1.0, large=True)
    'data_fault'
    """
    if signal.startswith(JUDGES):
        return PERFORMANCE
    if kind in (NULL, IDENTITY):
        return DATA_FAULT
    if signal.startswith(("events.price.", "features.spread.")) and not _like(value, reference):
        return DATA_FAULT
    if kind == VOLUME and value < reference and large:
        return DATA_FAULT  # rows, a segment, or labels that did not arrive
    if signal.startswith(CLOCK) and large:
        return DATA_FAULT
    if signal.startswith(MAY_BE_GONE) and is_gone(value, reference):
        return DATA_FAULT
    if _stands_still(signal, value, reference):
        return DATA_FAULT
    return WORLD


def may_be_explained(signal: str, kind: Kind, value: float, reference: float) -> bool:
    """Tell whether an occasion can be why a signal moved: no holiday nulls a field or changes a unit."""
    if kind in (NULL, IDENTITY) or _stands_still(signal, value, reference):
        return False
    return not signal.startswith("events.price.") or _like(value, reference)


def _stands_still(signal: str, value: float, reference: float) -> bool:
    """Tell whether what was spread is one number now."""
    if signal.startswith("events.same."):
        return value >= SAME > reference
    return signal.startswith(STANDING) and value <= STUCK * reference


def _like(value: float, reference: float) -> bool:
    """Tell whether two amounts are of one unit."""
    return reference / UNIT < value < reference * UNIT or value == reference
