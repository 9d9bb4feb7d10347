"""The run form of each pipeline, and the slices that its first step makes of it. No SDK is imported here.

The same functions serve a run (admission.py), `plan`, which compares slices with those of the last run, and jobs that
begin as the pipelines do.
"""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.content.llm import prompts
from components.data.derived import rules_at_the_door, rules_of_an_item, unknown_items
from components.data.ingest import source_digest
from components.data.spec import HORIZON
from components.intent.networks import TEXT
from components.registry.spec import DRY_RUN
from components.vectors.steps import KEY, MADE_BY
from feature_repo import files, services
from feature_repo.errors import DataError, ServerError, SpecError
from pipelines.environment import Installation
from pipelines.graphs import code_digests, encoder_source
from pipelines.spec import Recommender

CODES = ("data", "profiles", "intent", "ranking", "registry")
PASSED = "passed its gates"  # why a release is promoted; a run's note follows


def form(spec: Recommender) -> dict[str, Any]:
    """Return the defaults of the training pipelines' form; kfp knows no null, and one in a spec is a default."""
    return {"spec": spec.model_dump(mode="json", exclude_none=True), "mode": spec.promotion.mode, "note": ""}


def batch_form(spec: Recommender) -> dict[str, Any]:
    """Return the defaults of batch scoring's form."""
    return {"spec": form(spec)["spec"], "which": "champion", "k": 0, "note": ""}


def policy_form(spec: Recommender) -> dict[str, Any]:
    """Return the defaults of the form of the pipeline that learns a policy."""
    return form(spec) | {"which": "champion"}


def spec_slices(spec: Recommender) -> dict[str, Any]:
    """Return the slices that the spec alone decides."""
    dumped = spec.model_dump(mode="json")
    models, session, forecast = dumped["models"], spec.session_rule(), spec.forecast_rule()
    dumped["intents"] = [intent.model_dump(mode="json") for intent in spec.clocked]
    serving = {key: dumped[key] for key in ("profiles", "intents", "serving", "content")} | {
        "ranking": models["ranking"]
    }
    contract = spec.judged_data().contract
    serving["event_rules"] = [rule.model_dump(mode="json") for rule in rules_at_the_door(contract)]
    # A contract without rules of its own leaves none in the release, as before there were such.
    if (own := rules_of_an_item(contract)) != rules_of_an_item({}):
        serving["item_rules"] = [rule.model_dump(mode="json") for rule in own]
    if spec.content.model is not None:
        serving["prompts"] = dict(prompts.texts(spec.content.model.prompt))
        serving["title_prompts"] = dict(prompts.texts(spec.content.model.titles))
        if (rerank := spec.content.model.rerank) is not None:
            serving["rerank_prompts"] = dict(prompts.texts(rerank.prompt))
    serving["unknown_items"] = unknown_items(contract, own_table=spec.data.lists_items)
    reading = {k: v for k, v in dumped["data"].items() if k not in ("contract", "clean", "session_gap")}
    serving |= {key: dumped[key] for key in ("rules", "placements") if key in dumped}
    if spec.policy.explores:
        serving["policy"] = spec.policy.slice()
    return {
        "name": spec.name,
        # With what the labels take of the steps, so that data too short for them is refused before it is read on.
        "reading": _text(reading | {k: n for k, n in spec.split_slice().items() if k == HORIZON}),
        "data": _text(spec.judged_data().model_dump(mode="json")),
        "split": _text(spec.split_slice()),
        "profiles": _text(dumped["profiles"]),
        "vocabulary": _text(spec.vocabulary_rule()),
        "intents": _text(dumped["intents"]),
        "intent_model": _text(models["intent"]),
        "session": "" if session is None else _text(session.model_dump(mode="json")),
        "forecast": "" if forecast is None else _text(forecast.model_dump(mode="json")),
        "ranking": _text(models["ranking"]),
        "ranking_rows": _text(spec.ranking_rows()),
        "ranking_weeks": spec.models.ranking.train_weeks,
        "promotion": _text(dumped["promotion"]),
        "mode": spec.promotion.mode,
        "refit": spec.promotion.refit and spec.promotion.mode != DRY_RUN,
        "serving": _text(serving),
        "monitoring": _text(dumped["monitoring"]),
        "policy": _text(dumped["policy"]) if "policy" in dumped else "",
    }


