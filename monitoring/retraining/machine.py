"""The state machine of retraining: a reason in, a decision out. It trains nothing, reads nothing and knows no clock.

`decide` answers a reason; `judged` notes what a training's candidate turned out to be against the champion; `settled`
ends an attempt, and stops retraining after too many in a row without gain. `resumed` is a person's answer to a stop.
Instants are epoch seconds of the data's clock, so that a replay decides as the past did.

Every step may be repeated: a decision about evidence that an attempt is under way for is that attempt again, and
evidence that a training answered already is not trained on twice.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from monitoring.reason_classes import DATA_FAULT
from monitoring.retraining.reason import GROWN, Reason, seconds

Action = Literal["nothing", "train", "shadow", "wait", "hold", "stop", "over_budget"]
NOTHING: Action = "nothing"  # no reason
TRAIN: Action = "train"  # and promote by the gates alone
SHADOW: Action = "shadow"  # train; promote what is clearly better on the same rows
WAIT: Action = "wait"  # cooldown, or the data has not come to what changed
HOLD: Action = "hold"  # a data fault: nothing is trained, somebody is told
STOP: Action = "stop"  # too many trainings without gain: nothing is trained, somebody is told
OVER_BUDGET: Action = "over_budget"
TRAINS: tuple[Action, ...] = (TRAIN, SHADOW)
PAGES: tuple[Action, ...] = (HOLD, STOP)

Result = Literal["running", "gain", "no_gain", "unknown", "refused", "lost"]
RUNNING: Result = "running"
GAIN: Result = "gain"  # clearly better than the champion on the same rows, and passed by its gates
NO_GAIN: Result = "no_gain"
UNKNOWN: Result = "unknown"  # could not be compared on the same rows; the gates passed it
REFUSED: Result = "refused"  # by its gates
LOST: Result = "lost"  # the run ended before it could say

DAY_S = 86_400
BUDGET_DAYS = 30
KEPT = 50  # attempts


@dataclass(frozen=True)
class Rule:
    """The spec's `monitoring.retrain`, with what it derives from the data."""

    cooldown_s: float
    budget: int = 2
    after_failures: int = 2
    shadow: bool = True


@dataclass(frozen=True)
class Attempt:
    """One training that a reason led to."""

    key: str
    reason: str
    why: str
    action: Action
    began: int
    result: Result = RUNNING
    ended: int | None = None
    judged: Result | None = None  # what the comparison said, before anything was promoted
    said: str = ""  # the comparison in words
    version: str = ""
    forgiven: bool = False  # ended before a person let retraining go on


@dataclass(frozen=True)
class Decision:
    """What follows from a reason."""

    action: Action
    why: str
    reason: str
    key: str
    at: int
    until: int | None = None  # when a wait may end

    @property
    def trains(self) -> bool:
        """Tell whether a training follows."""
        return self.action in TRAINS

    @property
    def pages(self) -> bool:
        """Tell whether somebody must be told."""
        return self.action in PAGES


@dataclass(frozen=True)
class State:
    """What is remembered between runs."""

    attempts: tuple[Attempt, ...] = ()  # oldest first
    stopped: str = ""  # why; '': it is not
    last: Decision | None = None

    @property
    def running(self) -> Attempt | None:
        """Return the attempt that is under way."""
        return next((one for one in reversed(self.attempts) if one.result == RUNNING), None)

    @property
    def failures(self) -> int:
        """Count the trainings without gain since the last that had some, or since somebody resumed."""
        return len(self.failed)

    @property
    def failed(self) -> tuple[Attempt, ...]:
        """Return those trainings, oldest first. What could not be compared is no failure: the gates promoted it.

        Nor is one that had more to learn from and is no better: nothing was wrong that it should have mended.
        """
        found: list[Attempt] = []
        for one in reversed(self.attempts):
            if one.result == GAIN or one.forgiven:
                break
            if one.result not in (RUNNING, UNKNOWN) and (one.reason, one.result) != (GROWN, NO_GAIN):
                found.append(one)
        return tuple(reversed(found))

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return dataclasses.asdict(self) | {"failures": self.failures}

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> "State":
        """Read what `document` returned; {} is the state at the beginning."""
        last = found.get("last")
        return cls(
            attempts=tuple(Attempt(**one) for one in found.get("attempts", ())),
            stopped=str(found.get("stopped", "")),
            last=None if last is None else Decision(**last),
        )


