"""What follows from one part of a spec for another, filled in before it is checked, unless the spec says it."""

from typing import Any

from pydantic import ValidationError

from components.intent.networks import TEXT
from components.intent.spec import EVENTS, filled
from components.ranking.spec import OF_PEOPLE, OF_VECTORS
from components.vectors.spec import Vectors
from feature_repo import columns

GRAPH, OF_KNOWLEDGE = "graph", 50  # the source that reads what is known of items, and its limit where none is said


def items_are_people(document: Any) -> Any:
    """Rank people as such where items are users: nobody to themselves, and from who acted on whom."""
    if not _of(document, "data", "source", "items").get("from"):
        return document
    models = _of(document, "models")
    ranking, limits = _of(models, "ranking"), _of(models, "ranking", "candidates")
    said = {"people": True, "exclude_self": True} | ranking | {"candidates": OF_PEOPLE | limits}
    return {**document, "models": {**models, "ranking": said}}


def items_have_vectors(document: Any) -> Any:
    """Tell ranking what vectors of items there are; what is wrong with them their own slice says."""
    if not isinstance(document, dict) or not document.get("vectors"):
        return document
    try:
        vectors = Vectors.model_validate(document["vectors"]).slice()
    except ValidationError:
        return document
    models = _of(document, "models")
    ranking, limits = _of(models, "ranking"), _of(models, "ranking", "candidates")
    said = ranking | {"vectors": vectors, "candidates": OF_VECTORS | limits}
    return {**document, "models": {**models, "ranking": said}}


def items_are_known(document: Any) -> Any:
    """Have candidates come through what the spec knows of items, unless it says how many."""
    if not _of(document, "data", "knowledge"):
        return document
    models = _of(document, "models")
    ranking, limits = _of(models, "ranking"), _of(models, "ranking", "candidates")
    said = ranking | {"candidates": {GRAPH: OF_KNOWLEDGE} | limits}
    return {**document, "models": {**models, "ranking": said}}


def events_are_kept(document: Any) -> Any:
    """Keep memories of training rows, and read vectors of texts, where the intent model reads events."""
    models, intent = _of(document, "models"), _of(document, "models", "intent")
    if intent.get("reads") != EVENTS:
        return document
    said = filled(intent, _of(document, "vectors"))
    told = intent.get("architecture") == TEXT and columns.TEXT in _of(document, "data", "source", "events", "columns")
    kept = columns.OF_TEXTS if told else columns.OF_TRAINING
    profiles = {columns.MEMORY: kept} | _of(document, "profiles")
    return {**document, "profiles": profiles, "models": {**models, "intent": said}}


def _of(document: Any, *keys: str) -> dict[str, Any]:
    """Return a mapping within a document that nothing has checked yet; empty where there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


# In this order: a later one sees what an earlier one filled in.
FILLS = (events_are_kept, items_are_known, items_have_vectors, items_are_people)
