"""Who is let in: keys of a file, tokens of a provider, scopes, and what is said to the others."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from bentos import keys
from bentos.access import Access
from bentos.http.auth import check
from bentos.http.bounded_pool import BoundedPool
from bentos.http.guard import Guard
from bentos.recommender.app import DoorContext, create_app, scopes
from bentos.recommender.metrics import Metrics
from bentos.recommender.service import check_reach
from feature_repo.errors import SpecError
from tests.bentos.sockets import listening

ASK, EVENTS = {"user_id": "ann"}, {"events": [{"user_id": "a", "item_id": "i1", "event": "buy", "event_id": "e"}]}


def opened_by(world: Any, access: Access, **more: Any) -> tuple[TestClient, DoorContext]:
    door = world.door()
    pools = (BoundedPool(timeout_s=1, max_concurrency=2), BoundedPool(timeout_s=5, max_concurrency=2, threads=1))
    opened = DoorContext(door, *pools, Metrics(door.release, registry=CollectorRegistry()), {}, check=check(access))
    app = create_app()
    app.state.opened = opened = dataclasses.replace(opened, **more)
    return TestClient(Guard(app, state=app.state, scopes=scopes())), opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "keys.json"


def test_a_key_opens_what_its_scopes_say(world: Any, file: Path) -> None:
    key = keys.make(file, name="shop", scopes=("recommend",))
    client, opened = opened_by(world, Access(auth="keys", keys_file=str(file)))
    for header in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
        assert client.post("/recommend", json=ASK, headers=header).status_code == 200
        refused = client.post("/events", json=EVENTS, headers=header)
        assert (refused.status_code, refused.json()["where"]) == (403, "authorization")
        assert 'error="insufficient_scope", scope="events"' in refused.headers["WWW-Authenticate"]
        assert client.get("/metrics", headers=header).status_code == 403
    assert opened.metrics.refused.labels("forbidden")._value.get() == 4


@pytest.mark.parametrize("header", [{}, {"X-API-Key": "if_00000000_x"}, {"Authorization": "Basic eDp5"}])
def test_a_stranger_is_told_in_one_line(world: Any, file: Path, header: dict[str, str]) -> None:
    key = keys.make(file, name="shop", scopes=("recommend",))
    client, opened = opened_by(world, Access(auth="keys", keys_file=str(file)))
    reply = client.post("/recommend", json=ASK, headers=header)
    assert (reply.status_code, set(reply.json())) == (401, {"error", "where", "allowed"})
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert key not in reply.text
    assert reply.headers["X-IntentFlow-Release"] == opened.release
    wrong = client.post("/recommend", json=ASK, headers={"X-API-Key": key[:-1] + ("A" if key[-1] != "A" else "B")})
    assert wrong.status_code == 401, "the last character counts"


def test_a_file_holds_no_key_and_a_revoked_one_opens_nothing(world: Any, file: Path) -> None:
    key = keys.make(file, name="shop", scopes=("recommend",))
    keys.make(file, name="other", scopes=("admin",))
    assert key.split("_", 2)[2] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    client, opened = opened_by(world, Access(auth="keys", keys_file=str(file)))
    keys.revoke(file, key.split("_")[1])
    opened.check._look()  # type: ignore[union-attr]  # it looks each second
    assert client.post("/recommend", json=ASK, headers={"X-API-Key": key}).status_code == 401


def token(private: ec.EllipticCurvePrivateKey, **claims: Any) -> str:
    """Sign a token that is right but for the claims given; `ends_s` is when it ends, in seconds from now."""
    ends = time.time() + claims.pop("ends_s", 600)
    right = {"iss": "https://id", "aud": "shop", "sub": "app", "exp": ends, "scope": "recommend"}
    return jwt.encode(right | claims, private, algorithm="ES256", headers={"kid": "k1"})


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"scope": ["events", "recommend"]}, 200),
        ({"scope": "events"}, 403),
        ({"ends_s": -3600}, 401),
        ({"aud": "other"}, 401),
        ({"iss": "https://evil"}, 401),
    ],
)
def test_a_token_is_checked_whole(world: Any, tmp_path: Path, claims: dict[str, Any], status: int) -> None:
    private, strange = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key())) | {"kid": "k1", "alg": "ES256"}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public]}))
    settings = {"jwks": str(tmp_path / "jwks.json"), "issuer": "https://id", "audience": "shop"}
    client, _ = opened_by(world, Access.model_validate({"auth": "jwt", "jwt": settings}))

    def asked(given: str) -> int:
        return client.post("/recommend", json=ASK, headers={"Authorization": f"Bearer {given}"}).status_code

    assert [asked(token(private, **claims)) for _ in range(2)] == [status, status]
    assert asked(token(strange)) == 401, "another's signature"
    unsigned = jwt.encode({"sub": "app", "scope": "recommend"}, "", algorithm="none", headers={"kid": "k1"})
    assert asked(unsigned) == 401


def test_a_providers_keys_come_by_url_and_hold_while_it_is_away(world: Any) -> None:
    first, second = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    served, asked = {"k1": first}, []

    async def published(_: Request) -> JSONResponse:
        asked.append(1)
        to_jwk = jwt.algorithms.ECAlgorithm.to_jwk
        found = [json.loads(to_jwk(one.public_key())) | {"kid": k, "alg": "ES256"} for k, one in served.items()]
        return JSONResponse({"keys": found})

    with listening(Starlette(routes=[Route("/keys", published)])) as provider:
        settings = {"jwks": f"{provider.url}/keys", "issuer": "https://id", "audience": "shop"}
        client, opened = opened_by(world, Access.model_validate({"auth": "jwt", "jwt": settings}))

        def status(given: str) -> int:
            return client.post("/recommend", json=ASK, headers={"Authorization": f"Bearer {given}"}).status_code

        assert [status(token(first)), status(token(second, sub="b"))] == [200, 401]
        assert len(asked) == 1, "an unknown signature is no reason to ask again at once"
        served["k2"] = second
        opened.check._set._asked -= 11  # type: ignore[union-attr]  # a pause has passed
        assert (
            status(
                jwt.encode(
                    jwt.decode(token(second, sub="c"), options={"verify_signature": False}),
                    second,
                    algorithm="ES256",
                    headers={"kid": "k2"},
                )
            )
            == 200
        )
        assert len(asked) == 2
    opened.check._set._asked -= 400  # type: ignore[union-attr]
    assert status(token(first, sub="d")) == 200, "the last keys hold while the provider is away"


def test_a_provider_that_was_never_there_is_503(world: Any) -> None:
    settings = {"jwks": "http://127.0.0.1:9/keys", "issuer": "https://id", "audience": "shop"}
    client, _ = opened_by(world, Access.model_validate({"auth": "jwt", "jwt": settings}))
    given = token(ec.generate_private_key(ec.SECP256R1()))
    reply = client.post("/recommend", json=ASK, headers={"Authorization": f"Bearer {given}"})
    assert (reply.status_code, reply.json()["where"]) == (503, "authorization")


def test_a_door_for_everyone_stays_on_this_machine_unless_that_was_said() -> None:
    check_reach(Access(), ["127.0.0.1", "::1"])
    check_reach(Access(anyone=True), ["0.0.0.0"])
    with pytest.raises(SpecError, match=r"serving\.auth: none, but the service listens on 0\.0\.0\.0"):
        check_reach(Access(), ["0.0.0.0"])


def test_a_copy_by_the_router_is_folded_and_not_stored(world: Any, file: Path) -> None:
    keys.make(file, name="shop", scopes=("recommend",))
    client, _ = opened_by(world, Access(auth="keys", keys_file=str(file)), shadow_token="t0k")
    assert client.post("/events", json=EVENTS, headers={"X-IntentFlow-Shadow": "wrong"}).status_code == 401
    copy = client.post("/events", json=EVENTS, headers={"X-IntentFlow-Shadow": "t0k"})
    assert (copy.status_code, copy.json()["accepted"]) == (200, 1)
    assert world.profiles.sessions, "it is in the profile"
    assert not list((world.folder / "events").glob("*.jsonl"))


def test_an_event_that_came_as_a_copy_first_is_stored_once_and_folded_once(world: Any) -> None:
    client, _ = opened_by(world, Access(), shadow_token="t0k")
    client.post("/events", json=EVENTS, headers={"X-IntentFlow-Shadow": "t0k"})
    assert client.post("/events", json=EVENTS).json()["accepted"] == 1
    assert len(world.profiles.sessions) == 1
    lines = [json.loads(line) for path in (world.folder / "events").glob("*") for line in path.open()]
    assert [set(line) == {"folded"} for line in lines] == [False, True]


def test_a_request_has_a_name_and_a_trace(world: Any) -> None:
    client, opened = opened_by(world, Access())
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    reply = client.post("/recommend", json=ASK, headers={"X-Request-Id": "order-17", "traceparent": trace})
    assert (reply.headers["X-Request-Id"], reply.json()["request_id"]) == ("order-17", "order-17")
    made = client.post("/recommend", json=ASK, headers={"X-Request-Id": "a b\t<script>"}).headers["X-Request-Id"]
    assert len(made) == 32
    big = client.post("/recommend", json=ASK, headers={"X-Big": "x" * 20_000})
    assert (big.status_code, big.json()["where"]) == (431, "headers")
    hurried = client.post("/recommend", json=ASK, headers={"X-Request-Timeout-Ms": "soon"})
    assert hurried.status_code == 400
    opened.door.close()
