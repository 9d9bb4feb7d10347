"""The training pipeline: the order of its steps. Retraining and batch scoring share its parts.

Pure steps are cached by their inputs: the spec's slices, the data's digest and the digest of the code behind each.
Steps with side effects never are; they are safe to repeat. What a step is comes from step_table.py.
"""

from dataclasses import dataclass
from typing import Any

from pipelines.graphs.graph import RETURNED, Graph, Node, Output


@dataclass(frozen=True)
class Prepared:
    """Artifacts that training and monitoring begin with."""

    tables: Output
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
    rows: Output  # that the ranker reads: those of the training set, with vectors of the items where there are some
    session: Output | None  # what `horizon: session` asks for, with its evaluation
    forecasts: Output | None  # what intents of kind regression and multiclass ask for, likewise
    searched: Node | None = None  # the search for settings, where the spec asks for one

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that a search decided on, as an input of the steps that train."""
        return {} if self.searched is None else {"model": self.searched[RETURNED]}

    @property
    def of_search(self) -> dict[str, Any]:
        """Return the search's trials as an input of the step that registers, where there was one."""
        return {} if self.searched is None else {"search": self.searched["intent_search"]}

    @property
    def beside(self) -> dict[str, Any]:
        """Return the session model and the forecasts as inputs of the registry's steps, where there are some."""
        found = {"session": self.session, "forecasts": self.forecasts}
        return {name: output for name, output in found.items() if output is not None}


def train(graph: Graph) -> None:
    """Train, judge and promote one recommender."""
    at = prepared(graph)
    version = released(graph, at, trained(graph, at))
    watched(graph, at, version)


def watched(graph: Graph, at: Prepared, version: Any) -> Output:
    """Watch for drift in what was prepared; return the verdict."""
    return graph.step("watch", release_version=version, rows=at.rows, clean=at.clean, tables=at.tables)["verdict"]


def cleaned(graph: Graph) -> Output:
    """Read the source and judge it by the contract; return the clean tables."""
    return _read(graph)[1]


def _read(graph: Graph) -> tuple[Output, Output]:
    """Return the tables as the source gave them, and the clean ones."""
    tables = graph.step("ingest")["tables"]
    return tables, graph.step("validate", tables=tables)["clean"]


def prepared(graph: Graph) -> Prepared:
    """Build the profiles and the rows that models learn from and are judged by."""
    with graph.group("data", "Read the source, judge it by the contract, build profiles and training rows."):
        tables, clean = _read(graph)
        features = graph.step("profiles", clean=clean)["features"]
        return Prepared(tables, clean, features, graph.step("training_set", clean=clean, features=features)["rows"])


def trained(graph: Graph, at: Prepared) -> Models:
    """Train both models and judge each on the test weeks."""
    rows = at.rows
    with graph.group("intent", "Train the intent model and judge it on the test weeks."):
        if graph.titles:
            rows = graph.step("item_vectors", rows=at.rows)["vector_rows"]
        searched = graph.step("search_intent", rows=rows) if graph.searches else None
        asked: dict[str, Any] = {} if searched is None else {"model": searched[RETURNED]}
        intent = graph.step("train_intent", rows=rows, **asked)["intent"]
        judged = graph.step("evaluate_intent", rows=at.rows, intent=intent)["intent_evaluation"]
        session = forecasts = None
        if graph.sessions:
            session = graph.step("train_session", clean=at.clean, rows=at.rows)["session_model"]
        if graph.forecasts:
            forecasts = graph.step("train_forecasts", clean=at.clean, rows=at.rows)["forecasts"]
    with graph.group("ranking", "Train the ranker and judge it on the test weeks."):
        if graph.vectors and not graph.titles:
            rows = graph.step("item_vectors", rows=at.rows)["vector_rows"]
        ranker = graph.step("train_ranking", rows=rows, intent=intent)["ranker"]
        compared = graph.step("evaluate_ranking", rows=rows, intent=intent, ranker=ranker)["ranking_evaluation"]
    return Models(intent, judged, ranker, compared, rows, session, forecasts, searched)


