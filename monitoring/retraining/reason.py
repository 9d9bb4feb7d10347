"""Why a retraining may be asked for: the class of what was found, in words, with what it rests on.

A `data_fault` (a feed that broke) never trains, whatever else was found. `performance` says that realised quality fell,
`world` that the world moved for good: these two may train. Made of the drift verdict of the step `watch` and of the
mark that the last look at realised quality left. `grown` says that nothing changed, and there is more to learn from.

Pure: documents in, a reason out.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from feature_repo import files
from monitoring.drift_verdicts import alarms_of, class_of, lasts
from monitoring.reason_classes import DATA_FAULT, NONE, PERFORMANCE, UNDECIDED, WORLD, Class

Kind = Class | Literal["grown"]
GROWN: Kind = "grown"  # nothing changed, and there is much more to learn from than the champion learnt from
CLASSES: tuple[Kind, ...] = (DATA_FAULT, PERFORMANCE, WORLD, GROWN, UNDECIDED, NONE)  # the first that was found speaks
TRAINS: tuple[Kind, ...] = (PERFORMANCE, WORLD, GROWN)


@dataclass(frozen=True)
class Reason:
    """What was found, and on what it rests."""

    kind: Kind
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
    kind = class_of(found)
    why, since = str(found.get("reason", "")), ""
    alarms = alarms_of(found, kind)
    if kind == WORLD and alarms and not lasts(found):
        return Reason(NONE, f"{why}; it moved in the newest period only, and a retraining waits until it lasts")
    if alarms:
        since = _earliest([str(one.get("since_starts", "")) for one in alarms])
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


def of_growth(now: int, then: int, times: float | None, *, champion: str) -> Reason:
    """Return the reason in how many steps there are to learn from, against how many the champion learnt from.

    What more data is worth falls with how much there is already, so a ratio asks, and not a number of weeks. The same
    growth of the same champion is the same evidence, which is trained on once; `then` is 0 where nobody knows.

    >>> of_growth(18, 12, 1.5, champion="3").kind, of_growth(17, 12, 1.5, champion="3").kind
    ('grown', 'none')
    >>> keys = [of_growth(steps, 12, 1.5, champion="3").key for steps in (18, 26, 27)]
    >>> keys[0] == keys[1], keys[1] == keys[2]
    (True, False)
    """
    if times is None or then <= 0 or now < times * then:
        return Reason(NONE)
    grown = math.floor(math.log(now / then) / math.log(times) + 1e-9)
    why = f"there are {now} steps to learn from, and version {champion} learnt from {then}"
    return Reason(GROWN, why, files.digest({"champion": champion, "grown": grown}))


def together(reasons: Sequence[Reason]) -> Reason:
    """Return the gravest of several reasons, with every key that trains behind it and the earliest `since`.

    >>> together([Reason("world", "w"), Reason("data_fault", "d"), Reason("none")]).why
    'd'
    """
    chosen = min(reasons, key=lambda one: CLASSES.index(one.kind))
    if not chosen.trains:
        return chosen
    training = [one for one in reasons if one.trains]
    why = "; ".join(f"{one.kind}: {one.why}" for one in training)
    return Reason(
        chosen.kind,
        why,
        files.digest(sorted(one.key for one in training)),
        _earliest([one.since for one in training if one.since]),
    )


def seconds(iso: str) -> int:
    """Return an ISO instant as epoch seconds, UTC where it names no zone."""
    instant = dt.datetime.fromisoformat(iso)
    return int((instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp())


def _earliest(instants: Sequence[str]) -> str:
    """Return the earliest of some ISO instants, '' where there is none or one of them is not known.

    >>> _earliest(["2024-03-31T00:00:00+01:00", "2024-03-30T23:30:00+00:00"])
    '2024-03-31T00:00:00+01:00'
    """
    return min(instants, key=seconds, default="") if all(instants) else ""
