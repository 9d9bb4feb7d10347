"""The Python and the TypeScript client get the same answers and the same refusals of a real door."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bentos import keys
from bentos.access import Access
from bentos.endpoints.operations import OPERATIONS
from tests.bentos.conftest import World
from tests.bentos.http.test_auth import opened_by
from tests.bentos.sockets import listening
from tests.clients.cases import CASES, SHOP, Case
from tests.clients.conftest import Client

pytestmark = pytest.mark.process


def options(file: Path) -> dict[str, dict[str, Any]]:
    """Return what a client is given, by whose key it has."""
    page = keys.Page(events=("view",), origins=(SHOP,))
    made = {
        "server": keys.make(file, name="shop", scopes=("recommend", "events"), server=True),
        "admin": keys.make(file, name="owner", scopes=("admin",), server=True),
        "reader": keys.make(file, name="reader", scopes=("recommend",), server=True),
        "ended": keys.make(file, name="old", scopes=("recommend",), server=True, until=time.time() - 1),
        "page": keys.make(file, name="page", scopes=keys.PAGE_SCOPES, page=page),
    }
    given: dict[str, dict[str, Any]] = {name: {"apiKey": key} for name, key in made.items()}
    return given | {"none": {}, "page": given["page"] | {"origin": SHOP}}


@contextmanager
def door(folder: Path) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """A door on a socket, over a world where ann had i0 and then i2."""
    world = World(folder)
    world.documents = world.log()
    world.knows("ann", 0, 2)
    given = options(folder / "keys.json")
    client, _ = opened_by(world, Access(auth="keys", keys_file=str(folder / "keys.json")))
    with listening(client.app) as place:
        yield place.url, given


def held(found: Any, expected: Any) -> bool:
    """Tell whether an answer says all that is expected, and lists are as long."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(held(found.get(name), value) for name, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(held, found, expected))
    return bool(found == expected)


def test_a_client_gets_what_the_table_says(client: Client, tmp_path: Path) -> None:
    with door(tmp_path) as (url, given):
        asks = [{"method": one.method, "ask": one.ask, "options": given[one.key] | {"retries": 0}} for one in CASES]
        outcomes = client(url, asks)
    assert len(outcomes) == len(CASES)
    others = [(one.about, got) for one, got in zip(CASES, outcomes, strict=True) if not as_expected(one, got)]
    assert others == []


def as_expected(case: Case, outcome: dict[str, Any]) -> bool:
    if case.refusal is None:
        return held(outcome.get("answer"), case.answer)
    status, where, error = case.refusal
    problem = outcome.get("problem", {"where": "", "error": ""})
    return (outcome.get("status"), problem["where"]) == (status, where) and problem["error"].startswith(error)


def test_the_table_asks_every_kind_of_endpoint() -> None:
    asked = {one.method for one in CASES}
    kinds = {operation.endpoint.kind for operation in OPERATIONS if operation.endpoint.name in asked}
    assert kinds == {operation.endpoint.kind for operation in OPERATIONS}
