"""The spec's gates applied to measured numbers: what holds, what does not, what cannot be told, and why, in words.

A gate passes where the interval of what was measured clears its limit, refuses where all of it is on the wrong side,
and is undecided in between, or where too little was measured: `components/verdicts.py` judges. Budgets are measured
once and compared as points, and so is an evaluation that is older than its resamples.

Pure: numbers in, a verdict out. Reads no file and no registry, moves no alias; report.py writes it for people.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components import verdicts
from components.registry.baseline_champion import WORDS
from components.registry.gate_inputs import Champion, Group, Measurements, ResourceUse
from components.registry.gate_metrics import BY_NAME, lower_is_better
from components.registry.spec import Gate, Parity
from components.verdicts import PASSED, REFUSED, UNDECIDED, Judgement, Sample, Word

PARITY = "parity"
OLDER = "written before evaluations kept resamples"
LIKE = ", by its like, trained at this candidate's cutoffs, since it has learnt from them"


@dataclass(frozen=True)
class Outcome:
    """What one gate said, of all rows or of one cohort."""

    metric: str
    value: float | None
    against: str
    compared: float | None  # the other's value, None where there is none
    limit: float | None  # the worst value that passes
    verdict: Word
    reason: str
    cohort: str = ""
    rows: int | None = None  # None: not counted
    users: int | None = None
    interval: tuple[float, float] | None = None  # of the value, or of the difference to the other's
    level: float | None = None  # how sure each end of it is
    skipped: bool = False  # nothing was judged, and it holds nothing back
    used: ResourceUse | None = None  # the tolerance: what the next release finds
    place: str = ""  # in the spec

    @property
    def name(self) -> str:
        """Name what was judged, as 'ranking.ndcg_at_10 of segment 3'."""
        return f"{self.metric} of {self.cohort}" if self.cohort else self.metric

    @property
    def passed(self) -> bool:
        """Whether it holds nothing back."""
        return self.skipped or self.verdict == PASSED

    def document(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self) | {"passed": self.passed}


@dataclass(frozen=True)
class Verdict:
    """What all gates said together."""

    outcomes: tuple[Outcome, ...]

    @property
    def word(self) -> Word:
        """Say it in a word; what was skipped has no say."""
        return verdicts.together([outcome.verdict for outcome in self.outcomes if not outcome.skipped])

    @property
    def passed(self) -> bool:
        """Whether no gate holds the release back."""
        return self.word == PASSED

    @property
    def refusals(self) -> str:
        """Join the reasons of the gates that did not pass."""
        return "; ".join(outcome.reason for outcome in self.outcomes if not outcome.passed)

    def beside(self, outcome: Outcome) -> "Verdict":
        """Return the verdict with one outcome more."""
        return Verdict((*self.outcomes, outcome))

    def document(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        gates = [outcome.document() for outcome in self.outcomes]
        return {"passed": self.passed, "verdict": self.word, "gates": gates}

    def tolerance(self) -> dict[str, Any]:
        """Return as JSON values how often tolerances were used up to this release."""
        return {o.name: asdict(o.used) for o in self.outcomes if o.used is not None and o.used.times}


@dataclass(frozen=True)
class _Case:
    """One gate on one group of rows."""

    gate: Gate
    group: Group
    champion: Champion | None
    place: str
    cohort: str = ""
    same_rows: bool = False  # as the champion was judged on

    @property
    def lower(self) -> bool:
        return lower_is_better(self.gate.metric)

    @property
    def name(self) -> str:
        note = self.group.notes.get(self.gate.metric)
        return " of ".join([self.gate.measured, *([self.cohort] if self.cohort else []), *([note] if note else [])])

    @property
    def quality(self) -> bool:
        return BY_NAME[self.gate.metric].kind == "quality"

    def sides(self) -> tuple[Sample, Sample | None]:
        """Return what was measured, and the other's where the gate compares with one that has it."""
        gate, group = self.gate, self.group
        if gate.against == "value":
            return group.sample(gate.measured), None
        if gate.against == "baseline":
            return group.sample(gate.measured), group.baseline_sample(gate.measured)
        other = None if self.champion is None else self.champion.sample(gate.measured)
        return (group.sample if self.cohort else group.shared_sample)(gate.measured), other

    def at_least(self, value: float, other: float) -> bool:
        """Tell whether a value is as good as another."""
        return value <= other if self.lower else value >= other


