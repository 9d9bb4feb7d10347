"""What is each intent architecture worth, and what does it cost? All of them on the same rows of one finished run.

With `--rows FOLDER` the rows are made of the spec instead, and hold users' last events; no run is needed.

Each is trained with the same seeds on the same training users, as many as let the slowest stay within the budget of a
cell (`--cell-s`, processor seconds of one training; a probe on a twentieth of the users tells), and judged on the same
test rows, over the targets of intents with a level. Figures are means over the seeds; `ci95` is an interval over
resampled users, which all sides share, and holds no chance of training, for which `by_seed` stands. `less_default` is
each side less the spec's own architecture. A variant stands behind a `+`, such as `transformer+temperature`; a network
that reads the event memory ends in `_events`, where the run's rows hold it (`profiles.memory: training`). Sides of
text, such as `text` and `text+lora`, are named with --only (`--only texts` is all of them, beside the spec's own
architecture and trees), since their rows hold which items users had: where a run's rows lack these, they are made for
the bench. A text is read in tens of milliseconds, so name `--judge-users` and `--tokens` with them. `--resume` keeps
each training's figures in a file, and a run that was broken off goes on behind them.

Letters: B rows, C targets, H targets of the headline, R resamples of users.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import histories, made_rows, script, subject
from benchmarks.cells import Cells
from benchmarks.script import Document
from components import verdicts
from components.intent import decisions, metrics
from components.intent import examples as intent_examples
from components.intent.ensemble_train import train
from components.intent.examples import Examples
from components.intent.networks import ENSEMBLE, NETWORKS, TEXT, TREES
from components.intent.score import IntentScorer
from components.intent.spec import EVENTS, OF_NETWORKS, IntentModel
from components.verdicts import Least, Sample
from feature_repo import columns
from feature_repo.errors import SpecError

METRICS = {"macro_auroc": False, "map": False, "bce": True}  # whether lower is better
FIGURES = ("map", "macro_auroc", "f1_micro", "f1_macro", "ece", "bce", "brier")
COSTS = ("fit_cpu_s", "predict_us_1", "predict_us_256", "size_mb")
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "temperature": {"calibrate": "temperature"},
    "isotonic": {"calibrate": "isotonic"},
    "balanced": {"loss": {"positives": "balanced"}, "calibrate": "isotonic"},
    "focal": {"loss": {"focal": 2.0}, "calibrate": "isotonic"},
    "small": {"compress": {"prune": 0.5, "quantize": "int8"}},  # which of both serves is what is measured
}
OF_TEXT: Mapping[str, Mapping[str, Any]] = {
    name: {"text": {"tune": name}} for name in ("full", "lora", "dora", "adalora", "ia3", "prefix", "adapter")
}  # what is trained of the encoder, beside the head
OF_EVENTS = "_events"  # ends the name of a network that reads the event memory, on the same rows
READERS = tuple(f"{name}{OF_EVENTS}" for name in NETWORKS)
ALONE = (*NETWORKS, TEXT, TREES, ENSEMBLE, *READERS)  # what may be named, without a variant
SIDES = (*NETWORKS, TREES, *(f"transformer+{name}" for name in VARIANTS))
TEXTS = (TEXT, *(f"{TEXT}+{name}" for name in OF_TEXT))  # sides that are named with --only: rows need histories
ALL_TEXTS = "texts"  # of --only: these, beside the run's own architecture and trees
QUICK = (*NETWORKS, TREES, "cnn+temperature")
CELL_S, QUICK_CELL_S = 300.0, 60.0
PROBE, LEAST_USERS = 20, 50  # one in so many training users is probed, and no fewer than so many
ASKED, BATCH = 64, 256  # rows that are asked one at a time; rows of a batch


@dataclass(frozen=True)
class World:
    """A recommender's rows, and the model that its spec asks for."""

    name: str
    examples: Examples
    intent: IntentModel
    held: int  # training steps that are scored out of time


@dataclass(frozen=True)
class Judge:
    """The test rows that all sides are judged on."""

    examples: Examples
    test: np.ndarray  # [B] positions
    head: np.ndarray  # [C] bool
    weight: np.ndarray  # [B, R] how often a resample draws the row

    @classmethod
    def of(cls, examples: Examples) -> "Judge":
        """Take the examples' test rows."""
        test = examples.part("test")
        user = np.unique(examples.users[test], return_inverse=True)[1]
        return cls(examples, test, decisions.headline(examples.vocabulary), metrics.user_weights(user))

    @property
    def users(self) -> int:
        """Count the users of the test rows."""
        return len(np.unique(self.examples.users[self.test]))


