"""Replay a recommender's own history: how often the watch would have called, and what it would have noticed.

Every period with enough history before it is judged as the newest one would be. A period without a declared occasion
in its days is ordinary, and an alarm in it is a false one. Into some ordinary periods each fault of plants.py is
planted, for two periods running. Parts of the users are judged as shops of their own. Evidently's own defaults compare
each period with those before it, beside ours.

Floors are proposed from the earlier part of the periods alone (`FROZEN`), so that the later part can judge them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import special

from components.volumes import REFERENCE
from monitoring.drift import event_signals, evidently_default, frame_signals, model_signals, references
from monitoring.drift.measuring import measure
from monitoring.drift.observed import Observed, of_users
from monitoring.drift.occasions import as_accepted, explanation
from monitoring.drift.period_reader import Periods
from monitoring.drift.plants import PLANTS, Plant
from monitoring.drift.signal_verdicts import Replay, Table, class_of, past_of, replay, verdicts_of
from monitoring.drift.signals import Measured, effect_of, family_of, kind_of, off_scale
from monitoring.drift.watch_record import SignalVerdict
from monitoring.spec import Floors, Monitoring

FROZEN = 0.66  # share of the periods, the earlier ones, that floors are proposed from: weeks to 35 of 53
ONSETS = 6
NEARLY = 0.9  # of the signals have a reference in a period that is judged
RUNS = 2  # periods that a plant lasts
SHOPS = (0.12, 0.16, 0.2, 0.24, 0.32, 0.4, 0.48, 0.56, 0.65)  # of the users
USUAL = 0.99  # of the effects that ordinary periods have lie below a proposed floor
History = dict[int, dict[str, Measured]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Noticed:
    """What became of one plant over its onsets."""

    plant: str
    reason: str
    onsets: int
    window: int | None  # in which most onsets were noticed first; None: most never were
    first: int  # onsets that were noticed in the first window
    within: int  # … within RUNS windows
    as_planted: int  # … of those, with the class of the plant
    signals: tuple[str, ...]  # that told it most often
    surest: float  # how probable by chance the signal is that it moved most surely in its first window, median onset


@dataclass(frozen=True)
class Calibration:
    """What a replay came to."""

    windows: int  # ordinary periods that were judged
    false_alarms: int
    later_windows: int  # of those, after FROZEN
    later_false_alarms: int
    alarms: tuple[tuple[str, tuple[str, ...]], ...]  # ordinary periods with alarms, by their start
    explained: tuple[str, ...]  # periods whose alarms an occasion explains
    by_signal: Mapping[str, int]  # false alarms
    shops: Mapping[str, int]  # windows and alarms of the parts of the users
    power: tuple[Noticed, ...]
    least_effects: Mapping[str, float]  # by kind: the smallest effect that one period of it would show, median signal
    floors: Floors  # proposed
    evidently: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        told = asdict(self) | {"floors": self.floors.model_dump(mode="json")}
        evidently = told.pop("evidently")
        told["power"] = {one.plant: one.window for one in self.power}
        told["plants"] = [asdict(one) for one in self.power]
        return told | {"evidently_default": evidently}


def calibrate(
    periods: Periods, spec: Monitoring, *, say: Say = lambda line: None, evidently: bool = True
) -> Calibration:
    """Replay, plant and compare; some minutes for a year of a shop of thousands of users."""
    say(f"reading {len(periods.numbers)} periods")
    observed = {number: periods.observed(number) for number in periods.numbers}
    clean = _measured(observed)
    world = _World(periods, spec, observed, clean)
    judged = world.judged_rows()
    ordinary = [row for row in judged if not world.occasion(row)]
    alarms = {row: [v for v in world.verdicts(row) if v.alarm] for row in judged}
    false = [row for row in ordinary if alarms[row]]
    later = [row for row in ordinary if row >= FROZEN * len(world.table.periods)]
    say(f"{len(false)} alarms in {len(ordinary)} ordinary periods; planting {len(PLANTS)} faults")
    quiet = [row for row in ordinary if not alarms[row] and row + 1 in ordinary and not alarms[row + 1]]
    onsets = [quiet[round(place)] for place in np.linspace(0, len(quiet) - 1, min(ONSETS, len(quiet)))] if quiet else []
    power = tuple(found for plant in PLANTS if (found := world.noticed(plant, onsets)) is not None)
    say("judging parts of the users as shops of their own")
    shops = _shops(world)
    return Calibration(
        windows=len(ordinary),
        false_alarms=len(false),
        later_windows=len(later),
        later_false_alarms=len([row for row in false if row in later]),
        alarms=tuple((periods.starts(world.table.periods[r]), tuple(v.signal for v in alarms[r])) for r in false),
        explained=tuple(
            periods.starts(world.table.periods[row])
            for row in judged
            if any(v.explained_by and v.when != "information" for v in world.verdicts(row))
        ),
        by_signal=dict(Counter(v.signal for row in false for v in alarms[row]).most_common()),
        shops=shops,
        power=power,
        least_effects=_least_effects(world, spec),
        floors=_floors(world),
        evidently=evidently_default.compared(world.of_rows(judged), ordinary, onsets, say=say) if evidently else {},
    )


class _World:
    """A recommender's periods, measured and judged once, to plant faults into."""

    def __init__(self, periods: Periods, spec: Monitoring, observed: Mapping[int, Observed], clean: History) -> None:
        self.periods, self.spec, self.observed, self.clean = periods, spec, observed, clean
        self.table = Table.of(as_accepted(clean, spec.signals.accepted, calendar=periods.calendar), days=periods.days)
        self.state = replay(self.table, spec.signals)

    def judged_rows(self) -> list[int]:
        """Return the rows with a whole reference behind them, of nearly as many signals as is usual."""
        judged = self.state.judged
        usual = float(np.median(judged[judged > 0])) if (judged > 0).any() else np.inf
        return [row for row in range(REFERENCE, len(self.table.periods)) if judged[row] >= NEARLY * usual]

    def of_rows(self, rows: Sequence[int]) -> dict[int, Observed]:
        """Return the periods up to the last of some rows, by row."""
        last = max(rows, default=-1)
        return {row: self.observed[number] for row, number in enumerate(self.table.periods) if row <= last}

    def occasion(self, row: int) -> str:
        """Name what is declared for the days of a period."""
        return self.explains("events.volume", self.table.periods[row])

    def explains(self, signal: str, period: int) -> str:
        """Name the occasion that explains a move."""
        return explanation(signal, period, calendar=self.periods.calendar, declared=self.spec.calendar)

    def verdicts(self, row: int, table: Table | None = None, state: Replay | None = None) -> tuple[SignalVerdict, ...]:
        """Say what moved in a period."""
        table, state = table or self.table, state or self.state
        return verdicts_of(
            table, row, state, days=self.periods.days, starts=self.periods.starts, explains=self.explains
        )

    def noticed(self, plant: Plant, onsets: Sequence[int]) -> Noticed | None:
        """Plant a fault at each onset, for RUNS periods; None where this recommender has no such thing."""
        windows: list[int | None] = []
        right, told, surest = 0, Counter[str](), []
        for onset in onsets:
            found = self._noticed_at(plant, onset)
            if found is None:  # such as features of a day that is no cutoff
                continue
            window, reason, signals = found
            windows.append(window)
            surest.append(self._surest(plant, onset))
            right += window is not None and reason == plant.reason
            told.update(signals)
        if not windows:
            return None
        first, within = sum(w == 1 for w in windows), sum(w is not None for w in windows)
        usual = next(
            (w for w in range(1, RUNS + 1) if 2 * sum(f is not None and f <= w for f in windows) > len(windows)), None
        )
        names = tuple(name for name, _ in told.most_common(3))
        surely = float(np.median(surest))
        return Noticed(plant.name, plant.reason, len(windows), usual, first, within, right, names, surely)

    def _surest(self, plant: Plant, row: int) -> float:
        """Return how probable by chance the signal is that a plant moves most surely, judged alone."""
        number = self.table.periods[row]
        changed = plant.change(self.observed[number], np.random.default_rng(row))
        found = {} if changed is None else self._measured(plant, changed, row)
        table = self.table.with_row(row, self.clean[number] | found)
        state = self.state.widened(len(table.names))
        moved = [s for s, name in enumerate(table.names) if found.get(name) != self.clean[number].get(name)]
        pasts = [past for s in moved if (past := past_of(table, row, s, state)) is not None]
        return min((references.seen(past).p for past in pasts), default=1.0)

    def _noticed_at(self, plant: Plant, onset: int) -> tuple[int | None, str, tuple[str, ...]] | None:
        """Return the window of a plant that first alarms, with the class and the signals that say so."""
        table, state = self.table, self.state
        for window in range(1, RUNS + 1):
            row = onset + window - 1
            number = self.table.periods[row]
            changed = plant.change(self.observed[number], np.random.default_rng(row))
            if changed is None:
                return None
            table = table.with_row(row, self.clean[number] | self._measured(plant, changed, row))
            state = replay(table, self.spec.signals, known=state, start=row, stop=row + 1)
            found = self.verdicts(row, table, state)
            before = {v.signal for v in self.verdicts(row) if v.alarm}
            new = [v for v in found if v.alarm and v.signal not in before]
            if new:
                return window, class_of(new, judged=1), tuple(v.signal for v in new)
        return None, "none", ()

    def _measured(self, plant: Plant, changed: Observed, row: int) -> dict[str, Measured]:
        """Measure again what a plant touches."""
        if plant.touches == "events":
            return event_signals.measure(changed)
        if plant.touches == "features":
            numbers = self.table.periods[: row + 1]
            return frame_signals.measure(changed, [self.clean[number] for number in numbers])
        return model_signals.measure(changed)


