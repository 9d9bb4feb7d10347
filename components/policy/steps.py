"""The steps of the pipeline `policy`: gather the log of what was explored, learn a policy from it and judge it.

Registering what passed is the registry's (components/registry/policy_release.py). The shells for Kubeflow are in
component.py.
"""

import contextlib
import dataclasses
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from components.policy import logs as logs_of
from components.policy import policies
from components.policy.evaluation import gate, overlap
from components.policy.evaluation.estimators import Estimate, Settings
from components.policy.evaluation.gate import Verdict
from components.policy.evaluation.logged import Logged
from components.policy.learning import log_lines
from components.policy.learning.answers import Answers, LoggedAnswer, joined
from components.policy.learning.judged import Learnt, learnt
from components.policy.learning.running import Running
from components.policy.learning.spec import PolicyLearning
from components.policy.logs import Logs
from components.policy.rewards import Found, once
from components.policy.spec import GREEDY, GuardRails, PolicySlice
from components.step import step
from components.verdicts import PASSED
from feature_repo import env_names, files
from feature_repo.errors import DataError, SpecError
from feature_repo.privacy.new_names import NewNames

CANDIDATE, VERDICT = "candidate.json", "verdict.json"  # of the artifacts
COUNTS, RUNNING = "counts.json", "running.json"
DRY_RUN = "dry_run"
UNKNOWN = 0.5  # how likely an explorer shows what greedy does: any number below 1 says that the log cannot tell


def gather(policy: str, release: str, *, folder: str, names: NewNames | None = None) -> None:
    """Join the request log with its rewards; write what learning reads, without a name.

    Both are the state folder's, the rewards those of the table. Where doors ship their logs to a store
    (`requests.url`), as on a cluster, both are made from the store. `release` is the one that serves: what is learnt
    is compared with its policy. `names` are people's new ones, while the pseudonyms' key is being changed.
    """
    with step("policy_log") as progress, _logs(_declared(policy), names or NewNames()) as logs:
        counts: Counter[str] = Counter()
        running, answers = _of_running(logs, release, counts)
        with files.written_folder(Path(folder)) as aside:
            found = joined(answers, logs.rewarded(), now=time.time()) if answers else None
            if found is not None:
                log_lines.write(aside, found)
            files.write_json(aside / COUNTS, dict(counts))
            files.write_json(aside / RUNNING, running.document())
        rows = 0 if found is None else int(found.filled.sum())
        progress.count(rows_in=sum(counts.values()), rows_out=rows, **{k: counts[k] for k in _COUNTED})
        progress.tell(**{k: counts[k] for k in _COUNTED}, rows=rows)


_COUNTED = (log_lines.SHOWN, log_lines.GREEDY, log_lines.RAILED, log_lines.OTHER)


def _logs(declared: PolicySlice, names: NewNames) -> contextlib.AbstractContextManager[Logs]:
    """Return the logs that this step reads: the store's where doors ship to one, else the state folder's."""
    address = os.environ.get(env_names.REQUESTS_URL, "")
    return logs_of.shipped(address, declared, names) if address else logs_of.kept(_home(), declared, names)


def _of_running(logs: Logs, release: str, counts: Counter[str]) -> tuple[Running, list[LoggedAnswer]]:
    """Return the policy that serves, and the answers that it can be compared by."""
    declared = logs.declared
    lines = list(once(logs.answers(), Found()))
    if not any(line["items"] for line in lines):
        raise DataError(
            f"policy log: {logs.where} holds no answer; a policy is learnt from what was shown: serve first, and keep "
            "the request log on this machine, or have doors ship it (requests.url)"
        )
    running = Running.of(lines, release)
    answers = list(log_lines.explored(lines, counts, running=running, candidates=declared.candidates))
    if counts[log_lines.OTHER] and not answers:
        raise DataError(
            f"policy log: none of {counts[log_lines.OTHER]} answers that explored is of {running.policy}, which serves,"
            f" among policy.candidates: {declared.candidates}; let it answer, or declare what it was served with"
        )
    return running, answers


