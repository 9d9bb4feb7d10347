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
from components.volumes import LEAST, REFERENCE
from monitoring.drift import reasons, references
from monitoring.drift.occasions import a_year_before
from monitoring.drift.references import STRAYS, Past
from monitoring.drift.signals import (
    KEPT,
    SHARE,
    Measured,
    effect_of,
    family_of,
    is_large,
    is_worth_a_word,
    kind_of,
    off_scale,
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
    off: np.ndarray  # float64 [P, S]: how far from the median before it, on the scale of its kind; NaN: not judged
    usable: np.ndarray  # bool [P, S]
    moves: list[list[Move]]  # by period
    judged: np.ndarray  # int64 [P] signals that had a reference

    def widened(self, signals: int) -> "Replay":
        """Return a copy with room for more signals, to be judged on from."""
        more = ((0, 0), (0, signals - self.side.shape[1]))
        side, usable = np.pad(self.side, more), np.pad(self.usable, more, constant_values=True)
        off = np.pad(self.off, more, constant_values=np.nan)
        return Replay(side, off, usable, list(self.moves), self.judged.copy())


def replay(
    table: Table, spec: Signals, *, known: Replay | None = None, start: int = 0, stop: int | None = None
) -> Replay:
    """Judge periods in their order, from row `start` to before `stop`; `known` is what the rows before it gave."""
    shape = table.value.shape
    state = (
        Replay(np.zeros(shape, dtype=np.int8), np.full(shape, np.nan), np.ones(shape, dtype=bool),
               [[] for _ in range(shape[0])], np.zeros(shape[0], dtype=np.int64))
        if known is None else known.widened(shape[1])
    )  # fmt: skip
    for row in range(start, shape[0] if stop is None else stop):
        state.side[row], state.usable[row], state.off[row] = 0, True, np.nan
        state.moves[row], state.judged[row] = _moves(table, row, state, spec)
        for move in state.moves[row]:
            state.side[row, move.signal], state.usable[row, move.signal] = move.side, False
            _settle(table, row, move, state)
    return state


def _moves(table: Table, row: int, state: Replay, spec: Signals) -> tuple[list[Move], int]:
    """Return what moved in a period, and how many signals had a reference."""
    found = []
    for s in range(len(table.names)):
        past = past_of(table, row, s, state)
        if past is not None:
            one = references.seen(past)
            state.off[row, s] = one.off
            found.append((s, past, one))
    told = verdicts.discoveries_by_family(
        [one.p for _, _, one in found], [family_of(past.name) for _, past, _ in found], rate=spec.false_share
    )
    moves = []
    for (s, past, one), rare in zip(found, told, strict=True):
        kind, value, unit = past.kind, past.value, one.unit
        if rare and is_worth_a_word(kind, value, one.reference, spec.floors, unit=unit):
            low, high = (off_scale(kind, end, unit=unit) for end in one.of.interval())
            moves.append(
                Move(
                    s, value, one.reference, (low, high), effect_of(kind, value, one.reference, unit=unit), one.p,
                    1 if one.off > 0 else -1, is_large(kind, value, one.reference, unit=unit),
                )
            )  # fmt: skip
    return moves, len(found)


def past_of(table: Table, row: int, s: int, state: Replay) -> Past | None:
    """Return a signal's newest value with what is behind it; None where that is too little to judge by."""
    name, kind, value = table.names[s], kind_of(table.names[s]), float(table.value[row, s])
    behind = np.flatnonzero(np.isfinite(table.value[:row, s]) & state.usable[:row, s])[-REFERENCE:]
    if not np.isfinite(value) or len(behind) < LEAST:
        return None
    if kind == SHARE and value < RISEN and np.median(table.value[behind, s]) < SEEN:
        return None
    strays = state.off[:row, s][state.usable[:row, s]]
    past = Past(
        name, kind, value, float(table.n[row, s]), float(table.spread[row, s]), table.value[behind, s],
        table.n[behind, s], table.spread[behind, s], strays[np.isfinite(strays)][-STRAYS:],
        float(table.value[row - 1, s]), float(state.off[row - 1, s]), table.days,
    )  # fmt: skip
    return None if past.is_few and not past.is_countable else past


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
