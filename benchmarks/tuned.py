"""Is the intent model above a LightGBM that was tuned on validation, and does a mean of both pay? Both on a run's rows.

Optuna tries `--trials` settings of LightGBM, its own defaults first, over the numbers that the intent model reads, each
on the same sample of training pairs; the one with the highest mAP on all validation rows is grown on all training pairs
(`--pairs` at most) with three seeds. The intent model is the spec's, untuned, with the same seeds; the run's own is
that of the spec's seed. So the peer has `--trials` trials of tuning, and the model one.

Sides: `default`, `lightgbm`, and of both of a seed the `mean` of probabilities, the `mean_logit`, and `weighted`, the
mean of logits with the share of the model that has the highest mAP on validation rows. `seeds` is the mean of all seeds
of the default, to tell what any mean brings from what trees bring. Figures are means over seeds; intervals, and those
of differences, are over resampled users, paired, and hold no chance of training, for which `by_seed` stands. `--keep
FOLDER` keeps predictions and trials, and a run that was broken off goes on behind them.

`--also rnn,gbdt` trains other architectures by the spec's other fields on the same rows, with what each cost, and
`--together default+gbdt,rnn+gbdt` judges sides as one, as `architecture: ensemble` does: the mean of their
probabilities by the weights that the validation rows choose. `--trees` is what `gbdt` is grown by, as JSON.

Letters: B rows, C targets, H targets of the headline, R resamples of users.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.special import expit, logit

from benchmarks import script, subject, tuned_lightgbm
from benchmarks.cells import Cells
from benchmarks.intent import Judge, spec_of
from benchmarks.script import Document
from benchmarks.subject import Subject
from benchmarks.tuned_lightgbm import LIGHTGBM, Rows
from components.intent import ensemble, metrics
from components.intent import examples as intent_examples
from components.intent.ensemble_train import train
from components.intent.networks import TREES
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.steps import OUT_OF_TIME, PROBABILITIES
from feature_repo import columns, files
from feature_repo.errors import DataError, SpecError

DEFAULT = "default"
MIXED, SEEDS = ("mean", "mean_logit", "weighted"), "seeds"
METRICS = ("map", "macro_auroc", "bce")
PAIRS, TRIAL_PAIRS, QUICK_PAIRS = 10_000_000, 500_000, 5_000
SHARES = np.linspace(0, 1, 21)  # of the model in a weighted mean


def measure(asked: argparse.Namespace) -> Document:
    """Tune, train and judge."""
    seeds, trials = (1, 2) if asked.quick else (asked.seeds, asked.trials)
    pairs, few = (QUICK_PAIRS, QUICK_PAIRS) if asked.quick else (asked.pairs, asked.trial_pairs)
    also = tuple(filter(None, asked.also.split(",")))
    together = _sets(asked.together, have=(DEFAULT, LIGHTGBM, *also))
    with subject.subject(asked) as found, tempfile.TemporaryDirectory() as scratch:
        keep = asked.keep or Path(scratch)
        examples = intent_examples.load(found.rows, found.intents)
        judge = Judge.of(examples)
        scorer = IntentScorer.load(found.trained_intent)
        rows = Rows(examples, examples.part("validate"), judge, scorer)
        cells = Cells(keep / "trials.jsonl", {"recommender": found.name, "rows": len(examples.week), "pairs": few})
        settings, tried = tuned_lightgbm.tuned(rows, cells, trials=trials, pairs=few)
        said: dict[str, list[np.ndarray]] = {DEFAULT: [], LIGHTGBM: []}
        specs = {name: _spec(name, found.intent, asked.trees) for name in also}
        cost: dict[str, list[float]] = {name: [] for name in also}
        for seed in range(seeds):
            at = keep / f"{{}}-{seed}.npy"
            for name, spec in specs.items():
                under = f"{name}-{files.digest(spec.model_dump(mode='json'))}"  # other settings are another side
                one = _kept(at, under, lambda: _said(found, rows, spec, seed))  # noqa: B023
                said.setdefault(name, []).append(one)
                cost[name].append(float(files.read_json(keep / f"{under}-{seed}.json")["cpu_s"]))
            said[LIGHTGBM].append(_kept(at, LIGHTGBM, lambda: tuned_lightgbm.grown(rows, settings, pairs, seed)))  # noqa: B023
            said[DEFAULT].append(_kept(at, DEFAULT, lambda: _default(found, rows, seed)))  # noqa: B023
    script.note("resampling users …")
    return {
        "recommender": found.name,
        "seeds": list(range(seeds)),
        "rows": {"train": len(examples.part("train")), "validate": len(rows.validate), "test": len(judge.test)},
        "users": judge.users,
        "targets": len(rows.targets),
        "trials": tried,
        "settings": settings,
        "cpu_s": {name: round(float(np.mean(each)), 1) for name, each in cost.items()},
        **judged(rows, said, together),
    }


def _sets(asked: str, *, have: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the sides that are judged as one, by their names with a +."""
    found = {name: tuple(name.split("+")) for name in filter(None, asked.split(","))}
    for name, sides in found.items():
        if odd := [side for side in sides if side not in have]:
            raise SpecError(
                f"--together: {name}: '{odd[0]}' is no side here; use {', '.join(have)}, or name it in --also"
            )
    return found


