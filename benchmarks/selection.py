"""What do fewer inputs cost? The intent model on all numbers of the profile, on the k most relevant, on n components.

All sides train on the rows of one finished run, with the same seeds, and are judged on the same test rows, over the
targets of intents with a level. Differences are to `all`, means over the seeds, with an interval over resampled users
that both sides share; it holds no chance of training, for which `by_seed` stands. `inputs` are the numbers of the
profile that reach the network, `bytes` is the model folder that is registered.

Letters: B rows, C targets, H targets of the headline, R resamples of users.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import script, subject
from benchmarks.script import Document
from components import verdicts
from components.intent import examples as intent_examples
from components.intent import inputs, metrics
from components.intent.ensemble_train import train
from components.intent.examples import Examples
from components.intent.spec import IntentModel
from components.verdicts import Least, Sample
from feature_repo.dropped_features import NOTHING, Asked, Reduction, Relevance

ALL = "all"
METRICS = {"macro_auroc": False, "map": False, "bce": True}  # whether lower is better
K, N = 12, 8
QUICK = {"k": 4, "n": 3, "seeds": 2}


@dataclass(frozen=True)
class Judge:
    """The test rows that all sides are judged on."""

    examples: Examples
    test: np.ndarray  # [B] positions
    labels: np.ndarray  # [B, H]
    head: np.ndarray  # [H]
    weight: np.ndarray  # [B, R] how often a resample draws the row

    @classmethod
    def of(cls, examples: Examples) -> "Judge":
        """Take the examples' test rows."""
        leveled = np.array([target.value is not None for target in examples.vocabulary.targets])
        head, test = np.flatnonzero(leveled if leveled.any() else ~leveled), examples.part("test")
        user = np.unique(examples.users[test], return_inverse=True)[1]
        return cls(examples, test, examples.labels[np.ix_(test, head)], head, metrics.user_weights(user))

    @property
    def users(self) -> int:
        """Count the users of the test rows."""
        return len(np.unique(self.examples.users[self.test]))


@dataclass(frozen=True)
class Side:
    """One way to feed the network, trained with several seeds."""

    figures: list[dict[str, float]]  # by seed
    drawn: list[dict[str, np.ndarray]]  # by seed, each metric [R]
    inputs: int
    bytes: int
    sees: str

    def sample(self, metric: str, judge: Judge) -> Sample:
        """Return the mean over seeds of a metric, on all rows and on each resample."""
        value = float(np.mean([one[metric] for one in self.figures]))
        return Sample(value, np.mean([one[metric] for one in self.drawn], axis=0), len(judge.test), judge.users)


def measure(asked: argparse.Namespace) -> Document:
    """Train and judge all sides."""
    k, n, seeds = (QUICK[name] if asked.quick else getattr(asked, name) for name in ("k", "n", "seeds"))
    with subject.subject(asked) as found:
        examples = intent_examples.load(found.rows, found.intents)
        spec = found.intent
    judge = Judge.of(examples)
    ways = {
        ALL: NOTHING,
        f"top_{k}": Asked(relevance=Relevance(k, "mean")),
        f"pca_{n}": Asked(reduction=Reduction(n)),
    }
    sides = {name: _side(judge, way, spec, name=name, seeds=seeds, held=found.ranking.train_weeks)
             for name, way in ways.items()}  # fmt: skip
    return {
        "recommender": found.name,
        "seeds": list(range(seeds)),
        "rows": {"train": len(examples.part("train")), "test": len(judge.test)},
        "users": judge.users,
        "targets": len(judge.head),
        "sides": {name: _document(side, judge) for name, side in sides.items()},
        "difference": {
            name: {metric: _difference(side, sides[ALL], metric, judge) for metric in METRICS}
            for name, side in sides.items()
            if name != ALL
        },
    }


def _side(judge: Judge, way: Asked, spec: IntentModel, *, name: str, seeds: int, held: int) -> Side:
    figures, drawn = [], []
    for seed in range(seeds):
        script.note(f"{name}, seed {seed} …")
        examples = replace(judge.examples, asked=way)
        trained = train(examples, spec.model_copy(update={"seed": seed}), ranking_weeks=held, device="cpu")
        said = trained.scorer.predict(examples.rows.take(judge.test))[:, judge.head]
        found = metrics.summary(judge.labels, said)
        figures.append({metric: float(found[metric] or 0.0) for metric in METRICS})
        drawn.append(metrics.resampled(judge.labels, said, judge.weight))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trained.scorer.save(folder)
        inputs.write(folder, trained.inputs)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Side(figures, drawn, trained.scorer.shape.user_inputs, size, inputs.sentence(trained.inputs))


def _document(side: Side, judge: Judge) -> Document:
    return {
        **{metric: round(side.sample(metric, judge).value or 0.0, 6) for metric in METRICS},
        "inputs": side.inputs,
        "bytes": side.bytes,
        "sees": side.sees or "all numbers",
        "by_seed": side.figures,
    }


def _difference(side: Side, whole: Side, metric: str, judge: Judge) -> Document:
    """Return a side less all numbers, its interval, and whether that says better, worse or neither."""
    mine, theirs = side.sample(metric, judge), whole.sample(metric, judge)
    found = verdicts.better(mine, theirs, lower=METRICS[metric], least=Least())
    seeds = [a[metric] - b[metric] for a, b in zip(side.figures, whole.figures, strict=True)]
    return {
        "estimate": round(found.estimate or 0.0, 6),
        "interval": [round(end, 6) for end in found.interval or ()],
        "no_worse": found.word,
        "by_seed": [round(one, 6) for one in seeds],
    }


def text(document: Document) -> str:
    """Write the tables."""
    sides: Mapping[str, Any] = document["sides"]
    names = (*METRICS, "inputs", "bytes")
    head = (
        f"{document['recommender']}: {document['rows']['test']:,} test rows of {document['users']:,} users, "
        f"{len(document['seeds'])} seeds"
    )
    lines = [[side, *(figures[name] for name in names)] for side, figures in sides.items()]
    less = [
        [f"{side} less {ALL}", *(_cell(found[metric]) for metric in METRICS)]
        for side, found in document["difference"].items()
    ]
    return "\n\n".join([head, script.table(["", *names], lines), script.table(["", *METRICS], less)])


def _cell(found: Mapping[str, Any]) -> str:
    around = ", ".join(f"{end:+.4f}" for end in found["interval"])
    return f"{found['estimate']:+.4f} [{around}]"


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--k", type=int, default=K, help="numbers that selection leaves")
    switches.add_argument("--n", type=int, default=N, help="components that reduction leaves")
    switches.add_argument("--seeds", type=int, default=3, help="models a side")
    script.main(switches, measure, text)
