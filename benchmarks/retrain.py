"""How often must a recommender be trained? The year replayed under three rules: the table of docs/retraining.md.

Reads the `rows` artifact of the last finished run. Each week is answered by the model that serves then and judged by
what its users did in that week, before anything is decided on it. `never` keeps the first model, `monthly` trains each
four weeks, `drift` asks monitoring/retraining's own state machine every week, with the drift check of monitoring/drift
against the weeks that the serving model learnt from and the fall of realised quality (monitoring/quality). What it
trains is judged beside the champion on the newest four weeks, which neither learnt, and only a gain is promoted,
refitted on all weeks; that counts as one training. `grown` asks it with one reason more: that there are half as many
weeks again to learn from as the serving model learnt from.

The model is a light one, trees over the intent model's own numbers of (user, target) pairs, so that a year takes
minutes: the question is when to train, not what. Beside the year as it was, the same year with prices doubled for good.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from benchmarks import script
from benchmarks.script import Document
from components import verdicts
from components.intent import metrics
from components.intent.encode import encode
from components.intent.examples import Examples, load
from components.verdicts import Least, Sample
from feature_repo import columns
from monitoring.drift.compare import compare
from monitoring.drift.window import MIX_VALUES, OTHER, Maker
from monitoring.quality import fall
from monitoring.reason_classes import PERFORMANCE
from monitoring.retraining import machine
from monitoring.retraining.machine import DAY_S, GAIN, NO_GAIN, Rule, State
from monitoring.retraining.reason import Reason, of_drift, of_growth, together
from monitoring.spec import Monitoring, Quality, Retrain

RULES = ("never", "monthly", "drift", "grown")
GROWN = 1.5  # times the weeks that the serving model learnt from
TREES: dict[str, Any] = {"learning_rate": 0.15, "max_iter": 80, "max_leaf_nodes": 31, "min_samples_leaf": 40}
RESAMPLES = 50
DOUBLED = 2.0


@dataclass(frozen=True)
class Sizes:
    """How much is looked at."""

    start: int  # weeks that the first model learns from
    month: int = 4  # weeks between the trainings of `monthly`; also those that judge a candidate
    users: int = 800  # whose answers are judged
    fitted: int = 5000  # user-weeks that a model learns from
    pairs: int = 30  # targets of each
    compared: int = 4000  # user-weeks of each side of a drift check
    changed: int = 22  # weeks after the first of `start` at which prices double


FULL = Sizes(start=12)
QUICK = Sizes(start=5, month=2, users=24, fitted=200, pairs=5, compared=200, changed=3)


@dataclass(frozen=True)
class Model:
    """Trees that learnt from the weeks before `until`."""

    trees: Any
    until: int


@dataclass
class World:
    """The rows of a year, with the models and predictions that were made of them, each once."""

    examples: Examples
    sizes: Sizes
    models: dict[int, Model] = field(default_factory=dict)
    said: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    @cached_property
    def weeks(self) -> list[int]:
        """Every week whose label is whole."""
        return sorted({int(w) for w in np.unique(self.examples.week)})[:-1]

    @cached_property
    def judging(self) -> np.ndarray:
        """Mark the rows of the users that are judged, the same in every week, bool [B]."""
        users = self.examples.users
        drawn = np.random.default_rng(0).permutation(int(users.max()) + 1)[: self.sizes.users]
        return np.isin(users, drawn)

    def rows_of(self, week: int) -> np.ndarray:
        """Return the positions of the rows that judge a week."""
        return np.flatnonzero(self.judging & (self.examples.week == week))

    def model(self, until: int) -> Model:
        """Return the model of the weeks before `until`."""
        if until not in self.models:
            self.models[until] = _fitted(self, until)
        return self.models[until]

    def predicted(self, model: Model, week: int) -> np.ndarray:
        """Return a model's probabilities of a week's judged rows, [B, C]."""
        key = (model.until, week)
        if key not in self.said:
            rows, C = self.rows_of(week), self.examples.labels.shape[1]
            place, target = np.repeat(np.arange(len(rows)), C), np.tile(np.arange(C), len(rows))
            x = _numbers(self.examples, rows, place, target)
            self.said[key] = model.trees.predict_proba(x)[:, 1].reshape(len(rows), C).astype(np.float32)
        return self.said[key]


def _fitted(world: World, until: int) -> Model:
    from sklearn.ensemble import HistGradientBoostingClassifier

    examples, sizes, rng = world.examples, world.sizes, np.random.default_rng(0)
    weeks = [week for week in world.weeks if week < until]
    index = np.flatnonzero(np.isin(examples.week, weeks))
    index = np.sort(rng.choice(index, min(sizes.fitted, len(index)), replace=False))
    C = examples.labels.shape[1]
    place = np.repeat(np.arange(len(index)), sizes.pairs)
    target = rng.integers(0, C, len(place))
    x, y = _numbers(examples, index, place, target), examples.labels[index[place], target]
    categories = [x.shape[1] - 1] if C <= 255 else None
    trees = HistGradientBoostingClassifier(
        **TREES, categorical_features=categories, early_stopping=False, random_state=0
    )
    return Model(trees.fit(x, y), until)


def _numbers(examples: Examples, index: np.ndarray, place: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the numbers of (row, target) pairs: of the target, of the user, and which target; float32 [N, F]."""
    parts, at_once = [], 1000
    for first in range(0, len(index), at_once):
        mine = (place >= first) & (place < first + at_once)
        encoded = encode(
            examples.rows.take(index[first : first + at_once]),
            examples.context,
            calendar=examples.calendar,
            n_targets=examples.labels.shape[1],
        )
        row = place[mine] - first
        parts.append(np.column_stack([encoded.frequency[row, target[mine]], encoded.profile[row], target[mine]]))
    return np.concatenate(parts).astype(np.float32)