def _measured(observed: Mapping[int, Observed]) -> History:
    found: History = {}
    for number, of in observed.items():
        found[number] = measure(of, list(found.values()))
    return found


def _shops(world: _World) -> dict[str, int]:
    """Judge parts of the users as shops of their own, by events and rows alone; return windows and alarms."""
    rng = np.random.default_rng(0)
    users = 1 + max((int(of.events["user"].max()) for of in world.observed.values() if len(of.events)), default=0)
    rows = max((len(of.frame) for of in world.observed.values() if of.frame is not None), default=0)
    windows = alarms = 0
    for share in SHOPS:
        keep, some = rng.random(users) < share, rng.random(rows) < share
        parts = {number: of_users(of, keep, some) for number, of in world.observed.items()}
        found: History = {}
        for number, of in parts.items():
            events = event_signals.measure(of)
            frame = frame_signals.measure(of, [])
            found[number] = events | frame
        shop = _World(world.periods, world.spec, parts, found)
        here = [row for row in shop.judged_rows() if not world.occasion(row)]
        windows += len(here)
        alarms += sum(any(v.alarm for v in shop.verdicts(row)) for row in here)
    return {"shops": len(SHOPS), "windows": windows, "alarms": alarms}


def _references(world: _World, rows: Sequence[int]) -> dict[str, list[tuple[float, float]]]:
    """Return by kind, for every signal and row, its effect against the median of the periods before, and its change."""
    found: dict[str, list[tuple[float, float]]] = {}
    table = world.table
    for row in rows:
        for s, name in enumerate(table.names):
            behind = np.flatnonzero(np.isfinite(table.value[:row, s]) & world.state.usable[:row, s])[-REFERENCE:]
            value = table.value[row, s]
            if len(behind) < REFERENCE or not np.isfinite(value) or world.state.side[row, s]:
                continue
            spreads = table.spread[behind, s]
            unit = float(np.nanmedian(spreads)) if kind_of(name) == "mean" and np.isfinite(spreads).any() else 1.0
            reference = float(np.median(table.value[behind, s]))
            effect = effect_of(kind_of(name), float(value), reference, unit=unit or 1.0)
            found.setdefault(kind_of(name), []).append((abs(effect), abs(float(value) - reference)))
    return found


