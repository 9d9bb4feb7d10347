"""How far a run is, from what its steps said: ended, failed, stopped without a word, or still under way.

Kubeflow runs the last step after every step of the root that ends, so it must tell these apart. Pure: lines of the
progress file and the error file in, a state out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from components.registry.spec import DRY_RUN
from monitoring.drift_verdicts import DRIFTED, HELD_BACK

TRAINS = ("train", "shadow")  # what `decide_retraining` may say that a training follows from
State = Literal["ended", "failed", "stopped", "under way", "unknown"]


@dataclass(frozen=True)
class RunState:
    """What is known of a run."""

    state: State
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by step that ended or failed: what it told
    step: str = ""  # that failed, or was stopped
    code: int = 1  # its exit code
    why: str = ""

    def of(self, step: str) -> Mapping[str, Any]:
        """Return what a step told, nothing for one that did not run."""
        return self.facts.get(step, {})


def run_state(
    pipeline: str, lines: Iterable[Mapping[str, Any]], error: Mapping[str, Any], *, whole: bool, repeats: bool = False
) -> RunState:
    """Tell how far a run is.

    `whole` says that nothing can come after, as on one machine; `repeats`, that a scoring run may have found everything
    in the cache.

    >>> began, ended = {"step": "ingest", "share": 0.0}, {"step": "ingest", "share": 1.0, "seconds": 2}
    >>> run_state("train", [began, ended], {}, whole=False).state
    'under way'
    >>> run_state("train", [began], {"step": "ingest", "code": 2, "message": "no file"}, whole=False).why
    'no file'
    """
    open_: list[str] = []
    facts: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        step = str(line["step"])
        if "seconds" in line:
            facts[step] = dict(line.get("facts", {}))
            open_ = [one for one in open_ if one != step]
        elif step not in open_:
            open_.append(step)
    if (step := str(error.get("step", ""))) and step not in facts:
        known = facts | {step: dict(error["facts"])} if "facts" in error else facts
        return RunState("failed", known, step, int(error.get("code", 1)), str(error.get("message", "")))
    if open_:
        return RunState("stopped", facts, open_[-1])
    if whole or _at_its_end(pipeline, facts, repeats=repeats):
        return RunState("ended", facts)
    return RunState("under way" if facts else "unknown", facts)


def _at_its_end(pipeline: str, facts: Mapping[str, Mapping[str, Any]], *, repeats: bool) -> bool:
    """Tell whether a pipeline's last step has ended."""
    if pipeline == "batch":
        return "recommend" in facts or (repeats and "champion" in facts)
    if pipeline == "policy":
        learnt = facts.get("learn_policy")
        return "promote" in facts or (
            learnt is not None and (not learnt.get("passed") or learnt.get("mode") == DRY_RUN)
        )
    if "watch" not in facts:
        return False
    if (decided := facts.get("decide_retraining")) is not None:
        return decided.get("action") not in TRAINS or _released(facts)
    verdict = facts["watch"].get("verdict")
    if pipeline == "train" or verdict not in (DRIFTED, *HELD_BACK):
        return True
    if verdict in HELD_BACK:  # `decide` fails, and its error file says so
        return False
    return _released(facts)


def _released(facts: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether a training of the pipeline `retrain` has come to its end: promoted, or held back."""
    if "weigh" in facts and not facts["weigh"].get("promotes"):
        return not facts.get("need_baseline", {}).get("wanted")
    held_back = facts.get("register", {}).get("passed") is False and not facts.get("need_baseline", {}).get("wanted")
    return "promote" in facts or held_back