@dataclass(frozen=True)
class Serving:
    """The champion: what serves, and its judged twin, which learnt from fewer weeks."""

    model: Model
    twin: Model


def replay(world: World, rule: str) -> Document:
    """Replay the year under a rule."""
    sizes = world.sizes
    first = world.weeks[sizes.start]
    serving = Serving(world.model(first), world.model(first - sizes.month))
    state, trainings = State(), 0
    points: list[fall.Point] = []
    by_week: dict[int, Document] = {}
    decisions: list[Document] = []
    for week in [w for w in world.weeks if w >= first]:
        if rule == "monthly" and week > first and (week - first) % sizes.month == 0:
            serving, trainings = Serving(world.model(week), world.model(week - sizes.month)), trainings + 1
        if rule in ("drift", "grown") and week > first:
            times = GROWN if rule == "grown" else None
            state, serving, said = _decided(world, state, serving, week, points, times=times)
            trainings += said.get("action") in machine.TRAINS
            decisions += [said] if said.get("action") != machine.NOTHING else []
        found = _judged(world, serving.model, week)
        by_week[week] = {name: round(float(values[0]), 6) for name, values in found.items()}
        low, high = verdicts.interval(found["map"][0], found["map"][1:])
        points.append(
            fall.Point(week, world.examples.calendar.start(week).isoformat(), float(found["map"][0]), low, high)
        )
    means = {name: round(float(np.mean([one[name] for one in by_week.values()])), 5) for name in ("map", "bce", "ece")}
    more = {"decisions": decisions, "stopped": bool(state.stopped)} if rule in ("drift", "grown") else {}
    return {"trainings": trainings, **means, "weeks": by_week, **more}


def _judged(world: World, model: Model, week: int) -> dict[str, np.ndarray]:
    """Return a model's figures of a week, each with its resamples behind it, [1 + R]."""
    rows = world.rows_of(week)
    weight = metrics.user_weights(_renumbered(world.examples.users[rows]), resamples=RESAMPLES)
    ones = np.ones((len(rows), 1), dtype=np.float32)
    return metrics.resampled(
        world.examples.labels[rows], world.predicted(model, week), np.concatenate([ones, weight], axis=1)
    )


def _decided(
    world: World, state: State, serving: Serving, week: int, points: Sequence[fall.Point], *, times: float | None
) -> tuple[State, Serving, Document]:
    """Ask for reasons at the start of a week, and train, judge and promote where the machine says so."""
    calendar, sizes = world.examples.calendar, world.sizes
    at = int(calendar.start(week).timestamp())
    began, until = world.weeks[0], serving.model.until
    growth = of_growth(week - began, until - began, times, champion=str(until))
    reason = together([_world(world, serving, week), _performance(points), growth])
    rule = Rule(float(calendar.pace.seconds), Retrain().budget, Retrain().after_failures)
    state, decided = machine.decide(state, reason, rule, at=at, learnable=at)
    said = {"week": week, "action": decided.action, "reason": decided.reason, "why": decided.why}
    if not decided.trains:
        return state, serving, said
    twin = world.model(week - sizes.month)
    result, words = _gain(world, twin, serving.twin, range(week - sizes.month, week))
    state = machine.judged(state, result, said=words, version=str(week))
    state = machine.settled(state, result, rule, at=at)
    if result == GAIN or decided.action == machine.TRAIN:
        serving = Serving(world.model(week), twin)
    return state, serving, said | {"result": result, "gain": words}