def learn(
    policy: str,
    *,
    log: str,
    mode: str,
    folder: str,
    report: str,
    log_metric: Callable[[str, float], None] | None = None,
) -> bool:
    """Learn a policy and judge it; tell whether it may be registered: it passed, and this is no dry run."""
    with step("learn_policy") as progress:
        declared = _declared(policy)
        how = declared.learn or PolicyLearning()
        answers = log_lines.read(Path(log))
        running = Running(**files.read_json(Path(log) / RUNNING))
        found = None if answers is None else _learnt(declared, how, answers, running)
        verdict = _first(how, declared, Path(log)) if found is None else found.verdict
        with files.written_folder(Path(folder)) as aside:
            files.write_json(aside / CANDIDATE, _candidate(declared, found))
            files.write_json(aside / VERDICT, _document(verdict, found))
            if found is not None:
                found.head.save(aside)
        with files.written(Path(report)) as part:
            part.write_text(page(verdict, found, how))
        if log_metric is not None and found is not None:
            for name, value in _figures(found).items():
                log_metric(name, value)
        passed = verdict.word == PASSED
        progress.count(rows_in=verdict.overlap.rows, verdict=verdict.word, learner=how.learner)
        progress.tell(passed=passed, verdict=verdict.word, why=verdict.why, mode=mode, learner=how.learner)
    return passed and mode != DRY_RUN


def _declared(policy: str) -> PolicySlice:
    """Return the spec's slice, which must explore: a greedy policy leaves nothing to learn from."""
    if not policy:
        raise SpecError(
            "policy: is absent, so that nothing is explored and nothing can be learnt; declare one, such as "
            "{name: softmax, guard: {share: 0.1}}"
        )
    found = PolicySlice.model_validate_json(policy)
    if not found.explores:
        raise SpecError(f"policy.name: '{GREEDY}' explores nothing that could be learnt from; use softmax, such as "
                        "{name: softmax, guard: {share: 0.1}}")  # fmt: skip
    if not found.rewards:
        raise SpecError(
            "policy.rewards: is empty, so that no answer has a reward to learn from; declare one, such as "
            "{name: purchase, event: [purchase], within: 24h}"
        )
    return found


def _learnt(declared: PolicySlice, how: PolicyLearning, answers: Answers, running: Running) -> Learnt:
    rewards = answers.reward[answers.filled]
    settings = Settings(reward_bounds=(float(min(rewards.min(), 0.0)), float(max(rewards.max(), 1.0))))
    return learnt(
        answers,
        how.learner,
        temperature=how.temperature,
        share=declared.guard.share,
        rule=how.rule(),
        settings=settings,
        greedy=running.greedy,
    )


def _first(how: PolicyLearning, declared: PolicySlice, log: Path) -> Verdict:
    """Judge the spec's own explorer by a log in which nothing was explored."""
    counts = files.read_json(log / COUNTS)
    rows = int(counts.get(log_lines.GREEDY, 0)) + int(counts.get(log_lines.RAILED, 0))
    greedy = Logged(np.zeros(rows), np.ones(rows), np.full(rows, UNKNOWN))
    verdict = gate.judge(greedy, how.rule(guard_rails=rails(declared.guard)))
    return dataclasses.replace(verdict, running=math.nan)  # nobody joined rewards to a log that cannot tell


