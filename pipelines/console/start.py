"""What the first page names: what `intentflow up` started, where it is, and lines that work as they are copied.

The lines ask for a visitor who is made up for the page, so no id of anybody stands on it; their item is one of the
release that serves, and their event keeps to the spec's contract.
"""

import json
import shlex
from typing import Any

from bentos.console.ports.watch import Start, Try
from feature_repo import columns
from pipelines.console import shown, standing
from pipelines.environment import Installation

VISITOR = "first-visitor"
KEY = "RECOMMENDER_KEY"  # of the lines, where the service asks for one
AMOUNTS = (columns.QUANTITY, columns.VALUE, columns.DISCOUNT)


def start(place: Installation) -> Start:
    """Collect it."""
    from pipelines.releases import serving

    service = serving.running(place) or ""
    key_env = "" if place.environment.serving.auth == "none" else KEY
    tries = _tries(place, service, key_env=key_env) if service else ()
    return Start(service, standing.processes_of(place), tries, key_env, f"intentflow up {place.spec_path}")


def _tries(place: Installation, service: str, *, key_env: str) -> tuple[Try, ...]:
    """Return a newcomer's list, what they do, and the list that follows from it."""

    def line(path: str, body: dict[str, Any]) -> str:
        key = f' -H "X-API-Key: ${key_env}"' if key_env else ""
        return f"curl -s {service}{path} -H 'Content-Type: application/json'{key} -d {shlex.quote(json.dumps(body))}"

    listed = line("/recommend", {"user_id": VISITOR, "k": 3})
    found = [Try("recommend", listed)]
    if event := _event(place):
        found += [Try("events", line("/events", {"events": [event]})), Try("again", listed)]
    return (*found, Try("intents", line("/intents", {"user_id": VISITOR})), Try("docs", f"curl -s {service}/docs.json"))


def _event(place: Installation) -> dict[str, Any]:
    """Return an event of the made-up visitor; {} where items are people, or no item is known here."""
    from components.data.row_rules import NotNull, OneOf

    item = _item(place)
    if not item or place.spec.data.items_are_users:
        return {}
    rules = place.spec.judged_data().contract.get("events", [])
    kinds = [str(rule.values[0]) for rule in rules if isinstance(rule, OneOf) and rule.column == columns.EVENT]
    kind = place.spec.models.ranking.main_event or (kinds or ["purchase"])[0]
    asked = {rule.column for rule in rules if isinstance(rule, NotNull)}
    return {"user_id": VISITOR, "item_id": item, "event": kind} | {name: 1 for name in AMOUNTS if name in asked}


def _item(place: Installation) -> str:
    """Return an item of the release that serves here, '' where none does."""
    from bentos.router import start as router

    routes = router.read(router.routes_file(place.home))
    items = shown.catalogue(place, routes.stable.release) if routes is not None else set()
    return min(items, default="")