def _performance(points: Sequence[fall.Point]) -> Reason:
    found = fall.judged("map", points, floor=Quality().floor)
    if found.word != "fell":
        return Reason("none")
    return Reason(PERFORMANCE, found.why, f"performance {found.period}", found.since)


def _world(world: World, serving: Serving, week: int) -> Reason:
    """Compare the newest weeks with those that the serving model learnt from."""
    newest = range(week - world.sizes.month, week)
    learnt = [w for w in world.weeks if w < serving.model.until]
    reference, current = (_frame(world, weeks) for weeks in (learnt, list(newest)))
    for name in [name for name in reference.columns if str(name).startswith("mix_")]:
        common = set(reference[name].value_counts().index[:MIX_VALUES])
        for frame in (reference, current):
            frame[name] = frame[name].where(frame[name].isin(common) | frame[name].isna(), OTHER)
    spec = Monitoring(sample=max(world.sizes.compared, 100), min_rows=10, min_users=2)
    drift = compare(current, reference, spec=spec)
    about = {"reference": [learnt[0], learnt[-1]], "current": [newest[0], newest[-1]], "at": str(week)}
    return of_drift({"verdict": drift.verdict, "reason": drift.reason, **about})


def _frame(world: World, weeks: Sequence[int]) -> Any:
    examples = world.examples
    index = np.flatnonzero(np.isin(examples.week, weeks))
    index = np.sort(np.random.default_rng(0).choice(index, min(len(index), world.sizes.compared), replace=False))
    make = Maker(examples.calendar, examples.vocabulary.targets, (7, 28), np.random.default_rng(0))
    frame, _ = next(make.frames(iter([examples.rows.take(index)])))
    return frame


def _gain(world: World, twin: Model, other: Model, weeks: Sequence[int]) -> tuple[machine.Result, str]:
    """Compare two models on the same rows, paired by user; both learnt from none of these weeks."""
    if twin.until == other.until:
        return NO_GAIN, "both learnt from the same weeks"
    rows = np.concatenate([world.rows_of(week) for week in weeks])
    users, labels = _renumbered(world.examples.users[rows]), world.examples.labels[rows]
    weight = metrics.user_weights(users, resamples=RESAMPLES)
    drawn = np.concatenate([np.ones((len(rows), 1), dtype=np.float32), weight], axis=1)
    sides = []
    for model in (twin, other):
        said = np.concatenate([world.predicted(model, week) for week in weeks])
        found = metrics.resampled(labels, said, drawn)["map"]
        sides.append(Sample(float(found[0]), found[1:], len(rows), int(users.max()) + 1))
    judged = verdicts.better(*sides, least=Least())
    if judged.interval is None or judged.estimate is None:
        return NO_GAIN, judged.why
    low, high = judged.interval
    return GAIN if low > 0 else NO_GAIN, f"map {judged.estimate:+.4f} ({low:+.4f} to {high:+.4f})"


def _renumbered(users: np.ndarray) -> np.ndarray:
    return np.asarray(np.unique(users, return_inverse=True)[1])


def doubled(examples: Examples, week: int) -> Examples:
    """Return the same rows with everything paid from the start of a week on worth twice as much."""
    rows, start = examples.rows, int(examples.calendar.start(week).timestamp())
    since = np.maximum(rows.now - start, 0) / DAY_S  # [B] days
    lived = np.maximum(rows.now - rows.numbers["first_at"], 1) / DAY_S
    numbers = dict(rows.numbers)
    for name, values in rows.numbers.items():
        window = columns.window_of(name)
        kind = window[0] if window else name.rpartition("_")[0]
        if kind in ("value", "discount"):
            share = np.clip(since / (window[1] if window else lived), 0, 1)
            numbers[name] = values * (1 + (DOUBLED - 1) * share)
    return dataclasses.replace(examples, rows=dataclasses.replace(rows, numbers=numbers))


