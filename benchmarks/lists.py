"""What lists beside items are worth on a trained recommender, and what they cost: values, audiences, similar items.

The mix of values and the curve of audiences are fitted on the validation steps of a recommender's last finished run and
judged on its test steps, as training and evaluation do it. `--every 4` takes each fourth user-step.
"""

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import script, subject
from benchmarks.script import Document
from bentos.release import RANKING
from components.ranking import audiences, examples, value_lists
from components.ranking.score import Ranker
from components.ranking.steps import users_key
from feature_repo.vocabulary import Vocabulary

ATTRIBUTES = ("brand", "category")  # where the spec names none
ASKED = 300  # items whose similar ones are timed


def measure(asked: argparse.Namespace) -> Document:
    """Judge the lists of values, the audiences and the cost of similar items."""
    with subject.subject(asked) as found:
        ranker = Ranker.served(found.release / RANKING)
        key = users_key(found.ranking, found.variables)
        world = examples.load(found.rows, found.trained_intent, found.ranking, key=key)
        world = replace(world, examples=world.examples.take(np.arange(0, len(world.examples), asked.every)))
        ranker = replace(ranker, eligible=world.eligible)
        weeks, attributes = world.weeks("validate"), _attributes(found.ranking.recommend, world.vocabulary)
        value_lists.require(world.vocabulary, attributes, world.item_state)
        valued = value_lists.fitted(ranker, world, weeks, attributes)
        return {
            "recommender": found.name,
            "every": asked.every,
            "attributes": list(attributes),
            "values": value_lists.report(valued, world),
            "audiences": audiences.report(ranker, audiences.fit(ranker, world, weeks), world),
            "similar": timed(ranker),
        }


def _attributes(named: tuple[str, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the attributes that the spec recommends, or else the usual ones that items have."""
    return named or tuple(name for name in ATTRIBUTES if name in vocabulary.items.column_names)


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


def text(document: Document) -> str:
    """Return the figures of each kind of list, a line each."""
    lines: list[tuple[str, Any]] = [(f"values of {name}", one) for name, one in document["values"].items()]
    lines += [("audiences", document["audiences"]), ("similar", document["similar"])]
    return script.table(("list", "figures"), lines)


if __name__ == "__main__":
    parser = script.parser(__doc__, trained=True)
    parser.add_argument("--every", type=int, default=1, help="take each n-th user-step")
    script.main(parser, measure, text)
