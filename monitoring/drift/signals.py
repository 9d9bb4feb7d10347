"""What is watched of a recommender, period by period: a signal is a number with a name, and its name says its kind.

The kind decides on which scale periods are compared, how far chance alone moves a value, how large an effect is, and
from what size on it is worth a word. Values are measured in event_signals.py, frame_signals.py, model_signals.py and
request_signals.py; signal_verdicts.py judges them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from components import volumes
from components.volumes import LEAST_RATIO, TINY
from monitoring.spec import Floors

Kind = Literal["volume", "level", "share", "null", "mean", "identity", "index", "clock", "kept"]
Source = Literal["events", "features", "scores", "forecasts", "served", "labels", "shown", "requests", "rewards"]
Values = Mapping[str, "Measured"]
VOLUME: Kind = "volume"  # counts that grow with the users: compared by their ratio
LEVEL: Kind = "level"  # prices, spreads: likewise
SHARE: Kind = "share"  # 0..1, of what may well be so
NULL: Kind = "null"  # 0..1, of what should not be so
MEAN: Kind = "mean"  # compared in standard deviations of one row
IDENTITY: Kind = "identity"  # a ratio that stays as it is whatever users do: two ways to the same number
INDEX: Kind = "index"  # a ratio of like to like, which what is sold does not move: less of a change is large
CLOCK: Kind = "clock"  # an hour of the day, 0..24: compared around the clock
KEPT: Kind = "kept"  # for others to count with; never judged

# The longest prefix of a signal's name that is here says its kind; what no prefix names is a level.
KINDS: dict[str, Kind] = {
    "events.volume": VOLUME,
    "events.users": VOLUME,
    "events.sessions": VOLUME,
    "events.each": VOLUME,
    "events.total": KEPT,
    "events.null": NULL,
    "events.unknown_items": NULL,
    "events.repeats": NULL,
    "events.set_aside": NULL,
    "events.new_items": SHARE,
    "events.share": SHARE,
    "events.kind": SHARE,
    "events.discounted": SHARE,
    "events.same": SHARE,
    "events.clock": CLOCK,
    "events.hour": SHARE,
    "events.weekday": SHARE,
    "events.quantity": MEAN,
    "events.price": LEVEL,
    "events.price.index": INDEX,
    "features.mean": MEAN,
    "features.spread": LEVEL,
    "features.null": NULL,
    "features.agree": IDENTITY,
    "features.segment": SHARE,
    "scores.mean": MEAN,
    "scores.spread": LEVEL,
    "scores.distinct": LEVEL,
    "forecasts.mean": MEAN,
    "forecasts.spread": LEVEL,
    "forecasts.distinct": LEVEL,
    "served.by": KEPT,
    "served.mean": MEAN,
    "served.spread": LEVEL,
    "served.distinct": LEVEL,
    "labels.count": VOLUME,
    "labels.ratio": LEVEL,
    "labels.realised": KEPT,  # judged as labels ripen: monitoring/quality
    "requests.volume": VOLUME,
    "requests.users": VOLUME,
    "requests.modelled": SHARE,
    "requests.degraded": NULL,
    "requests.latency": LEVEL,
    "shown.items": LEVEL,
    "shown.top": SHARE,
    "shown.source": SHARE,
    "shown.share": SHARE,
    "shown.text": MEAN,
    "rewards.rate": SHARE,
}
# The longest prefix that is here says a signal's family; what no prefix names is of its source's.
FAMILIES: dict[str, str] = {
    "events.volume": "amounts",
    "events.users": "amounts",
    "events.sessions": "amounts",
    "events.each": "amounts",
    "events.users.segment": "segments",
    "features.segment": "segments",
    "events.null": "lacks",
    "events.unknown_items": "lacks",
    "events.repeats": "lacks",
    "events.set_aside": "lacks",
    "events.price": "prices",
    "events.same": "prices",
    "events.quantity": "prices",
    "events.discounted": "prices",
    "events.clock": "times",
    "events.hour": "times",
    "events.weekday": "times",
    "events.share": "goods",
    "events.kind": "goods",
    "events.new_items": "goods",
    "features.mean": "feature means",
    "features.spread": "feature spreads",
    "features.null": "feature lacks",
    "features.agree": "feature identities",
}
HOURS = 24.0
LEAST_HOURS, FLOOR_HOURS = 0.05, 0.75  # no clock is read better; a zone is off by an hour, rarely by less
NEVER_POINTS = 0.02  # of what never lacked in the reference so much is large
DESIGN = 3.0  # rows of one user are alike: a share's sampling error is that of a third of its rows
LEAST_IDENTITY = 0.002
MOST = 1e6  # effects are no larger: of something that was not there any amount is a multiple without end


@dataclass(frozen=True)
class Measured:
    """One signal's value in one period."""

    value: float
    n: float  # users, sessions or rows behind it, of which shares are shares
    spread: float | None = None  # of a mean: one row's deviation; else its standard error on the scale of its kind

    def line(self) -> list[float]:
        """Return it as files hold it."""
        return [self.value, self.n] if self.spread is None else [self.value, self.n, self.spread]


