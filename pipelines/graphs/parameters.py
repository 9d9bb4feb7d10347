"""What a spec, its data and its code put into the pipelines' parameters. No SDK is imported here."""

import datetime as dt
import json
from typing import Any

from components.data.derived import rules_at_the_door
from components.data.ingest import source_digest
from feature_repo import files, services
from feature_repo.errors import DataError
from pipelines.environment import Installation
from pipelines.graphs import code_digests
from pipelines.spec import Recommender


def spec_parameters(spec: Recommender) -> dict[str, Any]:
    """Return the parameters that the spec alone decides."""
    dumped = spec.model_dump(mode="json")

    def text(value: Any) -> str:
        # Numbers inside dicts become floats on their way through Kubeflow; a JSON string stays what it is.
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    models = dumped["models"]
    serving = {key: dumped[key] for key in ("profiles", "intents", "serving", "content")} | {
        "ranking": models["ranking"]
    }
    serving["event_rules"] = [rule.model_dump(mode="json") for rule in rules_at_the_door(spec.data.contract)]
    return {
        "name": spec.name,
        "reading": text({k: v for k, v in dumped["data"].items() if k not in ("contract", "clean")}),
        "data": text(spec.judged_data().model_dump(mode="json")),
        "split": text(dumped["data"]["split"]),
        "profiles": text(dumped["profiles"]),
        "vocabulary": text(spec.vocabulary_rule()),
        "intents": text(dumped["intents"]),
        "intent": text(models["intent"]),
        "ranking": text(models["ranking"]),
        "ranking_rows": text({k: models["ranking"][k] for k in ("train_weeks", "test_every_weeks")}),
        "ranking_weeks": spec.models.ranking.train_weeks,
        "promotion": text(dumped["promotion"]),
        "mode": spec.promotion.mode,
        "serving": text(serving),
        "monitoring": text(dumped["monitoring"]),
    }


def run_parameters(place: Installation) -> dict[str, Any]:
    """Return every parameter of a run: the spec's, and the digests of data, code and lock."""
    spec = place.spec
    windows = spec.profiles.windows_days
    lineage = {
        "spec": spec.digest,
        "git": code_digests.git_commit(),
        "lock": code_digests.lock_digest(),
        "feature_services": {
            name: services.digest(name, windows_days=windows) for name in (services.INTENT, services.RANKING)
        },
        "params": spec.models.model_dump(mode="json"),
    }
    return spec_parameters(spec) | {
        "source": _source(place),
        "lineage": json.dumps(lineage),
        **{f"{part}_code": code_digests.step_digest(part) for part in ("data", "profiles", "intent", "ranking")},
    }


def _source(place: Installation) -> str:
    """Digest the source's state; another key, or another person to be left out, and the data is read anew.

    Where the pipeline runs elsewhere, its files may be there only: then the time stands for them, and every run reads.
    """
    try:
        state = source_digest(place.spec.data, place.spec_path.absolute().parent)
    except DataError:  # no file, or one without rows
        if place.environment.kubeflow is None:
            raise
        state = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    return files.digest([state, place.people])


# Of the training pipeline's parameters, those of the steps that batch scoring begins and ends with.
SHARED = ("name", "reading", "data", "split", "mode")
CODES = ("data", "profiles", "intent", "ranking", "registry")


def batch_parameters(spec: Recommender) -> dict[str, Any]:
    """Return the parameters of batch scoring that the spec alone decides."""
    trained = spec_parameters(spec)
    return {name: trained[name] for name in SHARED} | {"which": "champion", "k": 0}


def batch_run_parameters(place: Installation) -> dict[str, Any]:
    """Return every parameter of a batch scoring run."""
    return (
        batch_parameters(place.spec)
        | {"source": _source(place)}
        | {f"{part}_code": code_digests.step_digest(part) for part in CODES}
    )
