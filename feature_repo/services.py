"""The feature services: what each model may see, in training and in serving alike."""

from typing import Any

from feature_repo import columns, files
from feature_repo.views import Views

INTENT = "intent_v1"
RANKING = "ranking_v1"
STATE = "state_v1"  # all that a new event may move; for writers, not for models
MEMORY = "memory_v1"  # event memories at the training cutoffs, where the spec keeps them; offline only


def build(views: Views) -> list[Any]:
    """Declare the services over the views."""
    from feast import FeatureService

    received = [] if views.user_received is None else [views.user_received]
    return [
        FeatureService(name=INTENT, features=[views.user_profile, views.user_targets]),
        FeatureService(name=RANKING, features=[views.user_profile, views.user_targets, views.user_history, *received]),
        FeatureService(name=STATE, features=list(views.of_users().values())),
    ]


def of_memories(view: Any) -> Any:
    """Declare the service of the training cutoffs' event memories."""
    from feast import FeatureService

    return FeatureService(name=MEMORY, features=[view])


def digest(name: str, *, windows_days: tuple[float, ...], people: bool = False) -> str:
    """Digest of a service's feature names, to tie a model to what it saw; needs no Feast.

    >>> digest("intent_v1", windows_days=(7,)) != digest("ranking_v1", windows_days=(7,))
    True
    """
    names = [*columns.profile_columns(windows_days), columns.SEGMENT, *columns.TARGET_LISTS, *columns.RECENT_LISTS]
    names.append(columns.ATTRIBUTES)
    history = list(columns.HISTORY_LISTS) if name == RANKING else []
    history += columns.RECEIVED_LISTS if name == RANKING and people else ()
    return files.digest({"service": name, "features": sorted(names + history)})