def evaluate(gates: Sequence[Gate], candidate: Measurements, *, champion: Champion | None) -> Verdict:
    """Judge what a candidate was measured to be; without a champion, gates against it hold nothing back."""
    return Verdict(
        tuple(
            outcome
            for number, gate in enumerate(gates)
            for outcome in _judged(gate, candidate, champion, f"promotion.gates[{number}]")
        )
    )


def parity(document: Mapping[str, Any], rules: Parity) -> Outcome:
    """Judge a replay of logged answers, {checked, mismatches, first: {field, online, offline}}.

    >>> first = {"field": "sessions_28d", "online": 3.0, "offline": 4.0}
    >>> parity({"checked": 9, "mismatches": 1, "first": first}, Parity()).reason
    '1 of 9 logged answers differ when they are replayed: first sessions_28d, online 3.0, offline 4.0'
    """
    checked, mismatches = int(document["checked"]), int(document["mismatches"])
    word: Word = UNDECIDED
    if mismatches:
        first = document.get("first") or {"field": "an unnamed field", "online": "?", "offline": "?"}
        word = REFUSED
        reason = (
            f"{mismatches} of {checked} logged answers differ when they are replayed: "
            f"first {first['field']}, online {first['online']}, offline {first['offline']}"
        )
    elif checked < rules.min_checked:
        reason = f"{checked} logged answers were replayed, fewer than promotion.parity.min_checked, {rules.min_checked}"
    elif checked:
        reason, word = f"{checked} logged answers were replayed and none differs", PASSED
    else:
        reason = "not checked: no answer is logged yet, so none was replayed"
    skipped = not checked and not rules.min_checked
    return Outcome(PARITY, float(mismatches), "replay", None, 0.0, word, reason, rows=checked, skipped=skipped)


def words(document: Mapping[str, Any]) -> Outcome:
    """Judge a prompt with its model by words.json, {named, asked, why, judged: {texts, titles: {prompt, broken, …}}}.

    Without an endpoint in the environment it holds nothing back: doors there write fixed sentences.

    >>> words({"named": False, "asked": False, "why": "INTENTFLOW_LLM names no endpoint", "judged": {}}).skipped
    True
    """
    place, judged = "content.model", document["judged"]
    broken = [f"{told['prompt']}: {one}" for told in judged.values() for one in told["broken"]]
    value = float(judged["texts"]["evaluation"]["served"]) if judged else None
    if not document["asked"]:
        reason, word = f"no text was judged: {document['why']}", UNDECIDED
        if document["named"]:
            reason = f"{reason}; start it and run again, or leave {place} out"
    elif broken:
        reason, word = f"{'; '.join(broken)}; {place}: another prompt or model, or leave it out", REFUSED
    else:
        counts = [f"{told['evaluation']['served']:.0%} served of {name}" for name, told in judged.items()]
        reason, word = f"the prompts keep their bounds with {document['model']}: {', '.join(counts)}", PASSED
    rows = sum(int(told["evaluation"]["cases"]) for told in judged.values())
    skipped = not document["named"]
    return Outcome(WORDS, value, "value", None, None, word, reason, rows=rows, skipped=skipped, place=place)