def released(graph: Graph, at: Prepared, models: Models, *, weighed: bool = False) -> Output:
    """Register the models, and where their gates are passed refit them, bring the profiles online and promote.

    Returns the judged release's version; what serves may be its refit. Where it is `weighed`, what passed is promoted
    only if it is worth a retraining.
    """
    with graph.group("release", "Register the models, judge them by the gates, promote what passes."):
        twin_intent, twin_ranking = _champion(graph, at, models)
        beside: dict[str, Any] = {"words": graph.step("judge_words")["words_evaluation"]} if graph.words else {}
        registered = graph.step(
            "register",
            clean=at.clean,
            intent=models.intent,
            intent_evaluation=models.intent_evaluation,
            ranker=models.ranker,
            ranking_evaluation=models.ranking_evaluation,
            **models.beside,
            **models.of_search,
            **beside,
            champion_intent=twin_intent,
            champion_ranking=twin_ranking,
        )
        version = registered["release_version"]
        serves = registered[RETURNED]
        if weighed:
            serves = graph.step(
                "weigh",
                passed=serves,
                version=version,
                intent_evaluation=models.intent_evaluation,
                ranking_evaluation=models.ranking_evaluation,
                champion_intent=twin_intent,
                champion_ranking=twin_ranking,
            )[RETURNED]
        with graph.when(serves, name="gates-passed"):
            # A note of the run is in `why`: it is no reason to run anything again.
            promote = "promote_retrained" if weighed else "promote"
            served(graph, at, _refitted(graph, at, models, version), why=graph.first["why"], promote=promote)
        with graph.unless(serves, name="gates-held-back"):
            stood_in(graph, at, models, version)
    return version


def _champion(graph: Graph, at: Prepared, models: Models) -> tuple[Output, Output]:
    """Judge the champion on the candidate's test rows, as the pair that it was judged as.

    Without a champion on other data these steps hand on why, and the gates compare as they can.
    """
    with graph.group("champion", "Judge the champion on the same test rows."):
        twin = graph.step("fetch_twin", clean=at.clean)["twin"]
        rows = graph.step("twin_rows", clean=at.clean, rows=at.rows, twin=twin)["twin_rows"]
        intent = graph.step("judge_twin_intent", rows=at.rows, twin=twin, twin_rows=rows)["champion_intent"]
        ranking = graph.step(
            "judge_twin_ranking",
            rows=models.rows,
            intent=models.intent,
            ranker=models.ranker,
            twin=twin,
            twin_rows=rows,
            champion_intent=intent,
        )["champion_ranking"]
    return intent, ranking


def _refitted(graph: Graph, at: Prepared, models: Models, version: Output) -> Output:
    """Fit what passed once more, on all ripe weeks; without `promotion.refit` these steps hand the version on."""
    intent = graph.step("refit_intent", rows=at.rows, intent=models.intent, **models.settings)["refitted_intent"]
    # The judged intent model predicted the weeks that the ranker learns from out of time; the refitted has seen them.
    ranker = graph.step("refit_ranking", rows=models.rows, intent=models.intent, ranker=models.ranker)[
        "refitted_ranker"
    ]
    beside: dict[str, Any] = {}
    if models.session is not None:
        again = graph.step("refit_session", clean=at.clean, rows=at.rows, session_model=models.session)
        beside["session"] = again["refitted_session"]
    if models.forecasts is not None:
        again = graph.step("refit_forecasts", clean=at.clean, rows=at.rows, forecasts=models.forecasts)
        beside["forecasts"] = again["refitted_forecasts"]
    made = graph.step(
        "register_refit",
        version=version,
        clean=at.clean,
        refitted_intent=intent,
        intent_evaluation=models.intent_evaluation,
        refitted_ranker=ranker,
        ranking_evaluation=models.ranking_evaluation,
        **beside,
    )
    return made[RETURNED]


def stood_in(graph: Graph, at: Prepared, models: Models, candidate: Output) -> None:
    """Where there is no champion, let the best baselines serve in place of the parts that were held back."""
    wanted = graph.step(
        "need_baseline",
        version=candidate,
        intent_evaluation=models.intent_evaluation,
        ranking_evaluation=models.ranking_evaluation,
    )
    chosen = wanted["baselines"]
    with graph.when(wanted[RETURNED], name="nobody-serves"):
        rate = graph.step(
            "baseline_intent",
            baselines=chosen,
            rows=at.rows,
            intent=models.intent,
            intent_evaluation=models.intent_evaluation,
        )
        intent = rate["baseline_intent"]
        order = graph.step("baseline_ranking", baselines=chosen, rows=models.rows, intent=intent, ranker=models.ranker)
        registered = graph.step(
            "register_baseline",
            candidate=candidate,
            baselines=chosen,
            clean=at.clean,
            intent=intent,
            intent_evaluation=rate["baseline_intent_evaluation"],
            ranker=order["baseline_ranker"],
            ranking_evaluation=order["baseline_ranking_evaluation"],
            **models.beside,
        )
        served(graph, at, registered["baseline_version"], why=registered[RETURNED])


def served(graph: Graph, at: Prepared, version: Output, *, why: Output, promote: str = "promote") -> None:
    """Bring the profiles online, and then promote a release, by the step of that name."""
    online = graph.step("materialise", release_version=version, features=at.features)  # before serving follows
    graph.step(promote, version=version, why=why, after=[online])
