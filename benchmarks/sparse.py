"""What do sampled training rows cost and lose? A world whose users mostly leave, with the bound on rows and without.

Both sides build profiles and a training set of the same events and train the same model on it; test rows are the same.
`ratio` is the bounded side over the unbounded one: rows, walls, memory, and mAP, BCE and ECE, means over the seeds.
`truth` is what the world's own probabilities reach on the test rows. Each side runs in a process of its own. Both train
the small network that `init` drafts.

The sides are compared on a quarter of the size of a public log of trust ratings, whose 4,814 users rate 5,858 items
about 35,600 times in 273 weeks: without the bound a seed of the whole takes an hour. `whole` is the bounded side on all
of it, with the network that `init` drafts for so many rows.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks import gone, script
from benchmarks.script import Document

SPLIT = {"warmup_weeks": 8, "validate_weeks": 2, "test_weeks": 4}
RANKING = {"train_weeks": 8, "test_every_weeks": 1}
VOCABULARY = {
    "intents": [
        {"name": "rate", "event": None, "column": "category", "top": gone.CATEGORIES},
        {"name": "visit", "event": None, "column": None, "top": 1},
    ],
    "items": {"event": None, "min_sessions": 5, "min_users": 1},
    "history_weeks": 8,
}
FULL = {"users": 4_814, "items": 5_858, "weeks": 273}
QUARTER = {"users": 1_204, "items": 1_465, "weeks": 273}
QUICK = {"users": 200, "items": 200, "weeks": 60}
SMALL: dict[str, Any] = {"width": 32, "layers": 1, "dropout": 0.2, "epochs": 2}
DRAFTED: dict[str, Any] = {"epochs": 2}  # for so many rows
METRICS = ("map", "bce", "ece")
SIDES: dict[str, int | str] = {"bounded": "auto", "unbounded": 1}
WALLS = ("profiles_s", "training_set_s", "train_s")


def measure(asked: argparse.Namespace) -> Document:
    """Build and train both sides."""
    size, seeds = (QUICK, 1) if asked.quick else (QUARTER, asked.seeds)
    # Auto leaves a world as small as the quick one alone.
    sides = SIDES | {"bounded": 4} if asked.quick else SIDES
    found: Document = {"world": size, "seeds": seeds}
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-", dir=asked.folder) as scratch:
        home = Path(scratch)
        world = gone.write(home / "clean", **size)
        found["world"] = size | {"events": world.events}
        for name, one_in in sides.items():
            script.note(f"{name} …")
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found[name] = pool.submit(_side, home, name, one_in, seeds).result()
            script.note(json.dumps(found[name]))
        found["truth"] = _truth(world, home / "bounded-rows")
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-", dir=asked.folder) as scratch:
        script.note("whole …")
        whole = gone.write(Path(scratch) / "clean", **(QUICK if asked.quick else FULL))
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found["whole"] = pool.submit(_side, Path(scratch), "whole", sides["bounded"], 1, DRAFTED).result()
        found["whole"]["events"] = whole.events
    names = ("rows", *WALLS, "wall_s", "peak_memory_gib", *METRICS)
    return found | {"ratio": script.ratios(found["bounded"], found["unbounded"], names)}


def _side(
    home: Path, name: str, one_in: int | str, seeds: int, network: Mapping[str, Any] = MappingProxyType(SMALL)
) -> Document:
    from components.intent import examples
    from components.intent.evaluate import evaluate
    from components.intent.spec import Intent, IntentModel
    from components.intent.train import train
    from components.profiles.build import training_rows
    from components.profiles.steps import run_profiles, run_training_set
    from feature_repo import files

    split, spec = json.dumps(SPLIT), json.dumps({"silent_one_in": one_in})
    clean, profiles, rows = home / "clean", home / f"{name}-profiles", home / f"{name}-rows"
    walls, start = {}, time.monotonic()
    run_profiles(spec, split, json.dumps(VOCABULARY), clean=clean, destination=profiles)
    walls["profiles_s"], start = time.monotonic() - start, time.monotonic()
    run_training_set(split, json.dumps(RANKING), clean=clean, profiles=profiles, destination=rows)
    walls["training_set_s"] = time.monotonic() - start
    loaded = examples.load(rows, [Intent(name="rate", level="category", top=gone.CATEGORIES), Intent(name="visit")])
    judged, trained = [], 0.0
    for seed in range(seeds):
        start = time.monotonic()
        model = train(loaded, IntentModel(seed=seed, **network), ranking_weeks=RANKING["train_weeks"], device="cpu")
        trained += time.monotonic() - start
        result = evaluate(model.scorer, loaded)
        judged.append({metric: result.test[metric] or 0.0 for metric in METRICS})
        script.note(f"{name}, seed {seed}: {json.dumps(judged[-1])}, {trained:.0f} s")
    walls["train_s"] = trained / seeds
    kept = training_rows.TrainingRows(**files.read_json(profiles / training_rows.FILE))
    return {
        "rows": kept.kept,
        "possible_rows": kept.possible,
        "silent_one_in": kept.silent_one_in,
        "weights_sum": float(
            loaded.part("train").size if loaded.weight is None else loaded.weight[loaded.part("train")].sum()
        ),
        "test_rows": int(loaded.part("test").size),
        **{key: round(value, 2) for key, value in walls.items()},
        "wall_s": round(sum(walls.values()), 2),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        **{metric: round(float(np.mean([seed[metric] for seed in judged])), 6) for metric in METRICS},
        "by_seed": judged,
    }


def _truth(world: gone.World, rows: Path) -> Document:
    """Judge the world's own probabilities on the test rows; targets are the vocabulary's, by their category."""
    from components.intent import examples, metrics
    from components.intent.spec import Intent

    loaded = examples.load(rows, [Intent(name="rate", level="category", top=gone.CATEGORIES), Intent(name="visit")])
    test = loaded.part("test")
    user = np.asarray([int(name[1:]) for name in loaded.rows.user_id[test]])
    whole = world.truth(user, loaded.week[test])
    levels = [(c, t.value) for c, t in enumerate(loaded.vocabulary.targets) if t.value is not None]
    place = [int(value[1:]) for _, value in levels]
    found = metrics.summary(loaded.labels[test][:, [c for c, _ in levels]], whole[:, place].astype(np.float32))
    return {metric: found[metric] for metric in METRICS}


def text(document: Document) -> str:
    """Write the table."""
    names = ("rows", *WALLS, "wall_s", "peak_memory_gib", *METRICS)
    sides = (*SIDES, "ratio", "truth", "whole")
    return script.table(["", *names], [[side, *(document[side].get(name) for name in names)] for side in sides])


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=False)
    switches.add_argument("--seeds", type=int, default=3, help="models a side")
    switches.add_argument("--folder", type=Path, help="where the world is made; needs a few GB")
    script.main(switches, measure, text)