def _judged(gate: Gate, candidate: Measurements, champion: Champion | None, place: str) -> Iterator[Outcome]:
    """Judge a gate on all rows, or on each group of its cohort."""
    if gate.cohort is None:
        part = gate.metric.split(".")[0]
        mine = candidate.judged_on.get(part, "")
        same = bool(mine) and champion is not None and champion.judged_on(part) == mine
        yield _one(_Case(gate, candidate.overall, champion, place, same_rows=same))
        return
    empty = True
    for name, group in candidate.of_kind(gate.cohort, gate.metric).items():
        case = _Case(gate, group, champion and champion.cohort(name), place, name)
        if why := verdicts.too_little(group.sample(gate.metric), gate.least):
            yield _skipped(case, f"{name}: {why}: skipped")
            continue
        empty = False
        if _others(gate, candidate, champion):
            yield _skipped(case, "the champion's segments are other groups of users: skipped")
        else:
            yield _one(case)
    if empty:
        yield _empty(_Case(gate, Group(), None, place, gate.cohort))


def _empty(case: _Case) -> Outcome:
    """Say that no group of a cohort could be judged: never passed, and held back unless the gate allows it."""
    least = case.gate.least
    reason = (
        f"no {case.cohort} has {least.rows} rows of {least.users} users, so {case.gate.metric} was not judged by it"
    )
    if case.gate.when_empty == "allow":
        return _skipped(case, f"{reason}; {case.place}.when_empty allows that")
    return _undecided(case, f"{reason}; {case.place}: lower min_rows or min_users, or `when_empty: allow`")


def _others(gate: Gate, candidate: Measurements, champion: Champion | None) -> bool:
    """Tell whether segments are numbered anew, so that the champion's 'segment 3' is not the candidate's."""
    against = gate.cohort == "segment" and gate.against == "champion"
    return against and champion is not None and champion.segments != candidate.segments


def _one(case: _Case) -> Outcome:
    gate, (mine, other) = case.gate, case.sides()
    value = finite(mine.value)
    if value is None:
        return _undecided(case, f"{case.name} was not measured; {case.place}")
    compared = gate.limit if gate.against == "value" else finite(other.value) if other else None
    if compared is None:
        if gate.against == "baseline":
            return _undecided(case, f"the baseline has no {case.name}; {case.place}")
        absent = "there is no champion yet" if case.champion is None else f"the champion has no {case.name}"
        return _skipped(case, absent)
    limit = _limit(gate, compared)
    if other is None:
        found = verdicts.within(mine, limit, lower=case.lower, least=gate.least)
    else:
        # By cohort each side was drawn by itself, unless both are of one evaluation.
        paired = not case.cohort or gate.against == "baseline"
        slack = abs(limit - compared)
        found = verdicts.better(mine, other, tolerance=slack, lower=case.lower, paired=paired, least=gate.least)
    outcome = _outcome(case, found, _words(case, value, compared, limit, found), compared=compared, limit=limit)
    return outcome if gate.repeats is None else _counted(case, outcome, value, compared)


def _counted(case: _Case, found: Outcome, value: float, compared: float) -> Outcome:
    """Count the uses of a tolerance up to the champion, so that many small steps down do not add up.

    The count begins anew only once a release is as good as the champion was before the first of them.
    """
    before = (case.champion.used.get(case.name) if case.champion else None) or ResourceUse()
    since = compared if before.since is None else before.since
    if case.at_least(value, since):
        return dataclasses.replace(found, used=ResourceUse())
    if case.at_least(value, compared):
        return dataclasses.replace(found, used=dataclasses.replace(before, since=since))
    most = case.gate.repeats or 0
    if found.passed and before.times >= most:
        reason = (
            f"{case.name} {shown(value)} is worse than the champion's {shown(compared)}, and the tolerance was used "
            f"{before.times} of {most} times since {shown(since)}; {case.place}"
        )
        return dataclasses.replace(found, verdict=REFUSED, limit=compared, reason=reason, used=before)
    if not found.passed:
        return dataclasses.replace(found, used=before)
    used = ResourceUse(before.times + 1, since)
    return dataclasses.replace(found, used=used, reason=f"{found.reason}; use {used.times} of {most}")


def _limit(gate: Gate, compared: float) -> float:
    """Return the worst value that passes: the tolerance is a share of the size of what is compared with."""
    slack = gate.tolerance * abs(compared)
    return compared + slack if lower_is_better(gate.metric) else compared - slack


