"""The steps of a retraining that stops itself: decide on a reason, weigh the candidate, promote and settle.

`decide` stands between `watch` and training, `weigh` between the gates and promotion, `promote` is the registry's own
and ends the attempt. Each reads the state, asks the machine (machine.py), and writes the state before anything follows
from it: a run that was killed is started again and goes on with the same attempt. A dry run leaves nothing.
"""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np

from components.registry import aliases, heartbeats, twin
from components.registry import client as mlflow_client
from components.registry import retraining as kept
from components.registry import steps as registry
from components.registry.lineage import PARTS
from components.registry.spec import DRY_RUN
from components.step import step
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import Refused
from feature_repo.vocabulary import Vocabulary
from monitoring.drift import decision as plain
from monitoring.reason_classes import DATA_FAULT
from monitoring.retraining import gain, machine
from monitoring.retraining.machine import DAY_S, GAIN, HOLD, REFUSED, STOP, UNKNOWN, Decision, Result, Rule, State
from monitoring.retraining.reason import Reason, of_drift, of_growth, of_quality, together
from monitoring.spec import Monitoring, Retrain


@dataclasses.dataclass(frozen=True)
class DataClock:
    """What a rows artifact says of time."""

    at: int  # epoch seconds: the end of the newest ripe label
    learnable: int  # likewise, of the newest label that a training learns from
    horizon_s: float  # the longest of a target
    steps: int  # from the first to the last that a candidate learns from before it is judged

    @classmethod
    def of(cls, rows: Path, *, refit: bool) -> "DataClock":
        """Read the folder; with a refit the test weeks are learnt from too."""
        calendar = Calendar(**files.read_json(rows / "calendar.json"))
        split = files.read_json(rows / "split.json")
        ahead = int(np.max(Vocabulary.load(rows / "vocabulary").horizons))

        def end(part: str) -> int:
            return int(calendar.start(max(split[part]) + ahead).timestamp())

        steps = max(split["train"]) - min(split["train"]) + 1
        return cls(end("test"), end("test" if refit else "train"), ahead * float(calendar.pace.seconds), steps)


def rule_of(spec: Retrain, *, horizon_s: float, delay_days: float) -> Rule:
    """Return the machine's rule: a cooldown that the spec leaves out is one horizon and the label delay."""
    days = spec.cooldown_days
    cooldown_s = horizon_s + delay_days * DAY_S if days is None else days * DAY_S
    return Rule(cooldown_s, spec.budget, spec.after_failures, spec.shadow)


def decide(name: str, monitoring: str, *, mode: str, refit: bool, verdict: str, rows: str) -> bool:
    """Tell whether a training follows from what `watch` found; Refused where somebody must look instead."""
    spec = Monitoring.model_validate_json(monitoring)
    if spec.retrain is None:  # a form whose spec asks for none, in a pipeline that has the step
        return plain.decide(verdict)
    with step("decide_retraining") as progress:
        found = files.read_json(Path(verdict) / "drift.json")
        quality = heartbeats.read(name).get(heartbeats.QUALITY, {})
        clock = DataClock.of(Path(rows), refit=refit)
        reason = together([of_drift(found), of_quality(quality), _growth(name, spec.retrain, clock)])
        told = {"reason": reason.kind, "verdict": str(found.get("verdict"))}
        if not _champion(name) and reason.kind != DATA_FAULT:
            progress.count(action=machine.TRAIN, train=reason.trains, why=reason.why, **told)
            progress.tell(action=machine.TRAIN if reason.trains else machine.NOTHING, why=reason.why, **told)
            return reason.trains  # nobody serves yet: there is nothing to compare with, and no attempt is counted
        rule = _rule(spec, clock, measured_days=float(quality.get("delay_days", 0.0)))
        state, decided = machine.decide(
            State.read(kept.read(name)), reason, rule, at=clock.at, learnable=clock.learnable
        )
        progress.count(action=decided.action, train=decided.trains, why=decided.why, **told)
        progress.tell(action=decided.action, why=decided.why, **told)
        if mode != DRY_RUN:
            _remember(name, state, decided)
        if decided.action == HOLD:
            raise Refused(
                f"monitoring: {decided.why}; nothing is trained on this data. Mend the source or data.source.mapping, "
                "then start the run again; what is meant to stay belongs in monitoring.signals.accepted"
            )
        if decided.action == STOP:
            raise Refused(f"monitoring: {decided.why}")
    return decided.trains


