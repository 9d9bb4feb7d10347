"""Does it help to choose the ranker by the predicted intent? No, predicted, shuffled and oracle intents, on one run.

The algorithms are trained on the rows of a recommender's last finished run, one choice is learnt of each kind of intent
on the later half of the validation steps, and all are judged on the same later user-steps, the test's. Only the choice
sees the intents that are shuffled or true: every ranker scores with the predicted ones.

`no` chooses by the length of history alone; `predicted` adds the likeliest predicted intent, as a release does;
`shuffled` deals the predicted intents out among the rows of each part, so it must gain nothing over `no`; `oracle` has
the target of most of what the user did in the step to come. `best_alone` is the algorithm that is best for all on the
choosing steps, `ceiling` takes the best of each test row after the fact: no choice can be above it. Values of a row are
means over `--seeds`; `ci95` are intervals over resampled users, `less_no` of the paired difference to `no`. Seeds share
what they are fitted to. `--train-weeks N` learns from the last N training steps alone, `--without NAME` leaves an
algorithm out, `--keep FOLDER` keeps fits and seeds, and a run that was broken off goes on behind them.

Letters: R rows, A algorithms.
"""

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import script, subject
from benchmarks.cells import Cells
from benchmarks.kept_fits import Fits, Materials, about
from benchmarks.ranking import capped
from benchmarks.script import Document
from components.ranking import choose, chosen, metrics, worth
from components.ranking import examples as ranking_examples
from components.ranking.choose_spec import COHORT, Choose
from components.ranking.examples import World
from components.ranking.metrics import K
from components.ranking.models import TREES, lambdamart
from components.ranking.spec import Ranking
from components.ranking.steps import users_key
from components.ranking.train import train
from components.ranking.worth import Worth
from feature_repo.errors import SpecError, nearest

AMONG = ("network", TREES, "tifu", "basket", "sequence", "frequency", "popular")
NO, PREDICTED, SHUFFLED, ORACLE = "no", "predicted", "shuffled", "oracle"
BEST_ALONE, CEILING = "best_alone", "ceiling"
KINDS = (NO, PREDICTED, SHUFFLED, ORACLE)
NDCG = f"ndcg_at_{K}"


@dataclass
class Seeds:
    """What each kind of intent is worth on the test rows, by seed."""

    values: dict[str, list[np.ndarray]] = field(default_factory=dict)  # by name: [R] a seed
    moved: dict[str, list[int]] = field(default_factory=dict)  # cells that leave their parent's algorithm, a seed
    users: np.ndarray = field(default_factory=lambda: np.empty(0))

    def add(self, cell: Document) -> None:
        """Note one more seed."""
        for name, values in cell["values"].items():
            self.values.setdefault(name, []).append(np.asarray(values))
        for name, moved in cell["moved"].items():
            self.moved.setdefault(name, []).append(moved)
        self.users = np.asarray(cell["users"])


def measure(asked: argparse.Namespace) -> Document:
    """Train the algorithms with each seed, learn the choices and judge them."""
    with subject.subject(asked) as found:
        spec, skipped = _spec(capped(found.ranking, asked.train_weeks), asked)
        key = users_key(spec, found.variables)
        world = ranking_examples.load(found.rows, found.trained_intent, spec, key=key)
        materials = Materials(Fits.of(asked.keep and asked.keep / "fits", world))
        cells = Cells(asked.keep and asked.keep / "choose.jsonl", about(found.name, world, spec))
        told = Seeds()
        for seed in range(asked.seeds):
            told.add(cell := cells.kept(f"seed {seed}", lambda: _one_seed(world, spec, materials, seed=seed)))  # noqa: B023
    return {
        "recommender": found.name,
        "seeds": asked.seeds,
        "among": list(spec.algorithms),
        "skipped": skipped,
        "weeks": cell["weeks"],
        "rows": cell["rows"],
        "least_users": spec.choose.least_users if spec.choose else 0,
    } | _document(told)


def _spec(spec: Ranking, asked: argparse.Namespace) -> tuple[Ranking, dict[str, str]]:
    """Return the run's spec with a choice, its own where it has one; without algorithms whose library is missing."""
    skipped = {}
    try:
        lambdamart.library()
    except SpecError as error:
        skipped[TREES] = str(error)
    named = spec.choose.among if spec.choose else dict.fromkeys((spec.algorithm, *AMONG))
    for name in asked.without:
        if name not in named:
            raise SpecError(f"--without: '{name}' is not among {', '.join(named)}{nearest(name, list(named))}")
    among = tuple(name for name in named if name not in skipped and name not in asked.without)
    if spec.algorithm not in among or len(among) < 2:
        raise SpecError(f"--without: {spec.algorithm}, which answers where nothing is better, and one more are needed")
    said: dict[str, Any] = {} if spec.choose is None else spec.choose.model_dump(exclude={"by", "among"})
    said |= {} if asked.least_users is None else {"least_users": asked.least_users}
    return spec.model_copy(update={"choose": Choose(among=among, **said)}), skipped


