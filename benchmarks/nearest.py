"""The nearest of a million vectors: the inverted file that `/similar` uses from 50,000 on, beside the exact answer.

Vectors are made: points around centres, as texts of a catalogue lie (`--vectors`, `--width`, a centre for each 200).
Queries are vectors of the catalogue, drawn apart from those that tuned it. Recall is of the exact ten, by cosine: of
equals either counts. Needs the extra `faiss`.
"""

import argparse
import time

import numpy as np

from benchmarks import script
from benchmarks.script import Document
from components.ranking.nearest import DIGITS, TEN, Nearest
from feature_repo.errors import SpecError

ASKED = 300  # queries
A_CENTRE = 200  # vectors around each
SPREAD = 0.6  # of a vector around its centre, in lengths of that


def made(number: int, width: int, *, seed: int) -> np.ndarray:
    """Return vectors around centres, float32 [N, D]."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, number // A_CENTRE), width)).astype(np.float32)
    spread = rng.normal(size=(number, width)).astype(np.float32) * np.float32(SPREAD)
    return centres[rng.integers(0, len(centres), number)] + spread


def measure(asked: argparse.Namespace) -> Document:
    """Build the index, then ask it and the exact answer the same, each alone."""
    number = 20_000 if asked.quick else asked.vectors
    vectors = made(number, asked.width, seed=0)
    indexed, exact = Nearest(vectors, limit=1), Nearest(vectors, limit=number + 1)
    start = time.process_time()
    indexed.prepare()
    built = time.process_time() - start
    if not indexed.indexed:
        raise SpecError("faiss: no index was made, so there is nothing to measure; pip install 'intentflow[faiss]'")
    queries = np.random.default_rng(2).choice(number, ASKED, replace=False).tolist()
    allowed = np.ones(number, dtype=bool)
    found, taken = {}, {}
    for name, one in (("index", indexed), ("exact", exact)):
        one.of(queries[0], most=TEN, allowed=allowed)
        seconds, found[name] = [], []
        for place in queries:
            start = time.perf_counter()
            found[name].append(one.of(place, most=TEN, allowed=allowed)[1])
            seconds.append(time.perf_counter() - start)
        p50, p99 = np.quantile(seconds, (0.5, 0.99)) * 1000
        taken[name] = {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}
    pairs = zip(found["index"], found["exact"], strict=True)
    shares = [float((one[:TEN] >= all_[-1] - 10.0**-DIGITS).sum() / len(all_)) for one, all_ in pairs]
    mean, error = float(np.mean(shares)), float(np.std(shares) / np.sqrt(len(shares)))
    return {
        "vectors": number,
        "width": asked.width,
        "index": taken["index"] | {"build_cpu_s": round(built, 1)},
        "exact": taken["exact"],
        "recall": {"mean": round(mean, 4), "ci95": [round(mean - 1.96 * error, 4), round(mean + 1.96 * error, 4)]},
    }


def text(document: Document) -> str:
    """Return both, a line each."""
    recall = document["recall"]
    lines = [
        ("inverted file", f"{recall['mean']:.3f}", *document["index"].values()),
        ("exact", "1", *document["exact"].values(), "-"),
    ]
    head = f"{document['vectors']:,} vectors of {document['width']}, the nearest {TEN}"
    return f"{head}\n\n{script.table(('', 'recall', 'p50 ms', 'p99 ms', 'build, CPU-s'), lines)}"


if __name__ == "__main__":
    parser = script.parser(__doc__, trained=False)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64)
    script.main(parser, measure, text)
