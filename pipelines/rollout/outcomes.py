"""What each user of an experiment did after their first answer in it, from the request log and the event log.

A user counts once: in the arm of their first answer, with the KPI over a fixed time after it, so that users are
independent of each other and one who came later is not at a disadvantage. As for rewards (rewards.py) the wall clock
decides whether that time has passed, and the data's clock, which both logs keep, whether an event lies within it.
Covariates are the numbers of the user's row as it was at that first answer: known before any effect. A user whom two
arms answered belongs to neither, and is counted as `crossed`. While the pseudonyms' key is being changed, arms may know
a person by two names, which are one here (components/data/new_names.py).
"""

import datetime as dt
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.policy.rewards import Found, distinct
from components.registry.experiment_spec import Kpi
from feature_repo import columns
from feature_repo.errors import DataError
from pipelines.environment import Installation
from pipelines.rollout.people import names_of

READ = (columns.REQUEST_ID, "endpoint", "logged_at", columns.RELEASE, columns.USER_ID, "now", "mirrored", "numbers")


@dataclass(frozen=True)
class ArmOutcomes:
    """The users of one arm; arrays are of those whose time has passed, U users with P covariates."""

    users: int = 0  # answered, whether their time has passed or not
    kpi: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [U]
    covariates: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # [U, P]
    at: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [U] of first answers, epoch seconds; or unknown

    def until(self, last: float) -> "ArmOutcomes":
        """Return it with the users alone whose first answer came by then."""
        came = self.at <= last
        return ArmOutcomes(self.users, self.kpi[came], self.covariates[came], self.at[came])


@dataclass(frozen=True)
class Outcomes:
    """What was seen of an experiment at one moment."""

    arms: Mapping[str, ArmOutcomes]
    crossed: int = 0  # users whom more than one arm answered
    events: int = 0  # of the KPI's kind, of anybody
    valued: int = 0  # of these, such as carry a value
    broken: str = ""  # why the logs could not be read as the experiment asks


@dataclass
class _First:
    """A user's first answer."""

    arm: str
    wall_s: float
    at: float  # on the data's clock
    numbers: tuple[float, ...]
    crossed: bool = False
    kpi: float = 0.0


def measured(
    place: Installation, arms: Mapping[str, str], kpi: Kpi, covariates: Sequence[str], *, since_s: float
) -> Outcomes:
    """Join the logs of a state folder; `arms` by release."""
    from bentos.recommender.logs import eventlog, requestlog
    from bentos.recommender.logs.json_lines import files, read

    names = names_of(place)
    answers = names.lines(requestlog.read(place.home / requestlog.FOLDER, since_s=since_s))
    recent = [path for path in files(place.home / eventlog.FOLDER) if path.stat().st_mtime >= since_s]
    events = names.lines(line for path in recent for line in read(path))
    return joined(answers, events, arms, kpi, covariates, since_s=since_s, until_s=time.time())


def measured_in_store(
    place: Installation, arms: Mapping[str, str], kpi: Kpi, covariates: Sequence[str], *, since_s: float
) -> Outcomes:
    """Join what doors have shipped: users count half an hour after their time has passed, once it is there."""
    from feature_repo.logs import object_store, shipped_log

    with object_store.reached(place.environment.requests.url) as store:
        names = names_of(place)
        answers = names.lines(shipped_log.read(store, names=READ, since_s=since_s))
        events = names.lines(shipped_log.read_events(store))
        until_s = time.time() - shipped_log.SHIPPED_S
        return joined(answers, events, arms, kpi, covariates, since_s=since_s, until_s=until_s)


def joined(
    answers: Iterable[Mapping[str, Any]],
    events: Iterable[Mapping[str, Any]],
    arms: Mapping[str, str],
    kpi: Kpi,
    covariates: Sequence[str],
    *,
    since_s: float,
    until_s: float,
) -> Outcomes:
    """Return what the users of each arm did; answers before `since_s` (epoch seconds, wall) are not of it."""
    firsts = _firsts(answers, arms, covariates, since_s=since_s, until_s=until_s)
    count = valued = 0
    for event in distinct((one for one in events if one.get(columns.EVENT) == kpi.event), Found()):
        count, valued = count + 1, valued + (event.get(columns.VALUE) is not None)
        first = firsts.get(str(event[columns.USER_ID]))
        if first is not None and first.at <= float(event[columns.TIMESTAMP]) < first.at + kpi.within_s:
            first.kpi += _amount(event, kpi)
    ripe_s = until_s - kpi.within_s
    return Outcomes(
        arms={
            arm: _arm([f for f in firsts.values() if f.arm == arm], kpi, covariates, ripe_s) for arm in arms.values()
        },
        crossed=sum(first.crossed for first in firsts.values()),
        events=count,
        valued=valued,
    )


def _firsts(
    answers: Iterable[Mapping[str, Any]],
    arms: Mapping[str, str],
    covariates: Sequence[str],
    *,
    since_s: float,
    until_s: float,
) -> dict[str, _First]:
    """Return each user's first answer by an arm."""
    found: dict[str, _First] = {}
    for answer in answers:
        arm, user, wall_s = arms.get(answer[columns.RELEASE]), str(answer[columns.USER_ID] or ""), _seconds(answer)
        if arm is None or not user or answer["endpoint"] != "recommend" or answer.get("mirrored"):
            continue
        if not since_s <= wall_s <= until_s:
            continue
        before = found.get(user)
        if before is None or wall_s < before.wall_s:
            numbers = tuple(_number(answer, name) for name in covariates)
            first = _First(arm, wall_s, float(answer["now"]), numbers)
            first.crossed = before is not None and (before.crossed or before.arm != arm)
            found[user] = first
        elif before.arm != arm:
            before.crossed = True
    return found


def _arm(firsts: Sequence[_First], kpi: Kpi, covariates: Sequence[str], ripe_s: float) -> ArmOutcomes:
    ripe = [first for first in firsts if first.wall_s <= ripe_s and not first.crossed]
    amounts = np.array([first.kpi for first in ripe])
    if kpi.measure == "converted":
        amounts = (amounts > 0).astype(float)
    elif kpi.most is not None:
        amounts = np.minimum(amounts, kpi.most)
    numbers = np.array([first.numbers for first in ripe], dtype=float).reshape(len(ripe), len(covariates))
    return ArmOutcomes(len(firsts), amounts, numbers, np.array([first.wall_s for first in ripe]))


def _amount(event: Mapping[str, Any], kpi: Kpi) -> float:
    return float(event.get(columns.VALUE) or 0.0) if kpi.measure == "value" else 1.0


def _number(answer: Mapping[str, Any], name: str) -> float:
    numbers = answer["numbers"]
    if name not in numbers:
        raise DataError(
            f"experiments: covariates: '{name}' is no number of the rows of release {answer[columns.RELEASE]}; "
            f"have {', '.join(sorted(numbers))}"
        )
    return float(numbers[name])


def _seconds(answer: Mapping[str, Any]) -> float:
    """Return when an answer was logged, epoch seconds."""
    at = answer["logged_at"]
    instant = at if isinstance(at, dt.datetime) else dt.datetime.fromisoformat(str(at))
    return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp()