def measure(asked: argparse.Namespace) -> Document:
    """Replay the year as it was, and with prices doubled, under each rule."""
    sizes = QUICK if asked.quick else FULL
    examples = _examples(asked)
    _require_weeks(examples, sizes)
    change = sorted({int(w) for w in np.unique(examples.week)})[sizes.start + sizes.changed]
    worlds: dict[str, Callable[[], Examples]] = {
        "as it was": lambda: examples,
        f"prices doubled from week {change}": lambda: doubled(examples, change),
    }
    found: Document = {}
    for name, made in worlds.items():
        world = World(made(), sizes)
        rules: Document = {}
        for rule in RULES:
            script.note(f"{name}: {rule}")
            rules[rule] = replay(world, rule)
        found[name] = {
            "rules": rules,
            "less_monthly": {r: _less(rules[r], rules["monthly"]) for r in ("never", "drift", "grown")},
        }
        found[name]["holds"] = {
            rule: _holds(rules, found[name]["less_monthly"][rule], rule) for rule in ("drift", "grown")
        }
    return {"users": int(examples.users.max()) + 1, "targets": examples.labels.shape[1], "worlds": found}


def _require_weeks(examples: Examples, sizes: Sizes) -> None:
    from feature_repo.errors import DataError

    have, need = len(np.unique(examples.week)), sizes.start + sizes.changed + 2
    if have < need:
        raise DataError(f"rows: {have} weeks of user rows, and the replay needs {need}; give the data more weeks")


def _less(one: Document, other: Document) -> Document:
    """Return the mean difference of weekly figures, with its interval over weeks, each end 95 % sure."""
    found: Document = {}
    for name in ("map", "bce"):
        each = np.array([one["weeks"][w][name] - other["weeks"][w][name] for w in one["weeks"]])
        reach = float(special.stdtrit(len(each) - 1, verdicts.LEVEL)) * float(each.std(ddof=1)) / len(each) ** 0.5
        middle = float(each.mean())
        found[name] = {"difference": round(middle, 6), "interval": [round(middle - reach, 6), round(middle + reach, 6)]}
    return found


def _holds(rules: Document, less: Document, rule: str) -> Document:
    """Say whether a rule has monthly's quality or better, clearly worse left out, at half of its trainings."""
    _, high = less["map"]["interval"]
    return {
        "quality": less["map"]["difference"] >= 0,
        "not_clearly_worse": high >= 0,
        "trainings": rules[rule]["trainings"] <= rules["monthly"]["trainings"] / 2,
    }


def _examples(asked: argparse.Namespace) -> Examples:
    """Return the rows of the last finished run, or of the made world."""
    from benchmarks.subject import subject
    from feature_repo.errors import SpecError
    from pipelines.environment import place
    from pipelines.runs import local

    if asked.rows is not None:
        return load(asked.rows)
    if asked.quick:
        with subject(asked) as made:
            return load(made.rows)
    here = place(asked.spec, asked.env)
    last = local.last_run(here.home)
    if last is None:
        raise SpecError(f"{here.home}: no finished run to replay; `intentflow demo {here.spec_path}` makes one")
    return load(last.folders["rows"])


def text(document: Document) -> str:
    """Return the document as Markdown tables."""
    parts = []
    for name, found in document["worlds"].items():
        lines = []
        for rule, one in found["rules"].items():
            less = found["less_monthly"].get(rule, {}).get("map")
            lines.append([rule, one["trainings"], one["map"], one["bce"], one["ece"], _said(less)])
        head = ["rule", "trainings", "map", "bce", "ece", "map less monthly's"]
        decided = [
            f"{rule}, week {one['week']}: {one['action']} ({one['reason']}) {one.get('result', '')}".rstrip()
            for rule in ("drift", "grown")
            for one in found["rules"][rule]["decisions"]
        ]
        parts += [f"The year {name}", script.table(head, lines), "; ".join(decided) or "no reason in any week"]
    return "\n\n".join(parts)


def _said(less: Document | None) -> str:
    if less is None:
        return "-"
    low, high = less["interval"]
    return f"{less['difference']:+.4f} ({low:+.4f} to {high:+.4f})"


def parser() -> argparse.ArgumentParser:
    """Return the switches."""
    made = script.parser(__doc__, trained=True)
    made.add_argument("--rows", type=Path, help="a rows artifact, in place of the last run's")
    return made


if __name__ == "__main__":
    script.main(parser(), measure, text)
