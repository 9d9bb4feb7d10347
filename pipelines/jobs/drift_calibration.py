"""`intentflow monitor SPEC --calibrate`: replay the last run's history, and leave proposed floors in the state folder.

Nothing else is written: the history of signals, the verdicts and the releases stay as they are. The floors are a
proposal; whoever likes them copies them to `monitoring.signals.floors`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_repo import columns, files
from feature_repo.errors import SpecError
from pipelines.environment import Installation
from pipelines.jobs import sources
from pipelines.jobs.drift_check import champion_model, tables_of
from pipelines.releases.release import variables
from pipelines.runs import local

if TYPE_CHECKING:
    from monitoring.drift.calibration import Calibration
    from monitoring.drift.period_reader import Periods
    from monitoring.spec import Monitoring

FLOORS = "floors.json"  # of the state folder's folder `monitoring`
ALL = 10_000  # periods that are scored: every one
LEAST = 8  # ordinary periods that a replay is worth anything with


@dataclass(frozen=True)
class Replayed:
    """A calibration, and where its floors were left."""

    found: "Calibration"
    floors_at: str
    period: str  # a day or a week

    def document(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return self.found.document() | {"period": self.period, "floors_at": self.floors_at}

    def text(self) -> str:
        """Return it as a person reads it."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        found, ours = self.found, self.found.evidently
        yield f"Ordinary {self.period}s judged     {found.windows}, false alarms {found.false_alarms}"
        yield f"  of those not tuned on   {found.later_windows}, false alarms {found.later_false_alarms}"
        yield f"Parts of the users        {found.shops['windows']}, false alarms {found.shops['alarms']}"
        if ours:
            yield (
                f"Evidently's default       {ours['windows']}, calls {ours['false_alarms']}, "
                f"two of five {ours['two_of_five']}"
            )
        for starts, names in found.alarms:
            yield f"  {starts[:10]}  {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"
        yield ""
        heads = f"{'window':>7}{'first':>8}{'within 2':>10}{'in class':>10}{'by chance':>11}"
        yield f"{'Planted':<28}{heads}  class        Evidently"
        for one in found.power:
            seen = {1: "1"}.get(ours.get("power", {}).get(one.plant), "-") if ours else ""
            window = "-" if one.window is None else str(one.window)
            first, within, right = (f"{n}/{one.onsets}" for n in (one.first, one.within, one.as_planted))
            told = f"{window:>7}{first:>8}{within:>10}{right:>10}{one.surest:>11.1g}"
            yield f"{one.plant:<28}{told}  {one.reason:<12} {seen}"
        yield ""
        yield "Least effect of one signal that one period shows: " + ", ".join(
            f"{kind} {effect:g}" for kind, effect in found.least_effects.items()
        )
        yield f"Floors that ordinary periods stay below, a proposal for monitoring.signals.floors: {self.floors_at}"


def calibrate(place: Installation, *, say: Callable[[str], None] = lambda line: None) -> Replayed:
    """Replay the last run's history; SpecError where there is none, or too little of it."""
    from monitoring.drift import watch_record
    from monitoring.drift.calibration import calibrate as replayed

    spec = place.spec.monitoring
    periods = periods_of(place, spec)
    found = replayed(periods, spec, say=say)
    if found.windows < LEAST:
        step = periods.calendar.step
        raise SpecError(
            f"monitor --calibrate: {found.windows} ordinary {step}s of {len(periods.numbers)} can be judged, at least "
            f"{LEAST} are needed; each has twelve before it and no day in monitoring.calendar; give more {step}s"
        )
    path = place.home / watch_record.FOLDER / FLOORS
    files.write_json(path, found.floors.model_dump(mode="json"))
    return Replayed(found, str(path), periods.calendar.step)


def periods_of(place: Installation, spec: "Monitoring", *, made: bool = False) -> "Periods":
    """Return the periods of the last run, all of them scored by the champion; SpecError where there is no run.

    With `made` the tables and rows are then made of the source instead, and no model is asked.
    """
    from components.registry import aliases
    from monitoring.drift.period_reader import Periods
    from monitoring.drift.run_folders import Folders

    last = local.last_run(place.home)
    if last is None or "clean" not in last.folders:
        if not made:
            raise SpecError(f"{place.home}: no finished run to replay; `intentflow run {place.spec_path}` makes one")
        with local.alone(place.home), variables(place):
            clean = sources.clean(place)
            return Periods(Folders(clean, sources.rows(place)), spec.signals)
    with variables(place):
        model = champion_model(place, aliases.status(place.spec.name).holders.get("champion", ""))
    clean, log = last.folders["clean"], place.home / columns.REQUESTS_FOLDER
    return Periods(Folders(clean, last.folders["rows"], tables_of(last, clean), model, log), spec.signals, scored=ALL)