@dataclass(frozen=True)
class Side:
    """One way to predict, trained with several seeds."""

    figures: list[dict[str, float]]  # by seed
    drawn: list[dict[str, np.ndarray]]  # by seed, each metric [R]
    costs: dict[str, float]

    @classmethod
    def of(cls, found: Sequence[Document]) -> "Side":
        """Put the cells of a side together, one a seed."""
        return cls(
            [one["figures"] for one in found],
            [{metric: np.array(drawn) for metric, drawn in one["drawn"].items()} for one in found],
            {cost: float(np.mean([one["costs"][cost] for one in found])) for cost in COSTS},
        )

    def sample(self, metric: str, judge: Judge) -> Sample:
        """Return the mean over seeds of a metric, on all rows and on each resample."""
        value = float(np.mean([one[metric] for one in self.figures]))
        return Sample(value, np.mean([one[metric] for one in self.drawn], axis=0), len(judge.test), judge.users)


def measure(asked: argparse.Namespace) -> Document:
    """Train and judge all sides."""
    world = _world(asked)
    examples, spec = world.examples, world.intent
    names = _names(asked, spec)
    if not (asked.only or asked.quick) and columns.EVENT_LISTS[0] in examples.rows.lists:
        names += READERS
    examples = examples if asked.judge_users is None else fewer_judges(examples, asked.judge_users)
    specs = {name: spec_of(name, spec, tokens=asked.tokens) for name in names}
    cell_s = min(asked.cell_s, QUICK_CELL_S) if asked.quick else asked.cell_s
    seeds, held = 2 if asked.quick else asked.seeds, world.held
    about = {"recommender": world.name, "rows": len(examples.week), "labels": int(examples.labels.sum()),
             "cell_s": cell_s, "judge_users": asked.judge_users, "tokens": asked.tokens}  # fmt: skip
    cells = Cells(asked.resume, about)
    share = cells.kept("share", lambda: {"train": shared(examples, specs, held=held, cell_s=cell_s)})["train"]
    judge, taught = Judge.of(examples), some_users(examples, share)
    for seed in range(seeds):  # all sides with one seed first, so that what was broken off is a table
        for name, one in specs.items():
            cells.kept(
                f"{name}, seed {seed}",
                partial(_trained, judge, taught, one.model_copy(update={"seed": seed}), name=name, held=held),
            )
    sides = {name: Side.of([cells.kept(f"{name}, seed {seed}", dict) for seed in range(seeds)]) for name in specs}
    own = name_of(spec)
    default = sides.get(own)
    return {
        "recommender": world.name,
        "seeds": list(range(seeds)),
        "cell_s": cell_s,
        "train_share": round(share, 4),
        "rows": {"train": len(taught.part("train")), "of": len(examples.part("train")), "test": len(judge.test)},
        "users": judge.users,
        "targets": int(judge.head.sum()),
        "default": own,
        "intent": {name: _document(side, judge) for name, side in sides.items()},
        "less_default": {
            name: {metric: _difference(side, default, metric, judge) for metric in METRICS}
            for name, side in sides.items()
            if default is not None and side is not default
        },
    }


def _world(asked: argparse.Namespace) -> World:
    """Take the rows of the last finished run, or make those of the spec."""
    if asked.rows is not None and not asked.quick:
        spec, examples = made_rows.with_events(asked.spec, asked.rows)
        model, held = spec.models.intent, spec.models.ranking.train_weeks
        return World(spec.name, _told(asked, model, examples, asked.rows / made_rows.PROFILES), model, held)
    with subject.subject(asked) as found:
        examples = intent_examples.load(found.rows, found.intents)
        told = _told(asked, found.intent, examples, found.profiles)
        return World(found.name, told, found.intent, found.ranking.train_weeks)


def _told(asked: argparse.Namespace, spec: IntentModel, examples: Examples, profiles: Path) -> Examples:
    """Add to rows what sides of text read of them, where there are such sides."""
    return histories.added(examples, profiles) if set(_names(asked, spec)) & set(TEXTS) else examples


def _names(asked: argparse.Namespace, spec: IntentModel) -> tuple[str, ...]:
    if asked.only == ALL_TEXTS:
        return tuple(dict.fromkeys((name_of(spec), TREES, *TEXTS)))
    return tuple(asked.only.split(",")) if asked.only else QUICK if asked.quick else SIDES


