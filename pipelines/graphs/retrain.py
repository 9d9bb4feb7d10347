"""The retraining pipeline: look for drift in what the source holds now, decide, and train where there is some.

The steps are training's own. Without drift it ends after the decision: nothing is trained, registered or promoted.
"""

from pipelines.graphs.graph import RETURNED, Graph
from pipelines.graphs.train import concluded, prepared, trained

DATA = ""  # no release is asked about: the comparison is of data


def retrain(graph: Graph) -> None:
    """Train one recommender again if its data has drifted."""
    graph.on_exit("report_failure", pipeline="retrain")
    at = prepared(graph)
    drift = graph.step("watch", release_version=DATA, rows=at.rows)["verdict"]
    decided = graph.step("decide", verdict=drift)[RETURNED]
    looked = graph.step("conclude", drifted=decided, drift=drift)
    with graph.when(decided, name="drifted"):
        models, release = trained(graph, at)
        concluded(graph, at, models, release, drift=drift, drifted=True, after=(looked,))