def _text(value: Any) -> str:
    # Numbers inside dicts become floats on their way through Kubeflow, and keys lose their order; a JSON string stays
    # what it is.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def slices(
    spec: Recommender,
    *,
    source: str,
    base: Path,
    note: str = "",
    elsewhere: bool = False,
    home: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the slices of a run: the spec's, and the digests of data, code and lock; paths begin at `base`.

    `home` and `variables` are the state folder and the environment's, by which another recommender's encoder is found;
    without them its alias stays an alias. Of a run `elsewhere` the encoder of texts may be there alone: its first step
    names it.
    """
    windows = spec.profiles.windows_days
    lineage = {
        "spec": spec.digest,
        "git": code_digests.git_commit(),
        "lock": code_digests.lock_digest(),
        "feature_services": {
            name: services.digest(name, windows_days=windows, people=spec.data.items_are_users)
            for name in (services.INTENT, services.RANKING)
        },
        "params": spec.models.model_dump(mode="json"),
    }
    return (
        spec_slices(spec)
        | {
            "source": source,
            "lineage": json.dumps(lineage, sort_keys=True),
            "why": f"{PASSED}; {note}" if note else PASSED,
            **codes(spec),
        }
        | _of_vectors(spec, base, elsewhere=elsewhere)
        | _of_text(spec, base, elsewhere=elsewhere)
        | ({} if home is None else _of_encoder(spec, home, variables or {}, elsewhere=elsewhere))
    )


def codes(spec: Recommender) -> dict[str, str]:
    """Return the digests of the code behind the steps; what few specs have goes with intent's and ranking's."""
    found = {f"{part}_code": code_digests.step_digest(part) for part in CODES}
    found["session_code"] = code_digests.step_digest("intent/sessions")
    if spec.models.intent.search is not None:
        found["intent_code"] = files.digest([found["intent_code"], code_digests.step_digest("intent/search")])
    found["policy_code"] = code_digests.step_digest("policy")
    found["forecast_code"] = code_digests.step_digest("intent/forecasts")
    if spec.vectors is not None:
        found["ranking_code"] = files.digest([found["ranking_code"], code_digests.step_digest("vectors")])
    return found


def _of_vectors(spec: Recommender, base: Path, *, elsewhere: bool) -> dict[str, Any]:
    """Return the slice `ranking` with what makes the vectors: another encoder, and they are made again."""
    if spec.vectors is None:
        return {}
    from components.vectors.build import made_by  # numpy, which only specs with vectors pay for

    ranking = spec.models.ranking.model_dump(mode="json")
    try:
        ranking[KEY] = {**ranking[KEY], MADE_BY: made_by(spec.vectors, base)}
    except DataError:
        if not elsewhere:
            raise
    return {"ranking": _text(ranking)}


def _of_text(spec: Recommender, base: Path, *, elsewhere: bool) -> dict[str, Any]:
    """Return the digest of the intent steps' code with what says which encoder they begin with."""
    if spec.models.intent.architecture != TEXT:
        return {}
    from components.intent.behaviour import sources

    try:
        return {
            "intent_code": files.digest([codes(spec)["intent_code"], sources.identity(spec.models.intent.text, base)])
        }
    except DataError:
        if not elsewhere:
            raise
    return {}


def _of_encoder(spec: Recommender, home: Path, variables: Mapping[str, str], *, elsewhere: bool) -> dict[str, Any]:
    """Return the slice of the intent model with the encoder that an alias of another recommender stands for now."""
    try:
        found = encoder_source.pinned(spec, home=home, variables=variables)
    except (SpecError, DataError, ServerError):
        if not elsewhere:
            raise
        return {}
    if found is None:
        return {}
    model = json.loads(spec_slices(spec)["intent_model"])
    return {"intent_model": _text(model | {"pretrain": {**model["pretrain"], "source": found}})}


def require_encoder(spec: Recommender, base: Path, *, elsewhere: bool = False) -> None:
    """Refuse a training whose `pretrain.source` is absent or another than was named, before hours of steps before it.

    Of a run `elsewhere` the folder may be there alone: its first step asks again. Scoring needs no such folder.
    """
    pretrain = spec.models.intent.pretrain
    if pretrain is None or pretrain.source is None or encoder_source.named(pretrain.source):
        return  # one by an alias is fetched with the slices
    from components.intent.transfer_source import located

    try:
        located(pretrain.source, base)
    except DataError:
        if not elsewhere:
            raise


def source_state(spec: Recommender, base: Path, people: dict[str, str]) -> str:
    """Digest the source's state; another key, or another person to be left out, and the data is read anew."""
    return files.digest([source_digest(spec.data, base), people])


def run_parameters(place: Installation) -> dict[str, Any]:
    """Return the slices of a run that would begin now, as the run's first step makes them.

    Where the pipeline runs elsewhere, its files may be there only: then the time stands for their state.
    """
    base, elsewhere = place.spec_path.absolute().parent, place.environment.kubeflow is not None
    try:
        source = source_state(place.spec, base, place.people)
    except DataError:  # no file, or one without rows
        if not elsewhere:
            raise
        source = files.digest([dt.datetime.now(dt.UTC).isoformat(timespec="microseconds"), place.people])
    named = encoder_source.asked(place.spec) is not None  # else no key file is made for a look
    variables = place.variables if named else {}
    return slices(place.spec, source=source, base=base, elsewhere=elsewhere, home=place.home, variables=variables)