def _spec(name: str, spec: IntentModel, trees: str | None) -> IntentModel:
    made = spec_of(name, spec)
    if name != TREES or trees is None:
        return made
    return IntentModel.model_validate(made.model_dump(exclude_unset=True) | {"trees": json.loads(trees)})


def _said(found: Subject, rows: Rows, spec: IntentModel, seed: int) -> np.ndarray:
    """Train a model and return what it says of all rows, [B, C]."""
    script.note(f"{spec.architecture}, seed {seed} …")
    spec = spec.model_copy(update={"seed": seed})
    trained = train(rows.examples, spec, ranking_weeks=found.ranking.train_weeks, device="cpu")
    return trained.out_of_time.probabilities[-len(rows.asked) :]


def _kept(path: Path, name: str, predict: Callable[[], np.ndarray]) -> np.ndarray:
    path = path.with_name(path.name.format(name))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        said = predict()
        files.write_json(path.with_suffix(".json"), {"cpu_s": round(time.process_time() - start, 1)})
        np.save(path, said)
    return np.asarray(np.load(path))


def _default(found: Subject, rows: Rows, seed: int) -> np.ndarray:
    """Return what the spec's own model says of all rows, [B, C]; of the run's seed, what its training said of them."""
    script.note(f"{DEFAULT}, seed {seed} …")
    if seed == found.intent.seed:
        scores = pq.read_table(found.trained_intent / OUT_OF_TIME)
        scores = scores.slice(scores.num_rows - len(rows.asked))  # as training scores them: validation, then test rows
        if scores[columns.USER_ID].to_pylist() != rows.examples.rows.user_id[rows.asked].tolist():
            raise DataError(f"{found.trained_intent}: its scores are of other rows; run the pipeline again")
        return np.stack(scores[PROBABILITIES].to_numpy()).astype(np.float32)
    return _said(found, rows, found.intent, seed)


def judged(rows: Rows, said: Mapping[str, list[np.ndarray]], together: Mapping[str, Sequence[str]]) -> Document:
    """Judge all sides of [B, C] predictions by seed, those of `together` by their mean, and their differences."""
    of_validation, of_test = rows.labels
    sides = {name: [rows.parts(one)[1] for one in by_seed] for name, by_seed in said.items()}
    shares = []
    for ours, trees in zip(said[DEFAULT], said[LIGHTGBM], strict=True):
        (ours_before, ours_test), (trees_before, trees_test) = rows.parts(ours), rows.parts(trees)
        shares.append(best_share(of_validation[:, rows.head], ours_before[:, rows.head], trees_before[:, rows.head]))
        mixed = (
            (ours_test + trees_test) / 2,
            blend(ours_test, trees_test, 0.5),
            blend(ours_test, trees_test, shares[-1]),
        )
        for name, one in zip(MIXED, mixed, strict=True):
            sides.setdefault(name, []).append(one)
    weights: dict[str, list[dict[str, float]]] = {name: [] for name in together}
    for name, members in together.items():
        for seed in range(len(said[DEFAULT])):
            both = {member: rows.parts(said[member][seed]) for member in members}
            chosen = ensemble.chosen(of_validation, {member: before for member, (before, _) in both.items()})
            weights[name].append(chosen)
            sides.setdefault(name, []).append(ensemble.mean({m: test for m, (_, test) in both.items()}, chosen))
    if len(said[DEFAULT]) > 1:
        sides[SEEDS] = [np.mean(sides[DEFAULT], axis=0)]
    figures = {name: [_figures(of_test, one, rows) for one in by_seed] for name, by_seed in sides.items()}
    drawn = {
        name: [metrics.resampled(of_test[:, rows.head], one[:, rows.head], rows.judge.weight) for one in by_seed]
        for name, by_seed in sides.items()
    }
    return {
        "share_of_default": shares,
        "weights": weights,
        "sides": {name: _document(figures[name], drawn[name]) for name in sides},
        "less": {
            f"{name} less {other}": _less(figures, drawn, name, other)
            for other in (LIGHTGBM, DEFAULT)
            for name in sides
            if name != other and (other, name) != (DEFAULT, LIGHTGBM)
        },
    }


