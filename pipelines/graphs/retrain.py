"""The retraining pipeline: look for drift in what the source holds now, decide, and train where there is some.

The steps are training's own. Without drift it ends after the decision: nothing is trained, registered or promoted.
"""

from kfp import dsl

from monitoring.component import conclude, decide, watch
from pipelines.graphs import index
from pipelines.graphs.forms import described
from pipelines.graphs.task_settings import effects, pure
from pipelines.graphs.train import cleaned, failure_reported, modelled, prepared, released

DATA = ""  # no release is asked about: the comparison is of data


@described
def _retrain(
    name: str,
    reading: str,
    data: str,
    source: str,
    split: str,
    profiles: str,
    vocabulary: str,
    intents: str,
    intent: str,
    ranking: str,
    ranking_rows: str,
    ranking_weeks: int,
    promotion: str,
    mode: str,
    serving: str,
    monitoring: str,
    lineage: str,
    data_code: str,
    profiles_code: str,
    intent_code: str,
    ranking_code: str,
) -> None:
    """Train one recommender again if its data has drifted."""
    with failure_reported(name, "retrain"):
        clean = cleaned(reading=reading, data=data, source=source, data_code=data_code)
        at = prepared(
            clean,
            profiles=profiles,
            split=split,
            vocabulary=vocabulary,
            ranking_rows=ranking_rows,
            code=profiles_code,
        )
        watched = watch(name=name, monitoring=monitoring, release_version=DATA, rows=at.rows)
        effects(watched)
        drift = watched.outputs["verdict"]
        decision = decide(verdict=drift)
        pure(decision)
        concluded = conclude(name=name, drifted=decision.outputs["Output"], drift=drift)
        effects(concluded)
        with dsl.If(decision.outputs["Output"] == True, name="drifted"):  # noqa: E712 - kfp compares, Python does not
            models = modelled(
                at.rows,
                intents=intents,
                intent=intent,
                ranking=ranking,
                ranking_weeks=ranking_weeks,
                intent_code=intent_code,
                ranking_code=ranking_code,
            )
            release = released(name, at, models, lineage=lineage, promotion=promotion, serving=serving, mode=mode)
            trained = conclude(
                name=name,
                release_version=release.version,
                passed=release.passed,
                drifted=True,
                **at._asdict(),
                intent=models.intent,
                intent_evaluation=models.intent_evaluation,
                ranking_evaluation=models.ranking_evaluation,
                drift=drift,
            )
            trained.after(concluded)
            effects(trained)


retrain = dsl.pipeline(
    name=index.PIPELINES["retrain"].name,
    description="Drift, the decision on it, and training where it asks for that.",
)(_retrain)
