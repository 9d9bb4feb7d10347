"""Judge periods, each signal against its own last periods, and say what moved: when, to which side, since when, why.

A reference is the median of the last `REFERENCE` periods in which the signal was not extraordinary itself; how far
periods stray is their median absolute deviation, no less than one period's sampling error. Surprises of all signals of
a period are judged together, at a false discovery rate, and what is left must be worth a word (signals.py). A move is
an alarm `now` where it is large, `lasting` where two of three periods moved to the same side, and else information.

What moved and stays is ordinary in the end: after `SETTLED` periods on the same side the reference begins there. A
fault of the data is not: a feed that nobody mended would be called ordinary, and the mended one extraordinary. A person
says that it is meant (`signals.accepted`).

Letters: P periods, S signals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from components import verdicts
from components.verdicts import Ordinary
from components.volumes import LEAST, LEAST_BEHIND, REFERENCE, TINY
from feature_repo import columns
from monitoring.drift import reasons
from monitoring.drift.occasions import a_year_before
from monitoring.drift.signals import (
    CLOCK,
    DESIGN,
    KEPT,
    LEVEL,
    MEAN,
    NULL,
    SHARE,
    Kind,
    Measured,
    around,
    effect_of,
    family_of,
    is_large,
    is_worth_a_word,
    kind_of,
    off_scale,
    onto_scale,
    sampling_error,
    source_of,
)
from monitoring.drift.watch_record import SignalVerdict
from monitoring.reason_classes import DATA_FAULT, INFORMATION, LASTING, NONE, NOW, REASONS, UNDECIDED, Class, When
from monitoring.spec import Signals

SETTLED = 6
SEEN, RISEN = (
    0.01,
    0.03,
)  # shares below are no signals of their own, unless they rise: a shop has hundreds of categories
# Who acts in a period, and how, is drawn anew in each; rows of users overlap from one to the next, and stray otherwise.
DRAWN_ANEW = ("events", "labels", "requests", "rewards", "shown")
LASTS, OF = 2, 3  # periods that moved to the same side, of the last
Explains = Callable[[str, int], str]  # a signal and a period: the occasion that explains a move, or ''


@dataclass(frozen=True)
class Table:
    """Signals by period; what was not measured is NaN."""

    periods: tuple[int, ...]  # numbers, ascending [P]
    names: tuple[str, ...]  # [S]
    value: np.ndarray  # float64 [P, S]
    n: np.ndarray
    spread: np.ndarray
    days: int  # of a period

    @classmethod
    def of(cls, history: Mapping[int, Mapping[str, Measured]], *, days: int) -> "Table":
        """Lay out what was measured, by period number."""
        periods = tuple(sorted(history))
        names = tuple(dict.fromkeys(n for p in periods for n in history[p] if kind_of(n) != KEPT))
        place = {name: s for s, name in enumerate(names)}
        value, n, spread = (np.full((len(periods), len(names)), np.nan) for _ in range(3))
        for row, period in enumerate(periods):
            for name, measured in history[period].items():
                if name in place:
                    at = row, place[name]
                    value[at], n[at] = measured.value, measured.n
                    spread[at] = np.nan if measured.spread is None else measured.spread
        return cls(periods, names, value, n, spread, days)

    def with_row(self, row: int, values: Mapping[str, Measured]) -> "Table":
        """Return the table with other values of one period; what they lack was not measured."""
        other = Table.of({self.periods[row]: values}, days=self.days)
        place = {name: s for s, name in enumerate(other.names)}
        names = self.names + tuple(name for name in other.names if name not in self.names)

        def replaced(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
            wide = np.pad(mine, ((0, 0), (0, len(names) - len(self.names))), constant_values=np.nan)
            wide[row] = [theirs[0, place[name]] if name in place else np.nan for name in names]
            return wide

        value, n = replaced(self.value, other.value), replaced(self.n, other.n)
        return Table(self.periods, names, value, n, replaced(self.spread, other.spread), self.days)


@dataclass(frozen=True)
class Move:
    """A signal that moved in a period, before what it means is known."""

    signal: int
    value: float
    reference: float
    interval: tuple[float, float]
    effect: float
    p: float
    side: int  # 1 up, -1 down
    large: bool


@dataclass
class Replay:
    """What is known after some periods were judged in their order: what moved, and which values make references."""

    side: np.ndarray  # int8 [P, S]; 0: it did not move
    usable: np.ndarray  # bool [P, S]
    moves: list[list[Move]]  # by period
    judged: np.ndarray  # int64 [P] signals that had a reference

    def widened(self, signals: int) -> "Replay":
        """Return a copy with room for more signals, to be judged on from."""
        more = ((0, 0), (0, signals - self.side.shape[1]))
        side, usable = np.pad(self.side, more), np.pad(self.usable, more, constant_values=True)
        return Replay(side, usable, list(self.moves), self.judged.copy())


def replay(
    table: Table, spec: Signals, *, known: Replay | None = None, start: int = 0, stop: int | None = None
) -> Replay:
    """Judge periods in their order, from row `start` to before `stop`; `known` is what the rows before it gave."""
    shape = table.value.shape
    state = (
        Replay(np.zeros(shape, dtype=np.int8), np.ones(shape, dtype=bool), [[] for _ in range(shape[0])],
               np.zeros(shape[0], dtype=np.int64))
        if known is None else known.widened(shape[1])
    )  # fmt: skip
    for row in range(start, shape[0] if stop is None else stop):
        state.side[row], state.usable[row] = 0, True
        state.moves[row], state.judged[row] = _moves(table, row, state, spec)
        for move in state.moves[row]:
            state.side[row, move.signal], state.usable[row, move.signal] = move.side, False
            _settle(table, row, move, state)
    return state


def _moves(table: Table, row: int, state: Replay, spec: Signals) -> tuple[list[Move], int]:
    """Return what moved in a period, and how many signals had a reference."""
    found, surprises = [], []
    for s, name in enumerate(table.names):
        value = float(table.value[row, s])
        behind = np.flatnonzero(np.isfinite(table.value[:row, s]) & state.usable[:row, s])[-REFERENCE:]
        if not np.isfinite(value) or len(behind) < LEAST:
            continue
        if np.median(table.n[behind, s]) < LEAST_BEHIND:
            continue
        kind = kind_of(name)
        if kind == SHARE and value < RISEN and np.median(table.value[behind, s]) < SEEN:
            continue
        of, unit = ordinary_of(table, behind, s, kind, own=float(table.spread[row, s]))
        scaled = float(onto_scale(kind, np.asarray([value]), unit=unit)[0])
        if kind == CLOCK:
            scaled = float(around(scaled, of.centre))
        found.append((s, kind, value, scaled, of, unit))
        surprises.append(_surprise(table, row, behind, s, kind, scaled, of))
    told = verdicts.discoveries_by_family(
        surprises, [family_of(table.names[one[0]]) for one in found], rate=spec.false_share
    )
    moves = []
    for (s, kind, value, scaled, of, unit), p, rare in zip(found, surprises, told, strict=True):
        reference = off_scale(kind, of.centre, unit=unit)
        if rare and is_worth_a_word(kind, value, reference, spec.floors, unit=unit):
            low, high = (off_scale(kind, end, unit=unit) for end in of.interval())
            moves.append(
                Move(
                    s, value, reference, (low, high), effect_of(kind, value, reference, unit=unit), p,
                    1 if scaled > of.centre else -1, is_large(kind, value, reference, unit=unit),
                )
            )  # fmt: skip
    return moves, len(found)


def _surprise(table: Table, row: int, behind: np.ndarray, s: int, kind: Kind, scaled: float, of: Ordinary) -> float:
    """Return how probable a value so far off is; of what never lacked before by counting, which needs no scale."""
    if kind == NULL and table.value[row, s] > 0 and not table.value[behind, s].any():
        n = float(table.n[row, s]) / DESIGN
        return verdicts.never_before(float(table.value[row, s]) * n, n, float(table.n[behind, s].sum()) / DESIGN)
    return verdicts.surprise(scaled, of)


def ordinary_of(table: Table, behind: np.ndarray, s: int, kind: Kind, *, own: float) -> tuple[Ordinary, float]:
    """Return what is ordinary of a signal, on the scale of its kind, and the unit of that scale."""
    spreads = table.spread[behind, s]
    spread = float(np.nanmedian(spreads)) if np.isfinite(spreads).any() else None
    unit = spread if kind == MEAN and spread and spread > TINY else 1.0  # rounding is no deviation
    least = sampling_error(kind, float(np.median(table.n[behind, s])), spread)
    if kind in (LEVEL, CLOCK) and np.isfinite(own):
        least = max(least, own)
    values = onto_scale(kind, table.value[behind, s], unit=unit)
    if kind == CLOCK:
        values = around(values, float(values[-1]))
    of, strays = verdicts.ordinary(values, least_scale=least), verdicts.ordinary(values).scale
    apart = independent(table.names[s], kind, len(behind), days=table.days)
    if source_of(table.names[s]) in DRAWN_ANEW:
        apart = known_by(apart, strays, of.scale, users=float(np.median(table.n[behind, s])) / DESIGN)
    return Ordinary(of.centre, of.scale, apart), unit


def known_by(periods: int, strays: float, scale: float, *, users: float) -> int:
    """Return by how many periods a scale is known: where it is one period's sampling error, by the users behind that.

    Periods know the variance of their strays by as many degrees as they are, and that is but a part of the scale's:
    the degrees grow with the square of what it is smaller by (Satterthwaite 1946), to those of the users at most.

    >>> known_by(12, 0.1, 0.1, users=200), known_by(12, 0.1, 0.15, users=200), known_by(12, 0.0, 0.1, users=30)
    (12, 57, 30)
    """
    most = max(float(periods), users)
    if scale <= strays or scale <= 0:
        return periods
    return round(min(1 + (periods - 1) * (scale / max(strays, TINY)) ** 4, most))


def independent(signal: str, kind: Kind, periods: int, *, days: int) -> int:
    """Return how many of some periods tell of how far a signal strays: means of a window overlap from one to the next.

    Twelve weeks of a mean over 28 days are three such windows, and their deviation is known by so few.

    >>> [independent(f"features.mean.value_{days}d", MEAN, 12, days=7) for days in (28, 7)]
    [3, 12]
    """
    window = columns.window_of(signal.rpartition(".")[2]) if kind == MEAN else None
    if window is None or window[1] <= days:
        return periods
    return max(round(periods * days / window[1]), 2)


def _settle(table: Table, row: int, move: Move, state: Replay) -> None:
    """Begin the reference anew where a signal has stood on one side for `SETTLED` periods, and is no fault."""
    s, name = move.signal, table.names[move.signal]
    if reasons.reason_of(name, kind_of(name), move.value, move.reference, large=move.large) == DATA_FAULT:
        return
    held = np.flatnonzero(np.isfinite(table.value[: row + 1, s]))[-SETTLED:]
    if len(held) == SETTLED and (state.side[held, s] == move.side).all():
        state.usable[:, s] = False
        state.usable[held, s] = True
        state.usable[row + 1 :, s] = True


def verdicts_of(
    table: Table, row: int, state: Replay, *, days: int, starts: Callable[[int], str], explains: Explains
) -> tuple[SignalVerdict, ...]:
    """Say what moved in a period: alarms first, then what is explained, then information, each surest first."""
    found = [
        _verdict(table, row, move, state, days=days, starts=starts, explains=explains) for move in state.moves[row]
    ]
    rank: dict[str, int] = {reason: place for place, reason in enumerate(REASONS)}
    return tuple(
        sorted(found, key=lambda v: (not v.alarm, v.when == INFORMATION, rank[v.reason], v.when != NOW, v.p, v.signal))
    )


def _verdict(
    table: Table, row: int, move: Move, state: Replay, *, days: int, starts: Callable[[int], str], explains: Explains
) -> SignalVerdict:
    name, period = table.names[move.signal], table.periods[row]
    kind = kind_of(name)
    lately = state.side[max(row - OF + 1, 0) : row + 1, move.signal]
    lasts = int((lately == move.side).sum()) >= LASTS
    when: When = NOW if move.large else LASTING if lasts else INFORMATION
    since = table.periods[_since(table, row, move, state)]
    reason, explained = reasons.reason_of(name, kind, move.value, move.reference, large=move.large), ""
    if reasons.may_be_explained(name, kind, move.value, move.reference):
        explained = explains(name, period)
        if not explained and reason != DATA_FAULT:  # a feed that broke a year ago does not excuse today's
            explained = _last_year(table, period, move, state, days)
    direction: Literal["up", "down"] = "up" if move.side > 0 else "down"
    return SignalVerdict(
        name, source_of(name), kind, move.value, move.reference, move.interval, move.effect, move.p, direction,
        since, starts(since), when, reason, explained,
    )  # fmt: skip


def _since(table: Table, row: int, move: Move, state: Replay) -> int:
    """Return the row where a move began: one quiet period in between does not end it."""
    first = row
    for earlier in range(row - 1, -1, -1):
        if not np.isfinite(table.value[earlier, move.signal]):
            continue
        if state.side[earlier, move.signal] == move.side:
            first = earlier
        elif first - earlier >= OF - 1:
            break
    return first


def _last_year(table: Table, period: int, move: Move, state: Replay, days: int) -> str:
    """Say that a signal moved to the same side in the same season last year."""
    rows = [row for row, number in enumerate(table.periods) if number in a_year_before(period, days=days)]
    moved = (state.side[rows, move.signal] == move.side).any() if rows else False
    return "the same season last year" if moved else ""


def class_of(found: Sequence[SignalVerdict], *, judged: int) -> Class:
    """Return the class of a period: that of its worst alarm.

    >>> class_of([], judged=0), class_of([], judged=90)
    ('undecided', 'none')
    """
    if not judged:
        return UNDECIDED
    alarms = {v.reason for v in found if v.alarm}
    worst: Class | None = next((reason for reason in REASONS if reason in alarms), None)
    return worst or NONE
