"""How often do signals call for nothing, and what do they notice? The table of docs/signals.md.

Replays the history of each recommender of `--specs` as `intentflow monitor SPEC --calibrate` does: the last finished
run's, scored by its champion, or where there is none the source's own tables and rows, without a model. Floors are the
defaults. The peer is Evidently with its own defaults (`--evidently`, some minutes). Nothing is written to a state
folder, except that tables and rows of a source are kept for the next time.
"""

import argparse
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import script
from benchmarks.script import Document
from components.occasions import Occasion
from feature_repo.checkout import ROOT
from monitoring.drift import calibration
from monitoring.drift.calibration import Calibration
from monitoring.spec import Monitoring
from pipelines.environment import Installation, place
from pipelines.jobs import drift_calibration
from pipelines.jobs.drift_calibration import Replayed

SPECS = tuple(ROOT / "pipelines" / "specs" / f"{name}.yaml" for name in ("grocery", "clickstream", "movies"))
HOLIDAYS = (  # of the grocery data's year, as a shop in the United States would declare them
    ("Easter", (4, 10), (4, 16)),
    ("Memorial Day", (5, 26), (5, 29)),
    ("Independence Day", (7, 1), (7, 4)),
    ("Labor Day", (9, 1), (9, 4)),
    ("Thanksgiving", (11, 20), (11, 23)),
    ("Christmas", (12, 18), (12, 25)),
)
WEEKLY = ("movies",)  # some 30 new users a week: by the day most signals have too few behind them
QUICK_USERS, QUICK_WEEKS = 200, 21


def measure(asked: argparse.Namespace) -> Document:
    """Replay each recommender."""
    if asked.quick:
        return {"recommenders": [_document("made", _made())]}
    return {"recommenders": [_document(*one) for one in _replayed(asked)]}


def _replayed(asked: argparse.Namespace) -> Iterator[tuple[str, Replayed]]:
    for path in asked.specs:
        at = place(path, asked.env)
        script.note(at.spec.name)
        periods = drift_calibration.periods_of(at, declared(at), made=True)
        found = calibration.calibrate(periods, declared(at), say=script.note, evidently=asked.evidently)
        yield at.spec.name, Replayed(found, "", periods.calendar.step)


def declared(at: Installation) -> Monitoring:
    """Return what a recommender watches: its spec's, with the holidays and the period that people would give."""
    spec = at.spec.monitoring
    if at.spec.name == "grocery" and not spec.calendar:
        days = [Occasion(name=name, first=dt.date(2017, *a), last=dt.date(2017, *b)) for name, a, b in HOLIDAYS]
        spec = spec.model_copy(update={"calendar": days})
    if at.spec.name in WEEKLY:
        spec = spec.model_copy(update={"signals": spec.signals.model_copy(update={"period": "week"})})
    return spec


def _made() -> Replayed:
    from tests.monitoring.drift.made_periods import MadePeriods

    periods: Any = MadePeriods(users=QUICK_USERS, weeks=QUICK_WEEKS)
    return Replayed(calibration.calibrate(periods, Monitoring(), say=script.note, evidently=False), "", "week")


def _document(name: str, replayed: Replayed) -> Document:
    found: Calibration = replayed.found
    within = {one.plant: f"{one.within}/{one.onsets}" for one in found.power}
    noticed = [one for one in found.power if one.window is not None]
    return {
        "name": name,
        "plants_planted": len(found.power),
        "plants_first": sum(one.window == 1 for one in noticed),
        "plants_within": len(noticed),
        "plants_in_class": sum(2 * one.as_planted > one.onsets for one in noticed),
        "within": within,
        "surest": {one.plant: one.surest for one in found.power},
    } | replayed.document()


def text(document: Document) -> str:
    """Write the table of the documentation."""
    lines = []
    for one in document["recommenders"]:
        later, shops, peer = one["later_windows"], one["shops"], one["evidently_default"]
        lines.append(
            [
                f"{one['name']}, {one['period']}s",
                f"{one['false_alarms']} of {one['windows']} ({one['later_false_alarms']} of {later})",
                f"{shops['alarms']} of {shops['windows']}",
                f"{one['plants_first']} of {one['plants_planted']}",
                f"{one['plants_within']}, {one['plants_in_class']} in class",
                ", ".join(_missed(one)) or "-",
                f"{peer['false_alarms']}, two of five {peer['two_of_five']}" if peer else "-",
            ]
        )
    head = ["", "false alarms (later)", "nine parts", "plants first", "within two", "not noticed", "Evidently calls"]
    return script.table(head, lines)


def _missed(one: Document) -> Iterator[str]:
    """Name what most onsets did not show, each with how probable its surest signal is by chance alone."""
    for name, window in one["power"].items():
        if window is None:
            yield f"{name} (p {one['surest'][name]:.1g})"


if __name__ == "__main__":
    parser = script.parser(__doc__, trained=False)
    parser.add_argument("--specs", type=Path, nargs="+", default=list(SPECS), help="whose history is replayed")
    parser.add_argument("--env", default="local", help="their environment")
    parser.add_argument("--evidently", action="store_true", help="ask Evidently too, with its defaults")
    script.main(parser, measure, text)