def decide(
    state: State, reason: Reason, rule: Rule, *, at: int, learnable: int | None = None
) -> tuple[State, Decision]:
    """Answer a reason. `learnable` is the instant before which a training now would learn; None: not known.

    A training whose rows end before what changed began would learn nothing of it, so it waits for them.

    >>> rule = Rule(cooldown_s=7 * DAY_S)
    >>> state, found = decide(State(), Reason("world", "prices doubled", "k1"), rule, at=0)
    >>> found.action, state.running.key
    ('shadow', 'k1')
    >>> decide(State(), Reason("data_fault", "nulls"), rule, at=0)[1].action
    'hold'
    """

    def said(action: Action, why: str, until: int | None = None) -> tuple[State, Decision]:
        found = Decision(action, why, reason.kind, reason.key, at, until)
        return dataclasses.replace(state, last=found), found

    if reason.kind == DATA_FAULT:
        return said(HOLD, f"a data fault never trains: {reason.why}")
    if not reason.trains:
        return said(NOTHING, reason.why or "no reason to train")
    if state.stopped:
        return said(STOP, state.stopped)
    running = state.running
    if running is not None and running.key == reason.key:
        return said(running.action, f"{reason.why}; the training for it goes on")
    if running is not None:
        state = _closed(state, running.judged or LOST, at=at)
        if (stop := _too_many(state, rule)) != "":
            state = dataclasses.replace(state, stopped=stop)
            return said(STOP, stop)
    if (answered := next((one for one in state.attempts if one.key == reason.key), None)) is not None:
        return said(WAIT, f"a training answered this evidence already ({answered.result}); newer data may tell more")
    ended = [one.ended for one in state.attempts if one.ended is not None]
    if ended and (until := int(max(ended) + rule.cooldown_s)) > at:
        return said(WAIT, f"cooldown until {day(until)}: labels of what serves since then are not ripe", until)
    recent = sum(at - one.began < BUDGET_DAYS * DAY_S for one in state.attempts)
    if recent >= rule.budget:
        return said(OVER_BUDGET, f"{recent} of {rule.budget} trainings in {BUDGET_DAYS} days are used: {reason.why}")
    if learnable is not None and reason.since and learnable <= (since := seconds(reason.since)):
        return said(WAIT, f"{reason.why}; since {day(since)}, and a training now would learn until {day(learnable)}")
    # Of more data a small gain is expected, too small for the newest weeks to prove: the gates alone say that it is
    # no worse. A reason that says something changed must show that training mended it.
    action = SHADOW if rule.shadow and reason.kind != GROWN else TRAIN
    attempt = Attempt(reason.key, reason.kind, reason.why, action, began=at)
    state = dataclasses.replace(state, attempts=(*state.attempts, attempt)[-KEPT:])
    return said(action, reason.why)


def judged(state: State, result: Result, *, said: str, version: str) -> State:
    """Note what the running attempt's candidate is against the champion; a state without one stays as it is."""
    return _changed(state, judged=result, said=said, version=version)


def settled(state: State, result: Result, rule: Rule, *, at: int) -> State:
    """End the running attempt, and stop where it was one too many without gain; may be repeated."""
    if state.running is None:
        return state
    state = _closed(state, result, at=at)
    return dataclasses.replace(state, stopped=_too_many(state, rule) or state.stopped)


def resumed(state: State) -> State:
    """Let retraining go on after somebody looked into why it stopped: failures count anew."""
    past = tuple(dataclasses.replace(one, forgiven=one.result != RUNNING) for one in state.attempts)
    return dataclasses.replace(state, attempts=past, stopped="")


def day(at: int) -> str:
    """Return the day of an instant, as people read it.

    >>> day(0)
    '1970-01-01'
    """
    return dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()


def _too_many(state: State, rule: Rule) -> str:
    """Say why retraining stops, '' where it goes on."""
    if state.failures < rule.after_failures:
        return ""
    said = "; ".join(f"{day(one.began)} {one.result}{f' ({one.said})' if one.said else ''}" for one in state.failed)
    return (
        f"{state.failures} trainings in a row brought no gain ({said}), so retraining has stopped; look at the data "
        "and the spec, then `intentflow retraining SPEC --resume`"
    )


def _closed(state: State, result: Result, *, at: int) -> State:
    return _changed(state, result=result, ended=at)


def _changed(state: State, **fields: Any) -> State:
    """Change the running attempt."""
    running = state.running
    changed = tuple(dataclasses.replace(one, **fields) if one is running else one for one in state.attempts)
    return dataclasses.replace(state, attempts=changed)
