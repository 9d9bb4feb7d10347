"""What lists beside items are worth on a trained recommender, and what they cost: values, audiences, similar items.

`python -m benchmarks.lists --rows ROWS --intent INTENT --ranker RANKER`: the artifacts of a run's steps training_set,
train_intent and train_ranking. The mix of values and the curve of audiences are fitted on the validation weeks and
judged on the test weeks, as training and evaluation do it. `--every 4` takes each fourth user-week. Prints JSON.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from components.ranking import audiences, examples, value_lists
from components.ranking.score import Ranker
from components.ranking.spec import Ranking

ATTRIBUTES = ("brand", "category")
ASKED = 300  # items whose similar ones are timed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("rows", "intent", "ranker"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1)
    asked = parser.parse_args()
    print(json.dumps(measured(asked.rows, asked.intent, asked.ranker, every=asked.every), indent=1))


def measured(rows: Path, intent: Path, folder: Path, *, every: int) -> dict[str, Any]:
    """Return all figures."""
    ranker = Ranker.served(folder)
    spec = Ranking.model_validate(json.loads((folder / "training.json").read_text())["spec"])
    world = examples.load(rows, intent, spec)
    world = replace(world, examples=world.examples.take(np.arange(0, len(world.examples), every)))
    ranker = replace(ranker, eligible=world.eligible)
    weeks = world.weeks("validate")
    value_lists.require(world.vocabulary, ATTRIBUTES)
    valued = value_lists.fitted(ranker, world, weeks, ATTRIBUTES)
    return {
        "values": value_lists.report(valued, world),
        "audiences": audiences.report(ranker, audiences.fit(ranker, world, weeks), world),
        "similar": timed(ranker),
    }


def timed(ranker: Ranker) -> dict[str, float]:
    """Time the similar items of some items, one by one, k = 10: the thread's own processor time."""
    places = np.unique(np.linspace(0, len(ranker.catalogue) - 1, ASKED).astype(np.int64))
    ranker.similar(0, k=10)
    taken = []
    for place in places.tolist():
        start = time.thread_time()
        ranker.similar(place, k=10)
        taken.append(1000 * (time.thread_time() - start))
    half, most = np.quantile(taken, (0.5, 0.99))
    return {"items": len(ranker.catalogue), "p50_ms": round(float(half), 3), "p99_ms": round(float(most), 3)}


if __name__ == "__main__":
    main()
