"""A credential that is bound speaks for its user alone, at every endpoint that names users; servers' speak for all."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel
from starlette.testclient import TestClient

from bentos import keys
from bentos.access import Access
from bentos.endpoints import popular
from bentos.endpoints.operations import OPERATIONS
from bentos.http.auth import check
from bentos.router.spare import Spare
from feature_repo.errors import SpecError
from tests.bentos.conftest import World
from tests.bentos.http.test_auth import opened_by, token
from tests.bentos.router.conftest import popular_document

PRIVATE = ec.generate_private_key(ec.SECP256R1())
ASKS: dict[str, dict[str, Any]] = {
    "recommend": {},
    "intents": {},
    "rank": {"item_ids": ["i1"]},
    "explain": {"item_id": "i1"},
    "describe": {"item_ids": ["i1"]},
}
ANN, BOB = "ann", "bob"


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE.public_key())) | {"kid": "k1", "alg": "ES256"}
    (folder / "jwks.json").write_text(json.dumps({"keys": [public]}))
    return {"jwks": str(folder / "jwks.json"), "issuer": "https://id", "audience": "shop", "speaks_for": "sub"} | more


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(params=["token", "key"])
def ann(request: pytest.FixtureRequest, world: World) -> tuple[TestClient, dict[str, str]]:
    """A door, and what ann sends with her requests."""
    file = world.folder / "keys.json"
    key = keys.make(file, name="ann's", scopes=("recommend", "events"), user=ANN)
    access = {"auth": "both", "keys_file": str(file), "jwt": settings(world.folder)}
    client, _ = opened_by(world, Access.model_validate(access))
    given = token(PRIVATE, sub=ANN, scope="recommend events admin") if request.param == "token" else key
    return client, {"Authorization": f"Bearer {given}"}


def event(user: str, item: str = "i1") -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "event": "view"}


@pytest.mark.parametrize("name", list(ASKS))
def test_nobody_asks_about_another_user(ann: tuple[TestClient, dict[str, str]], name: str) -> None:
    client, headers = ann
    own = client.post(f"/{name}", json={"user_id": f" {ANN} "} | ASKS[name], headers=headers)
    assert own.status_code == 200, own.text
    other = client.post(f"/{name}", json={"user_id": BOB} | ASKS[name], headers=headers)
    assert (other.status_code, other.json()["where"]) == (403, "user_id")
    assert BOB not in other.text


def test_nobody_writes_for_another_user_not_even_within_a_batch(
    world: World, ann: tuple[TestClient, dict[str, str]]
) -> None:
    client, headers = ann
    refused = client.post("/events", json={"events": [event(ANN), event(BOB), event(ANN)]}, headers=headers)
    assert (refused.status_code, refused.json()["where"]) == (403, "events[1].user_id")
    assert world.profiles.bought == {}, "none of them"
    assert client.post("/events", json={"events": [event(ANN)]}, headers=headers).status_code == 200
    assert set(world.profiles.bought) == {world.hidden(ANN)}


def test_one_user_s_credential_changes_no_items_also_where_they_are_people(
    ann: tuple[TestClient, dict[str, str]],
) -> None:
    client, headers = ann
    for item in (ANN, BOB):
        refused = client.put("/items", json={"items": [{"item_id": item, "available": False}]}, headers=headers)
        assert (refused.status_code, refused.json()["where"]) == (403, "authorization")
    assert client.get("/metrics", headers=headers).status_code == 403


def test_a_server_speaks_for_all_by_declaration(world: World) -> None:
    access = {"auth": "jwt", "jwt": settings(world.folder, servers_scope="speaks-for-all")}
    client, _ = opened_by(world, Access.model_validate(access))

    def asked(scope: str) -> int:
        headers = {"Authorization": f"Bearer {token(PRIVATE, sub='shop', scope=scope)}"}
        return client.post("/recommend", json={"user_id": BOB}, headers=headers).status_code

    assert [asked("recommend"), asked("recommend speaks-for-all")] == [403, 200]
    keys_file = world.folder / "keys.json"
    for made in ({"server": True}, {}):  # declared, and of before anything was
        key = keys.make(keys_file, name="shop", scopes=("recommend",), **made)
        client, _ = opened_by(world, Access(auth="keys", keys_file=str(keys_file)))
        assert client.post("/recommend", json={"user_id": BOB}, headers={"X-API-Key": key}).status_code == 200


def test_tokens_of_before_speak_for_all(world: World) -> None:
    client, _ = opened_by(
        world, Access.model_validate({"auth": "jwt", "jwt": settings(world.folder, speaks_for="anyone")})
    )
    headers = {"Authorization": f"Bearer {token(PRIVATE, sub=ANN)}"}
    assert client.post("/recommend", json={"user_id": BOB}, headers=headers).status_code == 200


@pytest.mark.parametrize("claims", [{"uid": ""}, {"uid": 7}, {"uid": [ANN]}, {"uid": " \u200b"}, {}])
def test_a_token_that_names_no_user_speaks_for_nobody(world: World, claims: dict[str, Any]) -> None:
    access = {"auth": "jwt", "jwt": settings(world.folder, user_claim="uid")}
    client, _ = opened_by(world, Access.model_validate(access))
    headers = {"Authorization": f"Bearer {token(PRIVATE, sub=ANN, **claims)}"}
    assert client.post("/recommend", json={"user_id": ANN}, headers=headers).status_code == 401
    right = {"Authorization": f"Bearer {token(PRIVATE, sub='x', uid=ANN)}"}
    assert client.post("/recommend", json={"user_id": ANN}, headers=right).status_code == 200


def test_whom_a_credential_speaks_for_is_in_no_name_and_no_file(world: World) -> None:
    """Names of callers are in the log and in Redis, where limits are counted."""
    tokens = check(Access.model_validate({"auth": "jwt", "jwt": settings(world.folder)}), hide=world.hidden)
    assert tokens is not None
    assert tokens.caller(token(PRIVATE, sub="ann@shop.example")).name == f"subject {world.hidden('ann@shop.example')}"
    file = world.folder / "keys.json"
    keys.make(file, name="", scopes=("events",), user="ann@shop.example")
    keys.make(file, name="", scopes=("events",), user="ann@shop.example")
    held = json.loads(file.read_text())["keys"]
    assert "ann" not in file.read_text()
    assert held[0]["user"] != held[1]["user"], "two keys of one user do not show that they are"


def test_who_answers_in_the_doors_place_asks_whose_it_is_as_well(world: World) -> None:
    spare = Spare(Access.model_validate({"auth": "jwt", "jwt": settings(world.folder)}))
    document = popular.unsealed(popular_document(auth="jwt"))
    headers = {"Authorization": f"Bearer {token(PRIVATE, sub=ANN)}"}

    def status(user: str) -> int:
        body = json.dumps({"user_id": user}).encode()
        return asyncio.run(spare.answer(document, headers, body, request_id="r")).status

    assert [status(ANN), status(BOB)] == [200, 403]


def places(model: type[BaseModel], at: str = "") -> set[str]:
    """Return where a request names users, by the names of its fields."""
    found = set()
    for name, field in model.model_fields.items():
        if name == "user_id":
            found.add(at + name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= places(inner, f"{at}{name}.")
    return found


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.endpoint.name)
def test_every_place_where_a_request_names_a_user_is_looked_at(operation: Any) -> None:
    """A new endpoint that names users elsewhere has to say so in bentos/http/callers.py."""
    seen = {
        "read": {"user_id"},
        "stream": {"user_id"},
        "write": {f"{operation.endpoint.name}.user_id"},
        "admin": {"preview.user_id"},
    }
    assert places(operation.contract.asks) <= seen[operation.endpoint.kind]
    assert operation.endpoint.kind == "admin" or operation.endpoint.name in (*ASKS, "events"), "add it to ASKS"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ({"scopes": ("admin",), "user": ANN}, "does not have the scope admin"),
        ({"scopes": ("events",), "user": ANN, "server": True}, "one of them"),
        ({"scopes": ("events",), "user": "  "}, "blanks are no user"),
    ],
)
def test_a_key_that_is_declared_wrong_is_not_made(tmp_path: Path, make: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        keys.make(tmp_path / "keys.json", name="", **make)
    assert not (tmp_path / "keys.json").exists()


def test_a_user_s_key_is_rotated_for_that_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    name = keys.make(file, name="ann's", scopes=("recommend",), user=ANN).split("_")[1]
    with pytest.raises(SpecError, match="say again which user's"):
        keys.rotate(file, name)
    new = keys.rotate(file, name, user=ANN)
    known = check(Access(auth="keys", keys_file=str(file)))
    assert known is not None
    speaks_for = known.caller(new).speaks_for
    assert speaks_for is not None
    assert [speaks_for(ANN), speaks_for(BOB)] == [True, False]
    assert [one.id == name for one in keys.load(file).keys] == [False], "the old one is gone"
    assert dataclasses.is_dataclass(known.caller(new))