def spec_of(name: str, spec: IntentModel, *, tokens: int | None = None) -> IntentModel:
    """Return the spec of a side: the run's own, with another architecture and a variant's options.

    `tokens` bounds the word pieces that sides of text read.
    """
    side, _, variant = name.partition("+")
    variants = {**VARIANTS, **OF_TEXT} if side == TEXT else VARIANTS
    if side not in ALONE or (variant and variant not in variants):
        raise SpecError(
            f"--only: '{name}' is no side; use {', '.join(ALONE)}, with + and one of {', '.join(variants)}, or without"
        )
    architecture = side.removesuffix(OF_EVENTS)
    said = {"architecture": architecture, "reads": EVENTS if side in READERS else "steps"}
    asked = spec.model_dump(exclude_unset=True) | said | dict(variants.get(variant, {}))
    unread: tuple[str, ...] = (*OF_NETWORKS, "members")  # of trees; and the run's rows hold no vectors of titles
    if architecture == ENSEMBLE:
        unread = ("titles", "text")
    elif architecture != TREES:
        unread = ("trees", "members", "titles", "layers" if architecture == TEXT else "text")
    if architecture == TEXT and tokens is not None:
        asked["text"] = asked.get("text", {}) | {"tokens": tokens}
    return IntentModel.model_validate({key: value for key, value in asked.items() if key not in unread})


def name_of(spec: IntentModel) -> str:
    """Return the side that a spec asks for itself."""
    return f"{spec.architecture}{OF_EVENTS if spec.reads == EVENTS else ''}"


def some_users(examples: Examples, share: float) -> Examples:
    """Keep the training rows of a share of the users, and all rows that judge."""
    users = examples.users
    mine = np.random.default_rng(0).random(int(users.max()) + 1) < share
    return _taken(examples, mine[users] | ~np.isin(examples.week, examples.split["train"]))


def fewer_judges(examples: Examples, most: int) -> Examples:
    """Keep all training rows, and those that judge of `most` users at most; the same ones for each part."""
    users, judges = examples.users, ~np.isin(examples.week, examples.split["train"])
    mine = np.random.default_rng(0).permutation(np.unique(users[judges]))[:most]
    return _taken(examples, ~judges | np.isin(users, mine))


def _taken(examples: Examples, mask: np.ndarray) -> Examples:
    kept = np.flatnonzero(mask)
    weight = None if examples.weight is None else examples.weight[kept]
    return replace(
        examples,
        rows=examples.rows.take(kept),
        week=examples.week[kept],
        labels=examples.labels[kept],
        weight=weight,
    )


def shared(examples: Examples, specs: Mapping[str, IntentModel], *, held: int, cell_s: float) -> float:
    """Return the share of training users with which the slowest side fits into a cell, 0..1."""
    users = len(np.unique(examples.users[examples.part("train")]))
    part, share = max(1 / PROBE, min(1.0, LEAST_USERS / users)), 1.0
    few = some_users(examples, part)
    more = len(examples.part("train")) / len(few.part("train"))
    judges = len(np.unique(examples.users[examples.part("test")]))
    few = fewer_judges(few, max(round(judges / more), LEAST_USERS))  # else what every cell judges would count as often
    train(few, next(iter(specs.values())), ranking_weeks=held, device="cpu")  # the first one imports what all need
    for name, spec in specs.items():
        if "+" in name and name not in TEXTS:  # options cost next to nothing beside their architecture
            continue
        start = time.process_time()
        train(few, spec, ranking_weeks=held, device="cpu")
        spent = time.process_time() - start
        script.note(f"{name}: {spent:.1f} s on {len(few.part('train'))} rows")
        share = min(share, cell_s / max(spent * more, 1e-9))
    return share


