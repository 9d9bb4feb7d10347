"""Does pretraining of the step encoder pay? With all labels and with a tenth, on two recommenders, three seeds each.

Labels of a tenth are those of a tenth of the training users; pretraining reads the steps of all of them, as far as they
lie before what is scored out of time. All sides are judged on the same test rows, over the targets of intents with a
level. `transfer` begins with the encoder that the other recommender's plain training ended with. Rows are made from
each spec's source by the steps of the pipeline, in a scratch folder; `--users` bounds the users of the training weeks,
as `profiles.train_users` does. Differences to `none` are paired: intervals are over resampled users, and `by_seed`
tells the chance of training. Sides whose intervals hold 0 do not pay.

Letters: R resamples of users.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import script
from benchmarks.intent import Judge, some_users
from benchmarks.made_rows import rows_of
from benchmarks.script import Document
from components.intent import metrics
from components.intent.examples import Examples
from components.intent.networks import ENSEMBLE, NETWORKS
from components.intent.numpy_net import WEIGHTS
from components.intent.options import Pretrain
from components.intent.spec import IntentModel
from components.intent.train import Trained, train
from feature_repo import files
from feature_repo.checkout import ROOT
from pipelines import spec as specs
from pipelines import spec_yaml

SPECS = ("grocery", "music")
SHARES = (1.0, 0.1)
METRICS = ("map", "macro_auroc", "bce")
SIDES = ("none", "masked", "contrastive", "transfer")
QUICK = {"epochs": 2, "width": 16, "layers": 1}
QUICK_SOURCES = {
    "grocery": {"type": "synthetic", "users": 150, "items": 60, "categories": 6, "weeks": 24, "events_per_user": 40,
                "drift_week": 11, "drift_share": 0.5, "seed": 1},
    "music": {"type": "synthetic", "users": 150, "items": 60, "categories": 6, "weeks": 24, "events_per_user": 40,
              "drift_week": 11, "drift_share": 0.5, "seed": 2},
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """A recommender's rows, and who judges on them."""

    name: str
    examples: Examples
    judge: Judge
    intent: IntentModel
    held: int  # training steps that are scored out of time


def measure(asked: argparse.Namespace) -> Document:
    """Train and judge all sides on both recommenders."""
    names, seeds = asked.specs.split(","), 1 if asked.quick else asked.seeds
    shares = (0.3,) if asked.quick else SHARES
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
        worlds = {name: world(name, Path(scratch) / name, users=asked.users, quick=asked.quick) for name in names}
        sources = {name: _source(one, Path(scratch) / name) for name, one in worlds.items()}
        others = {name: sources[names[(at + 1) % len(names)]] for at, name in enumerate(names)}
        found = {
            name: {f"{share:.0%}": _sides(one, share, seeds, others[name] if len(names) > 1 else None)
                   for share in shares}
            for name, one in worlds.items()
        }  # fmt: skip
    about = {
        name: {"rows": len(one.examples.part("train")), "users": one.judge.users, "targets": int(one.judge.head.sum()),
               "architecture": one.intent.architecture}
        for name, one in worlds.items()
    }  # fmt: skip
    return {"seeds": list(range(seeds)), "worlds": about, "sides": found}


def world(name: str, folder: Path, *, users: int, quick: bool) -> World:
    """Make the rows of a spec, and who judges on them."""
    path = ROOT / "pipelines" / "specs" / f"{name}.yaml"
    document: dict[str, Any] = dict(specs.split(spec_yaml.read_yaml(path))[0])
    if quick:
        document = dict(specs.split(spec_yaml.read_yaml(path.with_name("synthetic.yaml")))[0])
        document["data"] = document["data"] | {"source": QUICK_SOURCES[name]}
        document["models"] = {"intent": QUICK, "ranking": {"min_item_sessions": 2, "train_weeks": 4}}
    document["profiles"] = document.get("profiles", {}) | {"train_users": max(users, 100)}
    script.note(f"{name}: rows …")
    spec, examples = rows_of(document, path, folder)
    asked = spec.models.intent
    if asked.architecture == ENSEMBLE:  # its first network, as if it were alone
        asked = asked.of_member(next(member for member in asked.members if member in NETWORKS))
    plain = asked.model_copy(update={"pretrain": None, "privacy": None})
    return World(name, examples, Judge.of(examples), plain, spec.models.ranking.train_weeks)


def _source(one: World, folder: Path) -> str:
    """Train a recommender plainly, keep its folder, and return the name that a spec would give it."""
    trained = train(one.examples, one.intent, ranking_weeks=one.held, device="cpu")
    (folder / "intent").mkdir()
    trained.scorer.save(folder / "intent")
    return f"{folder / 'intent'}@{files.file_digest(folder / 'intent' / WEIGHTS)}"