def _floors(world: _World) -> Floors:
    """Propose floors that ordinary effects of the earlier periods stay below, none lower than a quarter of ours."""
    ours = Floors()
    rows = [row for row in world.judged_rows() if row < FROZEN * len(world.table.periods) and not world.occasion(row)]
    found = _references(world, rows)

    def usual(kind: str, place: int, default: float, most: float) -> float:
        if not found.get(kind):
            return default
        reached = float(np.quantile([pair[place] for pair in found[kind]], USUAL))
        return round(min(max(reached, default / 4), most), 4)

    return Floors(
        volume=usual("volume", 0, ours.volume, 10),
        level=usual("level", 0, ours.level, 10),
        share=ours.share,
        points=usual("share", 1, ours.points, 1),
        null=usual("null", 0, ours.null, 1),
        mean=usual("mean", 0, ours.mean, 10),
        identity=usual("identity", 0, ours.identity, 10),
    )


def _least_effects(world: _World, spec: Monitoring) -> dict[str, float]:
    """Return by kind the smallest effect that the newest period would have had to show alone: the median signal's."""
    table = world.table
    row = len(table.periods) - 1
    found: dict[str, list[float]] = {}
    pasts = [past for s in range(len(table.names)) if (past := past_of(table, row, s, world.state)) is not None]
    families = Counter(family_of(past.name) for past in pasts)
    for past in pasts:
        if past.is_few or len(past.values) < REFERENCE:
            continue
        kind = past.kind
        of, unit = references.ordinary_of(past)
        rate = spec.signals.false_share / len(families) / families[family_of(past.name)]
        reach = -float(special.stdtrit(of.periods - 1, rate / 2)) * of.scale
        centre, moved = (off_scale(kind, of.centre + step, unit=unit) for step in (0.0, reach))
        found.setdefault(kind, []).append(abs(effect_of(kind, moved, centre, unit=unit)))
    return {kind: round(float(np.median(effects)), 4) for kind, effects in sorted(found.items())}