def _one_seed(world: World, spec: Ranking, materials: Materials, *, seed: int) -> Document:
    """Train all once, learn a choice of each kind of intent, and say what each is worth on the test rows."""
    script.note(f"seed {seed} …")
    spec = spec.model_copy(update={"seed": spec.seed + seed})
    assert spec.choose is not None
    trained = train(world, spec, material=materials.of(world, spec)[0])
    test = world.weeks("test")
    earlier, later = (worth.of_weeks(trained.ranker, world, weeks) for weeks in (trained.chosen_on, test))
    rng = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {}
    moved: dict[str, int] = {}
    for kind in KINDS:
        asked = spec.choose.model_copy(update={"by": (COHORT,)}) if kind == NO else spec.choose
        before, after = (_with(kind, one, world, rng) for one in (earlier, later))
        choice = choose.learn(before, asked, default=spec.algorithm, targets=world.vocabulary.targets)
        values[kind] = after.of(choice.codes(after.intent, after.cohort))
        moved[kind] = sum(cell.gain > 0 for cell in choice.cells.values())
    alone = np.full(len(later.ndcg), int(earlier.ndcg.mean(axis=0).argmax()))
    values |= {BEST_ALONE: later.of(alone), CEILING: later.ndcg.max(axis=1)}
    values |= {name: later.ndcg[:, place] for place, name in enumerate(spec.algorithms)}
    return {
        "values": {name: found.tolist() for name, found in values.items()},
        "moved": moved,
        "users": later.user_id.tolist(),
        "weeks": {"stop": chosen.periods(world)[0], "choose": trained.chosen_on, "test": test},
        "rows": {"choose": len(earlier.ndcg), "test": len(later.ndcg)},
    }


def _with(kind: str, of: Worth, world: World, rng: np.random.Generator) -> Worth:
    """Return rows with the intents of a kind in the place of those that were predicted."""
    if kind == SHUFFLED:
        return replace(of, intent=rng.permutation(of.intent))
    if kind == ORACLE:
        return replace(of, intent=true_intents(world, of.row, of.intent))
    return of


def true_intents(world: World, rows: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return the target of most of what the users of some rows did then, [R]; `otherwise` where it has none."""
    vocabulary = world.vocabulary
    of_item = [vocabulary.targets_of_item.get(item, ()) for item in vocabulary.item_ids]
    found = otherwise.copy()
    for place, row in enumerate(rows.tolist()):
        targets = [target for item in world.examples.bought.row(row).tolist() for target in of_item[item]]
        if targets:
            found[place] = int(np.bincount(targets).argmax())
    return found


def _document(told: Seeds) -> Document:
    """Judge each name's mean over seeds, beside `no`."""
    mean = {name: np.mean(values, axis=0) for name, values in told.values.items()}
    every = np.ones(len(told.users), dtype=bool)
    around = metrics.intervals(mean, told.users, every)
    apart = metrics.intervals({name: values - mean[NO] for name, values in mean.items()}, told.users, every)
    return {
        "sides": {
            name: {
                NDCG: round(float(values.mean()), 5),
                "ci95": around[name],
                "less_no": apart[name],
                "by_seed": [round(float(one.mean()), 5) for one in told.values[name]],
            }
            | ({"moved_cells": told.moved[name]} if name in told.moved else {})
            for name, values in mean.items()
        },
        "shuffled_gains_nothing": apart[SHUFFLED][0] <= 0,  # the interval of its gain does not lie above 0
        "predicted_gains": apart[PREDICTED][0] > 0,
    }


def text(document: Document) -> str:
    """Write the table."""
    lines = [
        [name, one[NDCG], _pair(one["ci95"]), _pair(one["less_no"], signed=True), _listed(one.get("moved_cells"))]
        for name, one in document["sides"].items()
    ]
    rows, weeks = document["rows"], document["weeks"]
    head = (
        f"{document['recommender']}: chosen on {rows['choose']:,} user-steps of the steps "
        f"{', '.join(map(str, weeks['choose']))}, judged on {rows['test']:,} of {', '.join(map(str, weeks['test']))}; "
        f"{document['seeds']} seeds"
    )
    verdict = (
        f"Shuffled intents gain {'nothing' if document['shuffled_gains_nothing'] else 'SOMETHING, which is wrong'}; "
        f"predicted intents {'gain' if document['predicted_gains'] else 'gain nothing that is above chance'}."
    )
    left = [f"{name}: {why}" for name, why in document["skipped"].items()]
    table = script.table(["", NDCG, "95 %", "over no intent (95 %)", "cells moved, by seed"], lines)
    return "\n\n".join([head, table, verdict, *left])


def _pair(ends: list[float], *, signed: bool = False) -> str:
    return "to".join(f" {end:{'+' if signed else ''}.4f} " for end in ends).strip()


def _listed(values: list[int] | None) -> str:
    return "-" if values is None else ", ".join(map(str, values))


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--seeds", type=int, default=3, help="trainings of each algorithm")
    switches.add_argument("--least-users", type=int, help="of an intent and cohort that chooses; default: the spec's")
    switches.add_argument("--train-weeks", type=int, help="training steps at most; default: the spec's")
    switches.add_argument("--without", action="append", default=[], help="an algorithm to leave out; may be repeated")
    switches.add_argument("--keep", type=Path, help="folder that keeps what was fitted, and each seed")
    script.main(switches, measure, text)
