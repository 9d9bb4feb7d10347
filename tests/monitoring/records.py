"""Made records of a watch: signals that moved, and the history behind them."""

from typing import Any

from monitoring.drift.watch_record import PeriodValues, SignalVerdict, WatchRecord


def moved(signal: str = "events.null.value", **changed: Any) -> SignalVerdict:
    """Return a signal that moved; by default a twentieth of the events lack a value."""
    found = {
        "signal": signal,
        "source": signal.partition(".")[0],
        "kind": "null",
        "value": 0.052,
        "reference": 0.002,
        "interval": (0.001, 0.004),
        "effect": 0.05,
        "p": 1e-9,
        "direction": "up",
        "since": 41,
        "since_starts": "2017-10-02T00:00:00+00:00",
        "when": "now",
        "reason": "data_fault",
        "explained_by": "",
    }
    return SignalVerdict(**found | changed)


def record(*verdicts: SignalVerdict, reason: str = "data_fault", **changed: Any) -> WatchRecord:
    """Return what a watch said of the week of 9 October 2017."""
    found = {
        "name": "shop",
        "period": 42,
        "starts": "2017-10-09T00:00:00+00:00",
        "release": "3",
        "at": 1_507_600_000,
        "reason": reason,
        "verdicts": verdicts,
        "judged": 95,
        "periods": 30,
    }
    return WatchRecord(**found | changed)


def past(signal: str, *values: float) -> list[PeriodValues]:
    """Return a history of one signal, a value a week up to the week of 9 October 2017."""
    days = [f"2017-{month:02d}-{day:02d}T00:00:00+00:00" for month, day in WEEKS[-len(values) :]]
    return [PeriodValues(at, "3", 0, {signal: [value, 400.0]}) for at, value in zip(days, values, strict=True)]


WEEKS = (
    (6, 19), (6, 26), (7, 3), (7, 10), (7, 17), (7, 24), (7, 31), (8, 7), (8, 14), (8, 21), (8, 28), (9, 4), (9, 11),
    (9, 18), (9, 25), (10, 2), (10, 9),
)  # fmt: skip
