"""Owners of a shop's rules: a release, a real log beside it, and browsers of a console over both."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from bentos.client import Recommender
from bentos.recommender.catalogue import OpenCatalogue
from components.ranking.rules.spec import PLACEMENTS, RULES
from feature_repo.documents.changes import RULE
from feature_repo.errors import SpecError
from pipelines import rules as live
from tests.bentos import conftest as tiny
from tests.bentos.recommender.item_shop import client as door_client
from tests.bentos.recommender.item_shop import shop
from tests.console.pages import Page, opened, pressed

RULED = [{"kind": "cap", "name": "two each", "column": "category", "at_most": 2}]


PLACES = {"home": {"k": 2}, "basket": {}}


COST = {
    "before": {"ndcg_at_10": 0.31, "coverage": 0.5, "categories": [0.1]},
    "after": {"ndcg_at_10": 0.29, "coverage": 0.4},
    "ndcg_change": [-0.02, -0.03, -0.01], "short": 0.25, "rows": 40, "placement": None,
}  # fmt: skip


class Installed:
    """A release with items of its own and a rule in its spec, a real log beside it, and what previews are asked."""

    def __init__(self, folder: Path) -> None:
        self.world = tiny.World(folder)
        self.words = shop()
        self.world.scorer, self.world.ranker = tiny.TinyScorer(self.words), tiny.TinyRanker(self.words)
        self.world.documents = self.world.log()
        self.world.opened = []  # type: ignore[attr-defined]
        self.costs: list[tuple[Any, str | None]] = []
        self.no_cost = ""
        self.people = False  # whether items are users

    def catalogue(self, _: Any) -> tuple[OpenCatalogue, tuple[str, ...]]:
        from dataclasses import replace

        release = replace(
            self.world.release(), rules=RULES.validate_python(RULED), placements=PLACEMENTS.validate_python(PLACES)
        )
        if self.people:
            release = replace(release, ranking=release.ranking.model_copy(update={"exclude_self": True}))
        words: Any = live._Release(self.words)
        found = OpenCatalogue(release, words, self.world.log(), lambda items, _: live._Release(items.vocabulary))  # type: ignore[arg-type,return-value]
        return found, ("calm", "keen")

    def cost(self, _: Any, ask: Any, *, placement: str | None) -> dict[str, Any]:
        if self.no_cost:
            raise SpecError(self.no_cost)
        self.costs.append((ask.model_dump(mode="json", exclude_unset=True), placement))
        return COST

    @contextlib.contextmanager
    def service(self, _: Any) -> Iterator[Recommender]:
        with Recommender("http://testserver") as client:
            client._session = Session(door_client(self.world))  # type: ignore[assignment]
            yield client

    def changes(self) -> list[tuple[int, str, str, Any]]:
        """What the log has of rules: version, who, name, document."""
        return [
            (change.version, change.who, entry.id, entry.document)
            for change in self.world.log().changes()
            for entry in change.entries
            if change.kind == RULE
        ]


class Session:
    """requests' session over a door in this process."""

    def __init__(self, door: TestClient) -> None:
        self._door = door

    def request(self, method: str, url: str, *, data: bytes, headers: Any, timeout: float) -> Any:
        reply = self._door.request(method, url, content=data, headers=headers)
        reply.ok = reply.is_success  # type: ignore[attr-defined]
        return reply

    def close(self) -> None:
        """Nothing is open."""


def beer(browser: TestClient, **more: Any) -> Page:
    """Preview a rule that hides soup."""
    page = opened(browser, "/console/rules/new?kind=filter")
    typed = {"name": "no soup", "column__0": "category", "operator__0": "=", "value__0": "SOUP"} | more
    return pressed(browser, page, "Preview", **typed)