def _sides(one: World, share: float, seeds: int, source: str | None) -> Document:
    taught = one.examples if share == 1 else some_users(one.examples, share)
    asked: Mapping[str, Pretrain | None] = {
        "none": None,
        "masked": Pretrain(task="masked"),
        "contrastive": Pretrain(task="contrastive"),
        "transfer": Pretrain(source=source, epochs=0) if source else None,
    }
    figures: dict[str, list[dict[str, float]]] = {}
    drawn: dict[str, list[dict[str, np.ndarray]]] = {}
    cpu_s: dict[str, float] = {}
    for side in SIDES if source else SIDES[:-1]:
        start = time.process_time()
        for seed in range(seeds):
            script.note(f"{one.name}, {share:.0%} of the labels, {side}, seed {seed} …")
            spec = one.intent.model_copy(update={"seed": seed, "pretrain": asked[side]})
            trained = train(taught, spec, ranking_weeks=one.held, device="cpu", unlabelled=one.examples)
            told = _judged(trained, one.judge)
            figures.setdefault(side, []).append(told[0])
            drawn.setdefault(side, []).append(told[1])
        cpu_s[side] = round((time.process_time() - start) / seeds, 1)
    return {
        "rows": len(taught.part("train")),
        "sides": {side: _document(figures[side], drawn[side], cpu_s[side]) for side in figures},
        "less_none": {side: _less(figures, drawn, side) for side in figures if side != "none"},
    }


def _judged(trained: Trained, judge: Judge) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    said = trained.scorer.predict(judge.examples.rows.take(judge.test))[:, judge.head]
    labels = judge.examples.labels[judge.test][:, judge.head]
    found = metrics.summary(labels, said)
    return {name: float(found[name] or 0.0) for name in METRICS}, metrics.resampled(labels, said, judge.weight)


def _document(figures: list[dict[str, float]], drawn: list[dict[str, np.ndarray]], cpu_s: float) -> Document:
    means = {name: round(float(np.mean([one[name] for one in figures])), 6) for name in METRICS}
    around = {name: list(metrics.interval(np.mean([one[name] for one in drawn], axis=0))) for name in METRICS}
    return means | {"fit_cpu_s": cpu_s, "ci95": around, "by_seed": figures}


def _less(
    figures: Mapping[str, list[dict[str, float]]], drawn: Mapping[str, list[dict[str, np.ndarray]]], side: str
) -> Document:
    """Return a side less none, seed by seed on the same resamples of users, and the interval of the mean."""
    found = {}
    for name in METRICS:
        by_seed = [mine[name] - bare[name] for mine, bare in zip(figures[side], figures["none"], strict=True)]
        around = np.mean(
            [mine[name] - bare[name] for mine, bare in zip(drawn[side], drawn["none"], strict=True)], axis=0
        )
        found[name] = {
            "estimate": round(float(np.mean(by_seed)), 6),
            "ci95": list(metrics.interval(around)),
            "by_seed": [round(one, 6) for one in by_seed],
        }
    return found


def text(document: Document) -> str:
    """Write a table a recommender."""
    parts = []
    for name, by_share in document["sides"].items():
        about = document["worlds"][name]
        lines = []
        for share, found in by_share.items():
            for side, values in found["sides"].items():
                less = found["less_none"].get(side, {})
                lines.append([f"{share}, {side}", found["rows"], *(values[m] for m in METRICS),
                              *(_cell(less[m]) if less else None for m in METRICS), values["fit_cpu_s"]])  # fmt: skip
        head = ["labels, side", "rows", *METRICS, *(f"{m} less none" for m in METRICS), "fit_cpu_s"]
        parts.append(
            f"{name}: {about['architecture']}, {about['targets']} targets, {about['users']:,} test users, "
            f"{len(document['seeds'])} seeds\n\n{script.table(head, lines)}"
        )
    return "\n\n".join(parts)


def _cell(found: Mapping[str, Any]) -> str:
    return f"{found['estimate']:+.4f} [{', '.join(f'{end:+.4f}' for end in found['ci95'])}]"


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=False)
    switches.add_argument("--specs", default=",".join(SPECS), help="recommenders of pipelines/specs, by comma")
    switches.add_argument("--users", type=int, default=500, help="users of the training weeks, at most")
    switches.add_argument("--seeds", type=int, default=3, help="trainings a side")
    script.main(switches, measure, text)
