"""Why a retraining may be asked for: the class of what was found, in words, with what it rests on.

A `data_fault` (a feed that broke) never trains, whatever else was found. `performance` says that realised quality fell,
`world` that the world moved for good: these two may train. Made of the drift verdict of the step `watch` and of the
mark that the last look at realised quality left.

Pure: documents in, a reason out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feature_repo import files
from monitoring.drift_verdicts import DRIFTED, FAULTY, HELD_BACK, LOST, read
from monitoring.reason_classes import DATA_FAULT, NONE, PERFORMANCE, UNDECIDED, WORLD, Class

INFORMATION, LASTING = "information", "lasting"  # a signal's `when` in drift.json
CLASSES: tuple[Class, ...] = (DATA_FAULT, PERFORMANCE, WORLD, UNDECIDED, NONE)  # the first that was found speaks
TRAINS: tuple[Class, ...] = (PERFORMANCE, WORLD)
OF_VERDICTS: dict[str, Class] = {DRIFTED: WORLD, LOST: DATA_FAULT, FAULTY: DATA_FAULT, UNDECIDED: UNDECIDED}


@dataclass(frozen=True)
class Reason:
    """What was found, and on what it rests."""

    kind: Class
    why: str = ""  # one line, for people
    key: str = ""  # digest of the evidence: the same windows give the same key
    since: str = ""  # ISO, UTC: the first period that shows it; '': not known

    @property
    def trains(self) -> bool:
        """Tell whether it is of a class that may train."""
        return self.kind in TRAINS


def of_drift(found: Mapping[str, Any]) -> Reason:
    """Return the reason in a drift.json: its class where it has one, else what its verdict means.

    >>> of_drift({"verdict": "lost", "reason": "log_value_7d lost 97 %"}).kind
    'data_fault'
    >>> of_drift({"verdict": "drifted", "class": "world", "reason": "4 of 11 columns drifted"}).kind
    'world'
    """
    verdict = read(found.get("verdict"))
    kind = _class(found.get("class"), OF_VERDICTS.get(verdict, NONE))
    if verdict in HELD_BACK:  # of a class that says less, the verdict speaks
        kind = DATA_FAULT
    why, since = str(found.get("reason", "")), ""
    alarms = _alarms(found, kind)
    if kind == WORLD and alarms and verdict == DRIFTED and not any(one.get("when") == LASTING for one in alarms):
        return Reason(NONE, f"{why}; it moved in the newest period only, and a retraining waits until it lasts")
    if alarms:
        since = min(str(one.get("since_starts", "")) for one in alarms)
    evidence = {name: found.get(name) for name in ("reference", "current", "at")} | {"class": kind}
    evidence |= {"signals": sorted(str(one.get("signal")) for one in alarms)}
    return Reason(kind, why, files.digest(evidence), since)


def of_quality(mark: Mapping[str, Any]) -> Reason:
    """Return the reason in the mark of realised quality; no mark gives none.

    >>> of_quality({"reason": "performance", "why": "map fell", "period": 41, "release": "ab"}).kind
    'performance'
    """
    if mark.get("reason") != PERFORMANCE:
        return Reason(NONE)
    evidence = {name: mark.get(name) for name in ("period", "release", "reason")}
    return Reason(PERFORMANCE, str(mark.get("why", "")), files.digest(evidence), str(mark.get("since", "")))


def together(reasons: Sequence[Reason]) -> Reason:
    """Return the gravest of several reasons, with every key that trains behind it and the earliest `since`.

    >>> together([Reason("world", "w"), Reason("data_fault", "d"), Reason("none")]).why
    'd'
    """
    chosen = min(reasons, key=lambda one: CLASSES.index(one.kind))
    if not chosen.trains:
        return chosen
    training = [one for one in reasons if one.trains]
    known = [one.since for one in training if one.since]
    why = "; ".join(f"{one.kind}: {one.why}" for one in training)
    return Reason(chosen.kind, why, files.digest(sorted(one.key for one in training)), min(known, default=""))


def _class(said: Any, otherwise: Class) -> Class:
    return next((known for known in CLASSES if known == said), otherwise)


def _alarms(found: Mapping[str, Any], kind: Class) -> list[Mapping[str, Any]]:
    """Return the signals that alarmed for a class; [] of a verdict that has no signals."""
    signals = found.get("signals") or {}
    return [
        one
        for one in signals.get("verdicts", [])
        if one.get("when") != INFORMATION and not one.get("explained_by") and one.get("reason") == kind
    ]