def rails(guard: GuardRails) -> str:
    """Say what bounds an explorer's harm; '' where nothing does: to spare some places or people bounds no others'.

    >>> rails(GuardRails(share=0.1, placements=("checkout",)))
    '10 % of answers at most, none at checkout'
    >>> rails(GuardRails(placements=("checkout",)))
    ''
    """
    found = [f"{100 * guard.share:g} % of answers at most"] if guard.share < 1 else []
    if guard.per_user_day is not None and guard.per_user_day < 1:
        found.append(f"{100 * guard.per_user_day:g} % of a user's places of a day at most")
    if guard.floor is not None:
        found.append(f"{100 * guard.floor:g} % of the greedy list's expected value at least")
    if not found:
        return ""
    found += [f"none at {', '.join(guard.placements)}"] if guard.placements else []
    found += [f"none for {', '.join(guard.cohorts)}"] if guard.cohorts else []
    return ", ".join(found)


def _candidate(declared: PolicySlice, found: Learnt | None) -> dict[str, Any]:
    """Return what a release says of the policy: its name and what the door reads of it."""
    if found is None:
        return {"name": declared.chosen().name, "slice": declared.slice()}
    policy = found.head.policy(candidates=declared.candidates)
    settings = {"name": policy.name, "settings": policies.settings_of(policy)}
    return {"name": policy.name, "slice": declared.slice() | settings}


def _document(verdict: Verdict, found: Learnt | None) -> dict[str, Any]:
    every = {} if found is None else {name: _shown(one) for name, one in found.estimates.items()}
    return verdict.document() | {"estimates": every}


def _shown(one: Estimate) -> dict[str, Any]:
    ends = {"low": one.bootstrap.low, "high": one.bootstrap.high}
    found = {"value": one.value, **ends, "ess": one.ess, "trusted": one.trusted}
    if one.parameter is not None:
        found["parameter"] = one.parameter
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def _figures(found: Learnt) -> dict[str, float]:
    """Return what Kubeflow compares between runs."""
    shown = {"running": found.verdict.running, "ess": found.verdict.overlap.ess}
    if (one := found.verdict.estimate) is not None:
        shown |= {"value": one.value, "low": one.bootstrap.low, "high": one.bootstrap.high}
    return {f"policy.{name}": value for name, value in shown.items() if np.isfinite(value)}


def page(verdict: Verdict, found: Learnt | None, how: PolicyLearning) -> str:
    """Return the report: the verdict, every estimator's figures, and what the log supports."""
    lines = [f"# Policy: {verdict.word}", "", f"{verdict.why[0].upper()}{verdict.why[1:]}.", ""]
    if found is not None:
        lines += [
            f"Learnt by `{how.learner}`; the gate rests on `{how.estimator}` and its {how.interval} interval. Values "
            "are rewards a place, on users that were not learnt from.",
            "",
            "| estimator | value | 95 % from | to | ESS |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(
                f"| {name}{_how(one)} | {one.value:.4g} | "
                f"{one.bootstrap.low:.4g} | {one.bootstrap.high:.4g} | {one.ess:.0f} |"
                for name, one in found.estimates.items()
            ),
            f"| the running policy | {verdict.running:.4g} | | | |",
            "",
        ]
    return "\n".join([*lines, _supported(verdict.overlap), ""])


def _how(one: Estimate) -> str:
    """Say what must be known of an estimate beside its name: that its weights are cut, and by how much."""
    if not one.trusted:
        return " (never enough alone)"
    return "" if one.parameter is None else f" ({'tau' if one.name == 'switch_dr' else 'lambda'} {one.parameter:g})"


def _supported(found: overlap.Overlap) -> str:
    return (
        f"Overlap: {found.rows} places of {found.users} users, of which {found.ess:.0f} count; the largest weight is "
        f"{found.largest_weight:.3g}, the mean {found.mean_weight:.3g} (1 where the log supports the policy)."
    )


def _home() -> Path:
    home = os.environ.get(env_names.HOME)
    if not home:
        raise DataError(f"policy log: {env_names.HOME} names no state folder; learn where the logs lie")
    return Path(home)


def read_candidate(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a policy artifact's candidate and verdict."""
    return json.loads((folder / CANDIDATE).read_text()), json.loads((folder / VERDICT).read_text())
