"""What each parameter of the pipelines means, said once: Kubeflow's run form shows it beside the field."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

WORDS = {
    "name": "Name of the recommender; registered models begin with it.",
    "reading": "What of the spec's `data` slice reading the source needs, JSON.",
    "data": "The spec's `data` slice, JSON.",
    "source": "Digest of the source's state; another digest reads the source again.",
    "split": "The spec's `data.split`, JSON.",
    "profiles": "The spec's `profiles` slice, JSON.",
    "vocabulary": "What the vocabularies are fitted on: intents' levels, item thresholds; JSON.",
    "intents": "The spec's `intents`, JSON.",
    "intent": "The spec's `models.intent`, JSON.",
    "ranking": "The spec's `models.ranking`, JSON.",
    "ranking_rows": "Which weeks the ranker's rows come from, JSON.",
    "ranking_weeks": "Last training weeks that the ranker learns from.",
    "promotion": "The spec's `promotion`, JSON.",
    "mode": "auto, manual or dry_run.",
    "serving": "What the release tells the services, JSON.",
    "monitoring": "The spec's `monitoring`, JSON.",
    "lineage": "Digests of spec, code, lock and feature services, JSON.",
    "data_code": "Digest of the code behind the data steps.",
    "profiles_code": "Digest of the code behind the profile steps.",
    "intent_code": "Digest of the code behind the intent steps.",
    "ranking_code": "Digest of the code behind the ranking steps.",
    "which": "Version or alias of the release that scores: champion, challenger, 7.",
    "k": "Items for each user; 0 asks the release, which has the spec's serving.k.",
    "registry_code": "Digest of the code that fetches a release.",
}


def described(function: Function) -> Function:
    """Add to a pipeline's docstring what its parameters mean, where kfp reads it."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    lines = [f"    {name}: {WORDS[name]}" for name in names]
    function.__doc__ = "\n".join([(function.__doc__ or "").strip(), "", "Args:", *lines])
    return function