def _trained(judge: Judge, taught: Examples, spec: IntentModel, *, name: str, held: int) -> Document:
    """Train with one seed, and judge as a door would answer."""
    script.note(f"{name}, seed {spec.seed} …")
    labels = judge.examples.labels[judge.test][:, judge.head]
    start = time.process_time()
    trained = train(taught, spec, ranking_weeks=held, device="cpu")
    fit_cpu_s = time.process_time() - start
    assert trained.thresholds is not None  # training always chooses them
    with tempfile.TemporaryDirectory() as scratch:
        trained.scorer.save(Path(scratch))
        served = IntentScorer.served(Path(scratch))
        said = served.predict(judge.examples.rows.take(judge.test))
        size = sum(path.stat().st_size for path in Path(scratch).rglob("*") if path.is_file())
    pooled = metrics.pooled(labels, said[:, judge.head], threshold=trained.thresholds.pooled)
    each = metrics.macro(metrics.classified(labels, trained.thresholds.decided(said)[:, judge.head]))
    told = metrics.summary(labels, said[:, judge.head]) | {
        "f1_micro": pooled["micro_f1"], "brier": pooled["brier"], "f1_macro": each["macro_f1"]
    }  # fmt: skip
    drawn = metrics.resampled(labels, said[:, judge.head], judge.weight)
    return {
        "figures": {figure: float(told[figure] or 0.0) for figure in FIGURES},
        "drawn": {metric: values.round(6).tolist() for metric, values in drawn.items()},
        "costs": {"fit_cpu_s": fit_cpu_s, "size_mb": size / 1e6} | _speed(served, judge),
    }


def _speed(scorer: IntentScorer, judge: Judge) -> dict[str, float]:
    """Return processor microseconds a row, one at a time and in a batch, encoding included; the quickest of rounds."""
    rows = judge.examples.rows
    singles = [rows.take(np.array([row])) for row in judge.test[np.linspace(0, len(judge.test) - 1, ASKED).astype(int)]]
    batch = rows.take(np.resize(judge.test, BATCH))
    spent = []
    for _ in range(3):
        start = time.process_time()
        for single in singles:
            scorer.predict(single)
        one = (time.process_time() - start) / len(singles)
        start = time.process_time()
        scorer.predict(batch)
        spent.append((one, (time.process_time() - start) / BATCH))
    return dict(zip(("predict_us_1", "predict_us_256"), (1e6 * np.min(spent, axis=0)).tolist(), strict=True))


def _document(side: Side, judge: Judge) -> Document:
    means = {name: round(float(np.mean([one[name] for one in side.figures])), 6) for name in FIGURES}
    costs = {"fit_cpu_s": 1, "predict_us_1": 0, "predict_us_256": 1, "size_mb": 3}
    around = {name: list(metrics.interval(np.mean([one[name] for one in side.drawn], axis=0))) for name in METRICS}
    told = {name: round(side.costs[name], digits) for name, digits in costs.items()}
    return means | told | {"ci95": around, "by_seed": side.figures}


def _difference(side: Side, default: Side, metric: str, judge: Judge) -> Document:
    """Return a side less the default, its interval, and whether that says better, worse or neither."""
    mine, theirs = side.sample(metric, judge), default.sample(metric, judge)
    found = verdicts.better(mine, theirs, lower=METRICS[metric], least=Least())
    return {
        "estimate": round(found.estimate or 0.0, 6),
        "ci95": [round(end, 6) for end in found.interval or ()],
        "no_worse": found.word,
    }


def text(document: Document) -> str:
    """Write the tables."""
    rows = document["rows"]
    head = (
        f"{document['recommender']}: {rows['train']:,} of {rows['of']:,} training rows, {rows['test']:,} test rows of "
        f"{document['users']:,} users, {len(document['seeds'])} seeds, at most {document['cell_s']:g} processor "
        "seconds a training"
    )
    lines = [[name, *(side[f] for f in (*FIGURES, *COSTS))] for name, side in document["intent"].items()]
    less = [
        [f"{name} less {document['default']}", *(_cell(found[metric]) for metric in METRICS)]
        for name, found in document["less_default"].items()
    ]
    tables = [script.table(["", *FIGURES, *COSTS], lines)] + ([script.table(["", *METRICS], less)] if less else [])
    return "\n\n".join([head, *tables])


def _cell(found: Mapping[str, Any]) -> str:
    around = ", ".join(f"{end:+.4f}" for end in found["ci95"])
    return f"{found['estimate']:+.4f} [{around}]"


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--cell-s", type=float, default=CELL_S, help="processor seconds of one training, at most")
    switches.add_argument("--seeds", type=int, default=3, help="models a side")
    switches.add_argument("--only", help="sides, by comma, such as lstm,gbdt,transformer+temperature; or texts")
    switches.add_argument("--rows", type=Path, help="folder that keeps rows made for this, with events, not a run's")
    switches.add_argument("--judge-users", type=int, help="users that judge, at most; left out: all")
    switches.add_argument("--tokens", type=int, help="word pieces that sides of text read; left out: the spec's")
    switches.add_argument("--resume", type=Path, help="file that keeps each training's figures, and gives them back")
    script.main(switches, measure, text)