def weigh(
    name: str, monitoring: str, *, mode: str, passed: bool, version: str, candidate: list[str], champion: list[str]
) -> bool:
    """Tell whether a judged candidate may be promoted, and note what it is against the champion on the same rows.

    `candidate` and `champion` are evaluation folders, by part. Refused where this was one training without gain too
    many: somebody must look.
    """
    spec = Monitoring.model_validate_json(monitoring)
    if spec.retrain is None:
        return passed
    with step("weigh") as progress:
        if not _champion(name):
            progress.count(result="", promotes=passed, why="there is no champion yet")
            return passed
        mine, theirs = (dict(zip(PARTS, map(Path, some), strict=True)) for some in (candidate, champion))
        found = gain.read(mine, theirs)
        result: Result = found.result if passed else REFUSED
        running = State.read(kept.read(name)).running
        by_gates = not spec.retrain.shadow or (running is not None and running.action == machine.TRAIN)
        promotes = passed and (result in (GAIN, UNKNOWN) or by_gates)
        progress.count(result=result, promotes=promotes, why=found.said)
        progress.tell(result=result, promotes=promotes, why=found.said)
        if mode == DRY_RUN:
            return promotes
        state = machine.judged(State.read(kept.read(name)), result, said=found.said, version=version)
        kept.write(name, state.document())
        if not promotes:
            _settled(name, state, spec, result)
    return promotes


def promote(name: str, version: str, monitoring: str, *, mode: str, why: str) -> str:
    """Promote as the registry does, then end the attempt; return the champion's version or ''."""
    champion = registry.promote(name, version, mode=mode, why=why)
    spec = Monitoring.model_validate_json(monitoring)
    if spec.retrain is not None and mode != DRY_RUN:
        with step("settle") as progress:
            state = State.read(kept.read(name))
            running = state.running
            result = UNKNOWN if running is None else running.judged or UNKNOWN
            progress.count(result=result if running else "", version=version)
            _settled(name, state, spec, result)
    return champion


def resume(name: str, state: State) -> None:
    """Let retraining go on: a person looked into why it stopped."""
    at = 0 if state.last is None else state.last.at
    why = "a person lets retraining go on"
    decided = Decision(machine.NOTHING, why, "person", files.digest([state.stopped, at]), at)
    kept.log(name, dataclasses.asdict(decided))
    kept.write(name, dataclasses.replace(machine.resumed(state), last=decided).document())
    _mark(name, machine.resumed(state), decided)


def _settled(name: str, state: State, spec: Monitoring, result: Result) -> None:
    """End the running attempt; Refused where retraining stops by it."""
    running = state.running
    if running is None and state.stopped:  # a pipeline repeats a step that failed: it fails again
        raise Refused(f"monitoring: {state.stopped}")
    if running is None or spec.retrain is None:
        return
    at = max(running.began, 0 if state.last is None else state.last.at)
    ended = machine.settled(state, result, rule_of(spec.retrain, horizon_s=0, delay_days=0), at=at)
    decided = Decision(running.action, running.why, running.reason, running.key, running.began)
    # The record first: a step that is killed here finds the attempt under way and says the same again.
    kept.log(
        name,
        dataclasses.asdict(decided),
        outcome={"result": result, "gain": running.said, "version": running.version},
    )
    if not ended.stopped:
        kept.write(name, ended.document())
        _mark(name, ended, decided)
        return
    stop = Decision(STOP, ended.stopped, running.reason, running.key, at)
    _remember(name, dataclasses.replace(ended, last=stop), stop)
    raise Refused(f"monitoring: {ended.stopped}")


def _rule(spec: Monitoring, clock: DataClock, *, measured_days: float) -> Rule:
    """Return the rule; a label delay that the spec leaves out is the one that the last look at quality measured."""
    assert spec.retrain is not None
    said = spec.quality.label_delay_days
    return rule_of(spec.retrain, horizon_s=clock.horizon_s, delay_days=measured_days if said is None else said)


def _remember(name: str, state: State, decided: Decision) -> None:
    """Keep a decision, the state last: a step that is killed before decides the same again."""
    if decided.action != machine.NOTHING:
        kept.log(name, dataclasses.asdict(decided))
    kept.write(name, state.document())
    _mark(name, state, decided)


def _mark(name: str, state: State, decided: Decision) -> None:
    heartbeats.leave(name, heartbeats.RETRAINING, mark(state, decided))


def mark(state: State, decided: Decision) -> dict[str, Any]:
    """Return what whoever watches is told of the last decision."""
    until = "" if decided.until is None else dt.datetime.fromtimestamp(decided.until, dt.UTC).isoformat()
    return {
        "at": decided.at,
        "action": decided.action,
        "reason": decided.reason,
        "why": decided.why,
        "failures": state.failures,
        "stopped": bool(state.stopped),
        "until": until,
    }


def _growth(name: str, spec: Retrain, clock: DataClock) -> Reason:
    """Return the reason in how much more there is to learn from, where the spec asks for one."""
    champion = _champion(name) if spec.grown is not None else ""
    then = twin.learnt_steps(name) if champion else 0
    return of_growth(clock.steps, then, spec.grown, champion=champion)


def _champion(name: str) -> str:
    return "" if mlflow_client.unmade() else aliases.status(name).holders.get("champion", "")