def _words(case: _Case, value: float, compared: float, limit: float, found: Judgement) -> str:
    gate, ceiling = case.gate, case.lower
    if found.why:
        return f"{case.name} {shown(value)} was not judged: {found.why}; {case.place}: min_rows, min_users"
    passing, failing = ("at most", "above") if ceiling else ("at least", "below")
    relation = {PASSED: passing, REFUSED: failing, UNDECIDED: f"not clearly {passing} nor {failing}"}[found.word]
    if gate.against == "value":
        whose = f"the {'ceiling' if ceiling else 'floor'} {shown(compared)}"
    else:
        whose = f"the {gate.against}'s {shown(compared)}"
    slack = f" {'plus' if ceiling else 'less'} the tolerance of {gate.tolerance:.0%} ({shown(limit)})"
    said = f"{case.name} {shown(value)} is {relation} {whose}{slack if gate.tolerance else ''}{_behind(case, found)}"
    if found.word == UNDECIDED:
        edit = "limit" if gate.against == "value" else "tolerance"
        return f"{said}; more test weeks or users would tell, or another {edit} in {case.place}"
    return said if found.word == PASSED else f"{said}; {case.place}"


def _behind(case: _Case, found: Judgement) -> str:
    """Say what a comparison of qualities rests on: its interval, rows and users."""
    if not case.quality:
        return ""
    counts = [f"{number:,} {noun}" for number, noun in ((found.rows, "rows"), (found.users, "users")) if number]
    rests = f", {' of '.join(counts)}" if counts else ""
    if found.interval is None:
        return f" (no interval: {_unknown(case)}{rests})"
    low, high = found.interval
    if case.gate.against == "value":
        return f" (interval {shown(low)} to {shown(high)}{rests})"
    return f" (difference {found.estimate:+.3g}, interval {low:+.3g} to {high:+.3g}{rests}{_pairing(case)})"


def _unknown(case: _Case) -> str:
    """Say why there is no interval."""
    mine, other = case.sides()
    if mine.resampled is not None and other is not None and case.gate.against == "champion":
        return f"the champion was {OLDER}"
    part = case.gate.metric.split(".")[0]
    resampled = any(
        name.startswith(f"{part}.") and one.resampled is not None for name, one in case.group.samples.items()
    )
    return "it is not resampled" if resampled else OLDER


def _pairing(case: _Case) -> str:
    if case.gate.against == "baseline":
        return ""
    if case.cohort:
        return ", unpaired"
    if case.same_rows:
        anew = case.champion is not None and case.champion.retrained
        return f", paired by user on the same rows{LIKE if anew else ''}"
    why = case.champion.elsewhere if case.champion else ""
    return f", paired by user on each release's own test rows{f', since {why}' if why else ''}"


def _undecided(case: _Case, reason: str) -> Outcome:
    mine = case.group.sample(case.gate.measured)
    return _outcome(case, Judgement(UNDECIDED, None, None, mine.rows, mine.users), reason)


def _skipped(case: _Case, reason: str) -> Outcome:
    return dataclasses.replace(_undecided(case, reason), skipped=True)


def _outcome(
    case: _Case, found: Judgement, reason: str, *, compared: float | None = None, limit: float | None = None
) -> Outcome:
    return Outcome(
        case.gate.measured,
        finite(case.group.values.get(case.gate.measured)),
        case.gate.against,
        compared,
        limit,
        found.word,
        reason,
        cohort=case.cohort,
        rows=found.rows,
        users=found.users,
        interval=found.interval,
        level=None if found.interval is None else verdicts.LEVEL,
        place=case.place,
    )


def finite(value: float | None) -> float | None:
    """Return a number that compares, else None."""
    return value if value is not None and math.isfinite(value) else None


def shown(value: float | None) -> str:
    """Return a number as reasons and reports show it."""
    return "-" if value is None else f"{value:.6g}"
