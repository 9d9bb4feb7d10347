"""The training pipeline: the order of its steps. Retraining and batch scoring share its parts.

Pure steps are cached by their inputs: the spec's slices, the data's digest and the digest of the code behind each.
Steps with side effects never are; they are safe to repeat. What a step is comes from step_table.py.
"""

from dataclasses import dataclass

from pipelines.graphs.graph import RETURNED, Graph, Node, Output


@dataclass(frozen=True)
class Prepared:
    """Artifacts that training and monitoring begin with."""

    clean: Output
    features: Output
    rows: Output


@dataclass(frozen=True)
class Models:
    """Both models and what was measured of them."""

    intent: Output
    intent_evaluation: Output
    ranker: Output
    ranking_evaluation: Output


@dataclass(frozen=True)
class Registered:
    """The release of a run and whether it passed its gates."""

    version: Output
    passed: Output


def train(graph: Graph) -> None:
    """Train, judge and promote one recommender."""
    graph.on_exit("report_failure", pipeline="train")
    at = prepared(graph)
    models, release = trained(graph, at)
    watched = graph.step("watch", release_version=release.version, rows=at.rows)
    concluded(graph, at, models, release, drift=watched["verdict"])


def cleaned(graph: Graph) -> Output:
    """Read the source and judge it by the contract; return the clean tables."""
    ingested = graph.step("ingest")
    return graph.step("validate", tables=ingested["tables"])["clean"]


def prepared(graph: Graph) -> Prepared:
    """Build the profiles and the rows that models learn from and are judged by."""
    clean = cleaned(graph)
    features = graph.step("profiles", clean=clean)["features"]
    return Prepared(clean, features, graph.step("training_set", clean=clean, features=features)["rows"])


def trained(graph: Graph, at: Prepared) -> tuple[Models, Registered]:
    """Train both models, judge each on the test weeks, and release them."""
    intent = graph.step("train_intent", rows=at.rows)["intent"]
    judged = graph.step("evaluate_intent", rows=at.rows, intent=intent)
    ranker = graph.step("train_ranking", rows=at.rows, intent=intent)["ranker"]
    compared = graph.step("evaluate_ranking", rows=at.rows, intent=intent, ranker=ranker)
    models = Models(intent, judged["intent_evaluation"], ranker, compared["ranking_evaluation"])
    return models, _released(graph, at, models)


def _released(graph: Graph, at: Prepared, models: Models) -> Registered:
    """Register the models, and where their gates are passed bring the profiles online and promote the release."""
    registered = graph.step("register", clean=at.clean, **vars(models))
    version = registered["release_version"]
    with graph.when(registered[RETURNED], name="gates-passed"):
        online = graph.step("materialise", release_version=version, features=at.features)  # before serving follows
        graph.step("promote", version=version, why="passed its gates", after=[online])
    return Registered(version, registered[RETURNED])


def concluded(
    graph: Graph,
    at: Prepared,
    models: Models,
    release: Registered,
    *,
    drift: Output,
    drifted: bool | None = None,
    after: tuple[Node, ...] = (),
) -> Node:
    """Say what a run that trained left."""
    return graph.step(
        "conclude",
        release_version=release.version,
        passed=release.passed,
        clean=at.clean,
        features=at.features,
        rows=at.rows,
        intent=models.intent,
        intent_evaluation=models.intent_evaluation,
        ranking_evaluation=models.ranking_evaluation,
        drift=drift,
        after=after,
        **({} if drifted is None else {"drifted": drifted}),
    )
