"""The batch scoring pipeline: intents and recommendations for every user, from the release that serves.

It begins as training does, so on one machine its first steps are there already. Then the release that an alias means
is fetched, and its own code for serving answers for all users in groups. Nothing is trained, registered or promoted.
"""

from pipelines.graphs.graph import Graph
from pipelines.graphs.train import cleaned


def batch(graph: Graph) -> None:
    """Score every user with one release."""
    graph.on_exit("report_failure", pipeline="batch")
    chosen = graph.step("champion")
    version = chosen["version"]
    release = graph.step("fetch_release", version=version, release=chosen["release"])["folder"]
    clean = cleaned(graph)
    rows = graph.step("newest_rows", now=chosen["now"], clean=clean, release=release)["rows"]
    intents = graph.step("predict_intents", rows=rows, release=release)["intents"]
    ranked = graph.step("recommend", rows=rows, intents=intents, release=release)
    graph.step(
        "conclude",
        release_version=version,
        clean=clean,
        rows=rows,
        intents=intents,
        recommendations=ranked["recommendations"],
    )