def blend(ours: np.ndarray, theirs: np.ndarray, share: float) -> np.ndarray:
    """Return the mean of two predictions' logits, `share` of it the first one's.

    >>> [blend(np.array([0.5]), np.array([0.9]), share).round(4).tolist() for share in (0.5, 1.0)]
    [[0.75], [0.5]]
    """
    a, b = (logit(one.astype(np.float64).clip(1e-7, 1 - 1e-7)) for one in (ours, theirs))
    return np.asarray(expit(share * a + (1 - share) * b))


def best_share(labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the share of the first prediction whose mean of logits has the highest mAP."""
    found = [metrics.summary(labels, blend(ours, theirs, share))["map"] for share in SHARES]
    return round(float(SHARES[int(np.argmax([float(one or 0.0) for one in found]))]), 2)


def _figures(labels: np.ndarray, said: np.ndarray, rows: Rows) -> dict[str, float]:
    found = metrics.summary(labels[:, rows.head], said[:, rows.head])
    names = rows.examples.vocabulary.target_names
    single = {f"{names[c]}_auroc": metrics.single(labels[:, c], said[:, c])["auroc"] for c in rows.singles}
    told = {metric: found[metric] for metric in (*METRICS, "ece")} | single
    return {name: float(value) for name, value in told.items() if value is not None}


def _document(figures: list[dict[str, float]], drawn: list[dict[str, np.ndarray]]) -> Document:
    means = {name: round(float(np.mean([one[name] for one in figures])), 6) for name in figures[0]}
    around = {name: list(metrics.interval(np.mean([one[name] for one in drawn], axis=0))) for name in METRICS}
    return means | {"ci95": around, "by_seed": figures}


def _less(
    figures: Mapping[str, list[dict[str, float]]],
    drawn: Mapping[str, list[dict[str, np.ndarray]]],
    name: str,
    other: str,
) -> Document:
    """Return a side less another on the same resamples of users, means over the seeds of each."""
    found = {}
    for metric in METRICS:
        mine, theirs = (float(np.mean([one[metric] for one in figures[side]])) for side in (name, other))
        around = np.mean([one[metric] for one in drawn[name]], axis=0) - np.mean(
            [one[metric] for one in drawn[other]], axis=0
        )
        low, high = metrics.interval(around)
        found[metric] = {"estimate": round(mine - theirs, 6), "ci95": [low, high], "excludes_0": low > 0 or high < 0}
    return found


def text(document: Document) -> str:
    """Write the tables."""
    names = list(next(iter(document["sides"].values())))[:-2]
    lines = [[name, *(side[one] for one in names)] for name, side in document["sides"].items()]
    less = [[name, *(_cell(found[metric]) for metric in METRICS)] for name, found in document["less"].items()]
    tried = [[at, one["map"], one["trees"], one["cpu_s"]] for at, one in enumerate(document["trials"])]
    return "\n\n".join(
        [
            script.table(["", *names], lines),
            script.table(["", *METRICS], less),
            script.table(["trial", "map", "trees", "cpu_s"], tried),
            f"settings {document['settings']}, share of the default {document['share_of_default']}",
            f"processor seconds {document['cpu_s']}, weights {document['weights']}",
        ]
    )


def _cell(found: Mapping[str, Any]) -> str:
    return f"{found['estimate']:+.4f} [{', '.join(f'{end:+.4f}' for end in found['ci95'])}]"


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--trials", type=int, default=20, help="settings of LightGBM that are tried")
    switches.add_argument("--trial-pairs", type=int, default=TRIAL_PAIRS, help="training pairs of a trial")
    switches.add_argument("--pairs", type=int, default=PAIRS, help="training pairs of the best settings, at most")
    switches.add_argument("--seeds", type=int, default=3, help="models a side")
    switches.add_argument("--also", default="", help="other architectures to train, by comma, such as rnn,gbdt")
    switches.add_argument("--together", default="", help="sides judged as one, by comma, such as default+gbdt,rnn+gbdt")
    switches.add_argument("--trees", help="what gbdt is grown by, as JSON: models.intent.trees; left out: the spec's")
    switches.add_argument("--keep", type=Path, help="folder that keeps predictions and trials")
    script.main(switches, measure, text)
