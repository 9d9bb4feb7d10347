"""The retraining pipeline: look for drift in what the source holds now, decide, and train where there is some.

The steps are training's own. Without drift it ends after the decision: nothing is trained, registered or promoted. With
`monitoring.retrain` the decision is a state machine's, which may wait, hold or stop, and what was trained is weighed
against the champion before it is promoted (monitoring/retraining).
"""

from pipelines.graphs.graph import RETURNED, Graph
from pipelines.graphs.train import prepared, released, trained, watched

DATA = ""  # no release is asked about: the comparison is of data


def retrain(graph: Graph) -> None:
    """Train one recommender again if its data has drifted."""
    at = prepared(graph)
    drift = watched(graph, at, DATA)
    if graph.retrains:
        decided = graph.step("decide_retraining", verdict=drift, rows=at.rows)[RETURNED]
    else:
        decided = graph.step("decide", verdict=drift)[RETURNED]
    # A group around the condition: kfp lets no later step come after a condition itself.
    with (
        graph.group("training", "Where the data has drifted: train both models, judge and release them."),
        graph.when(decided, name="drifted"),
    ):
        released(graph, at, trained(graph, at), weighed=graph.retrains)
