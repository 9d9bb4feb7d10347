"""The batch scoring pipeline: intents and recommendations for every user, from the release that serves.

It begins as training does, so on one machine its first steps are there already. Then the release that an alias means
is fetched, and its own code for serving answers for all users in groups. Nothing is trained, registered or promoted.
"""

from kfp import dsl

from components.intent.component import predict_intents
from components.profiles.component import newest_rows
from components.ranking.component import recommend
from components.registry.component import champion, fetch_release
from monitoring.component import conclude
from pipelines.graphs import index
from pipelines.graphs.forms import described
from pipelines.graphs.task_settings import effects, pure
from pipelines.graphs.train import cleaned, failure_reported


@described
def _batch(
    name: str,
    reading: str,
    data: str,
    source: str,
    split: str,
    which: str,
    k: int,
    data_code: str,
    profiles_code: str,
    intent_code: str,
    ranking_code: str,
    registry_code: str,
) -> None:
    """Score every user with one release."""
    with failure_reported(name, "batch"):
        chosen = champion(name=name, which=which)
        effects(chosen)  # an alias moves without any input changing
        version, release_id = chosen.outputs["version"], chosen.outputs["release"]
        fetched = fetch_release(name=name, version=version, release=release_id, code=registry_code)
        release = fetched.outputs["folder"]
        clean = cleaned(reading=reading, data=data, source=source, data_code=data_code)
        newest = newest_rows(split=split, now=chosen.outputs["now"], code=profiles_code, clean=clean, release=release)
        rows = newest.outputs["rows"]
        predicted = predict_intents(code=intent_code, rows=rows, release=release)
        intents = predicted.outputs["intents"]
        ranked = recommend(k=k, code=ranking_code, rows=rows, intents=intents, release=release)
        pure(fetched, newest, predicted, ranked)
        concluded = conclude(
            name=name,
            release_version=version,
            clean=clean,
            rows=rows,
            intents=intents,
            recommendations=ranked.outputs["recommendations"],
        )
        effects(concluded)


batch = dsl.pipeline(
    name=index.PIPELINES["batch"].name,
    description="Intents and recommendations for all users, from the release that serves.",
)(_batch)
