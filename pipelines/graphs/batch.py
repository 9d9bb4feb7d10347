"""The batch scoring pipeline: intents and recommendations for every user, from the release that serves.

The release that an alias means is fetched, the source is read as training reads it, so on one machine those steps are
there already, and the release's own code for serving answers for all users in groups. Nothing is trained, registered or
promoted.
"""

from pipelines.graphs.graph import Graph
from pipelines.graphs.train import cleaned


def batch(graph: Graph) -> None:
    """Score every user with one release."""
    with graph.group("release", "Find the release that the alias means, and fetch it."):
        chosen = graph.step("champion")
        fetched = graph.step("fetch_release", version=chosen["version"], release=chosen["release"])["folder"]
    with graph.group("data", "Read the source, judge it by the contract, compute every user's newest row."):
        rows = graph.step("newest_rows", now=chosen["now"], clean=cleaned(graph), release=fetched)["rows"]
    with graph.group("scores", "Predict intents and recommend items for every user."):
        intents = graph.step("predict_intents", rows=rows, release=fetched)["intents"]
        graph.step("recommend", rows=rows, intents=intents, release=fetched)
