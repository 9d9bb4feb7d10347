"""The intent model as it serves, one row at a time: what that costs, and how far it is from the batch.

Runs in the evaluation step; the gates read what it returns as served.json.
"""

from typing import Any

import numpy as np

from components import measure
from components.intent import metrics
from components.intent.examples import Examples
from components.intent.score import IntentScorer


def served(
    scorer: IntentScorer, examples: Examples, *, trained: IntentScorer, memory: dict[str, float]
) -> dict[str, Any]:
    """Ask for some test rows one by one as they are served, and the trained network for all at once, and compare.

    `memory` is what loading the served form added.
    """
    chosen = measure.spread(examples.part("test"))
    rows, labels = examples.rows.take(chosen), examples.labels[chosen]
    batch = trained.predict(rows)  # [B, C]
    singles, ms = measure.one_by_one(lambda i: scorer.predict(rows.take(np.array([i])))[0], len(rows))
    alone = np.stack(singles)  # [B, C]
    variant = {"probability_gap": float(np.abs(batch - alone).max())}
    together, apart = (metrics.summary(labels, p)["map"] for p in (batch, alone))
    if together is not None and apart is not None:
        variant["map_loss"] = together - apart
    latency = {f"predict_ms_{name}": value for name, value in ms.items()}
    return {"rows": len(rows), "latency": latency, "memory": memory, "variant": variant}