def kind_of(signal: str) -> Kind:
    """Return the kind that a signal's name says.

    >>> kind_of("events.null.value"), kind_of("events.users.segment.3"), kind_of("other")
    ('null', 'volume', 'level')
    """
    return next((KINDS[prefix] for prefix in _prefixes(signal) if prefix in KINDS), LEVEL)


def family_of(signal: str) -> str:
    """Return which signals a signal is judged with: those that tell of the same thing.

    >>> family_of("events.users"), family_of("events.users.segment.3"), family_of("scores.mean.buy")
    ('amounts', 'segments', 'scores')
    """
    return next((FAMILIES[prefix] for prefix in _prefixes(signal) if prefix in FAMILIES), source_of(signal))


def _prefixes(signal: str) -> Iterator[str]:
    """Yield how a signal's name begins, the longest first."""
    parts = signal.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def source_of(signal: str) -> str:
    """Return where a signal comes from.

    >>> source_of("events.null.value")
    'events'
    """
    return signal.partition(".")[0]


def onto_scale(kind: Kind, values: np.ndarray, *, unit: float = 1.0) -> np.ndarray:
    """Return values [P] on the scale on which periods of a kind are compared; `unit` is a row's deviation, of means.

    >>> onto_scale("share", np.array([0.0, 0.25, 1.0])).round(4).tolist()
    [0.0, 0.5236, 1.5708]
    """
    if kind in (SHARE, NULL):
        return np.asarray(np.arcsin(np.sqrt(np.clip(values, 0.0, 1.0))))
    if kind == MEAN:
        return np.asarray(values / unit)
    if kind == CLOCK:
        return np.asarray(values, dtype=np.float64)
    return volumes.on_scale(values)


def around(hours: np.ndarray | float, centre: float) -> np.ndarray:
    """Return hours of the day [P] as those nearest to one of them: 23 is an hour before 0.

    >>> around(np.array([23.0, 1.0]), 0.5).tolist()
    [-1.0, 1.0]
    """
    return np.asarray(centre + (np.asarray(hours) - centre + HOURS / 2) % HOURS - HOURS / 2)


def off_scale(kind: Kind, value: float, *, unit: float = 1.0) -> float:
    """Return a value of that scale as the signal itself says it.

    >>> round(off_scale("share", 0.5236), 4), off_scale("volume", 0.0), off_scale("mean", 2.0, unit=3.0)
    (0.25, 1.0, 6.0)
    """
    if kind in (SHARE, NULL):
        return math.sin(min(max(value, 0.0), math.pi / 2)) ** 2
    if kind == MEAN:
        return value * unit
    if kind == CLOCK:
        return value % HOURS
    return math.exp(min(value, 700.0))


def sampling_error(kind: Kind, n: float, spread: float | None) -> float:
    """Return the standard error of one period's value on that scale, from what is behind it.

    >>> round(sampling_error("share", 300, None), 4), sampling_error("mean", 400, 2.0)
    (0.05, 0.05)
    """
    if kind == IDENTITY:
        return LEAST_IDENTITY
    n = max(n, 1.0)
    if kind in (SHARE, NULL):
        return math.sqrt(DESIGN) / (2 * math.sqrt(n))
    if kind == MEAN:
        return 1 / math.sqrt(n)
    if kind in (LEVEL, INDEX):
        return max(LEAST_RATIO, math.sqrt(DESIGN / (2 * n)) if spread is None else spread)
    if kind == CLOCK:
        return max(LEAST_HOURS, HOURS / math.sqrt(n) if spread is None else spread)
    return max(LEAST_RATIO, volumes.sampling_error(n) if spread is None else spread)


def effect_of(kind: Kind, value: float, reference: float, *, unit: float = 1.0) -> float:
    """Return how far a value is from its reference: points, deviations of a mean, hours of a clock, else relative.

    >>> round(effect_of("volume", 50, 100), 6), round(effect_of("null", 0.05, 0.01), 4)
    (-0.5, 0.04)
    """
    if kind == NULL:
        return value - reference
    if kind == MEAN:
        return (value - reference) / unit
    if kind == CLOCK:
        return float(around(value, reference)) - reference
    return min((max(value, 0.0) + TINY) / (max(reference, 0.0) + TINY) - 1, MOST)


def is_worth_a_word(kind: Kind, value: float, reference: float, floors: Floors, *, unit: float = 1.0) -> bool:
    """Tell whether an effect reaches the floor of its kind. Fewer nulls are no matter.

    >>> is_worth_a_word("share", 0.03, 0.02, Floors()), is_worth_a_word("share", 0.025, 0.02, Floors())
    (True, False)
    """
    effect = effect_of(kind, value, reference, unit=unit)
    if kind == NULL:
        return effect >= floors.null
    if kind == SHARE:
        return abs(effect) >= floors.share and _at_least(abs(value - reference), floors.points)
    floor = {VOLUME: floors.volume, MEAN: floors.mean, IDENTITY: floors.identity, CLOCK: FLOOR_HOURS}.get(
        kind, floors.level
    )
    return abs(effect) >= floor


def is_large(kind: Kind, value: float, reference: float, *, unit: float = 1.0) -> bool:
    """Tell whether an effect is so large that one period of it is enough.

    A share is large where it doubled or halved by 5 points, or where what was at least a hundredth is gone altogether.

    >>> is_large("volume", 60, 100), is_large("volume", 70, 100), is_large("share", 0.0, 0.02)
    (True, False, True)
    """
    effect = effect_of(kind, value, reference, unit=unit)
    if kind == NULL:
        return _at_least(effect, NEVER_POINTS if reference == 0.0 else LARGE[NULL])
    if kind == SHARE:
        moved = value >= 2 * reference or value <= reference / 2
        return (moved and _at_least(abs(value - reference), LARGE[SHARE])) or is_gone(value, reference)
    return _at_least(abs(effect), LARGE[kind])


def is_gone(value: float, reference: float) -> bool:
    """Tell whether something that was at least a hundredth is not there at all."""
    return value == 0.0 and reference >= GONE


LARGE: dict[Kind, float] = {
    VOLUME: volumes.LARGE,
    LEVEL: 0.5,
    NULL: 0.04,
    SHARE: 0.05,
    MEAN: 1.0,
    IDENTITY: 0.1,
    INDEX: 0.15,
    CLOCK: 2.0,
    KEPT: math.inf,
}
GONE = 0.01


def _at_least(value: float, least: float) -> bool:
    return value >= least - 1e-12  # 0.03 - 0.02 is a little less than 0.01
