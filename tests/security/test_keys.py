"""Keys fail closed: what cannot be read lets nobody in, and a slow provider holds nobody whose key is known."""

import base64
import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from bentos import keys
from bentos.access import Jwt
from bentos.http import auth, provider_keys
from bentos.http.auth import KeyFile, KeySet
from bentos.http.problems import UNAUTHENTICATED, UNAVAILABLE, Rejected
from feature_repo import signed_calls
from feature_repo.errors import SpecError
from pipelines.rollout import webhooks
from tests.patience import patient


def public(name: str, **more: str) -> dict[str, Any]:
    made = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(made)), "kid": name, "alg": "ES256", **more}


@contextlib.contextmanager
def answering(reply: bytes, *, holding: threading.Event | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback that gives each caller these bytes, after `holding` is set; and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    asked.append(peer.recv(4096))
                    if holding is not None:
                        holding.wait(patient(60))
                    peer.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/keys", asked
        server.shutdown(socket.SHUT_RDWR)


def page(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


def refusal(known: KeyFile, key: str) -> int:
    known._looked = 0.0  # it looks each second
    try:
        known.caller(key)
    except Rejected as refused:
        return refused.status
    return 200


@pytest.mark.parametrize("harm", ["deleted", "emptied", "cut short", "another document", "a folder"])
def test_a_file_of_keys_that_cannot_be_read_lets_nobody_in_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    """The review saw `500 200 200 500`: between two looks every revoked key still opened the door."""
    file = tmp_path / "keys.json"
    key = keys.make(file, name="shop", scopes=("recommend",))
    whole = file.read_bytes()
    known = KeyFile(file)
    assert refusal(known, key) == 200
    file.unlink()
    if harm == "a folder":
        file.mkdir()
    elif harm != "deleted":
        file.write_bytes({"emptied": b"", "cut short": whole[:-20], "another document": b"[]"}[harm])
    with caplog.at_level(logging.ERROR, logger="intentflow.access"):
        assert [refusal(known, key) for _ in range(5)] == [UNAVAILABLE] * 5
    assert len(caplog.records) == 1
    assert "nobody is let in" in caplog.text
    if harm == "a folder":
        file.rmdir()
    file.write_bytes(whole)
    assert refusal(known, key) == 200


def test_a_key_that_was_taken_out_opens_nothing_even_where_the_file_has_its_old_time(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = keys.make(file, name="shop", scopes=("recommend",))
    known, before = KeyFile(file), file.stat()
    keys.revoke(file, key.split("_")[1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert refusal(known, key) == UNAUTHENTICATED


@pytest.mark.parametrize("writer", ["make", "rotate"])
def test_a_revoked_key_does_not_come_back_with_one_that_is_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    file = tmp_path / "keys.json"
    shop, stolen = (keys.make(file, name=name, scopes=("recommend",)).split("_")[1] for name in ("shop", "stolen"))
    saves, reached, may_save, written = keys._save, threading.Event(), threading.Event(), []

    def slowly(path: Path, held: keys.Keys) -> None:
        if not reached.is_set():
            reached.set()
            assert may_save.wait(patient(30))
        saves(path, held)
        written.append(len(held.keys))

    monkeypatch.setattr(keys, "_save", slowly)
    calls = {
        "make": lambda: keys.make(file, name="new", scopes=("recommend",)),
        "rotate": lambda: keys.rotate(file, shop),
    }
    first = threading.Thread(target=calls[writer])
    second = threading.Thread(target=keys.revoke, args=(file, stolen))
    first.start()
    assert reached.wait(patient(30))
    second.start()
    second.join(0.3)
    may_save.set()
    for thread in (first, second):
        thread.join(patient(30))
    assert len(written) == 2
    left = [key.id for key in keys.load(file).keys]
    assert stolen not in left
    assert len(left) == {"make": 2, "rotate": 1}[writer]
    assert (tmp_path / ".keys.json.lock").stat().st_mode & 0o077 == 0


def test_no_lock_is_left_where_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no file"):
        keys.revoke(tmp_path / "keys.json", "shop")
    assert list(tmp_path.iterdir()) == []


def test_a_slow_provider_holds_nobody_whose_key_is_known() -> None:
    """The review waited 29.8 s with a known key, behind somebody's unknown one."""
    holding = threading.Event()
    with answering(page({"keys": [public("k1")]}), holding=holding) as (url, asked):
        known = KeySet(url)
        holding.set()
        assert known.key("k1") is not None
        holding.clear()
        known._asked -= auth.AGAIN_S + 1
        stranger = threading.Thread(target=lambda: known.key("unknown"), daemon=True)
        stranger.start()
        while len(asked) < 2:
            time.sleep(0.01)
        began = time.monotonic()
        assert known.key("k1") is not None
        known._asked -= auth.FRESH_S
        assert known.key("k1") is not None
        assert time.monotonic() - began < patient(1)
        with pytest.raises(Rejected) as second:
            known.key("another unknown")
        assert second.value.status == UNAVAILABLE
        holding.set()
        stranger.join(patient(30))


def test_keys_of_a_provider_that_is_away_hold_for_an_hour_and_no_longer(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [public("k1")]}))
    known = KeySet(str(file))
    assert known.key("k1") is not None
    file.unlink()
    known._fetched -= auth.STALE_S - 60
    assert known.key("k1") is not None
    known._fetched -= 120
    with pytest.raises(Rejected) as refused:
        known.key("k1")
    assert refused.value.status == UNAVAILABLE


def test_after_a_quiet_hour_those_whose_keys_are_known_wait_for_one_fetch() -> None:
    holding = threading.Event()
    holding.set()
    with answering(page({"keys": [public("k1")]}), holding=holding) as (url, asked):
        known = KeySet(url)
        assert known.key("k1") is not None
        holding.clear()
        known._asked, known._fetched = known._asked - auth.STALE_S - 1, known._fetched - auth.STALE_S - 1
        found: list[object] = []

        def ask() -> None:
            with contextlib.suppress(Rejected):
                found.append(known.key("k1"))

        callers = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
        for one in callers:
            one.start()
        while len(asked) < 2:
            time.sleep(0.01)
        time.sleep(0.1)  # so that the others have come as well
        holding.set()
        for one in callers:
            one.join(patient(30))
        assert len(found) == 3
        assert None not in found
        assert len(asked) == 2


def test_a_redirect_of_the_provider_is_not_followed() -> None:
    with answering(page({"keys": [public("theirs")]})) as (elsewhere, asked_there):
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(redirect) as (url, _), pytest.raises(provider_keys.Away, match="302"):
            provider_keys.read(url, within_s=patient(5))
        assert asked_there == []


def test_a_page_that_never_ends_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_keys, "MOST_BYTES", 1000)
    with answering(page({"keys": ["x" * 2000]})) as (url, _), pytest.raises(provider_keys.Away, match="more than"):
        provider_keys.read(url, within_s=patient(30))


def test_a_key_that_encrypts_verifies_nothing(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [public("signs", use="sig"), public("hides", use="enc"), public("either")]}))
    assert set(provider_keys.read(str(file), within_s=1)) == {"signs", "either"}
    file.write_text(json.dumps({"keys": [public("hides", use="enc")]}))
    with pytest.raises(provider_keys.Away, match="no key that signs"):
        provider_keys.read(str(file), within_s=1)


@pytest.mark.parametrize(
    ("jwks", "allowed"),
    [
        ("https://id.example/keys", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://id.example/keys", False),
        ("http://127.0.0.1.id.example/keys", False),
        ("http://127.0.0.1@id.example/keys", False),
        ("/etc/keys.json", True),
    ],
)
def test_keys_come_over_https_or_from_this_machine(jwks: str, allowed: bool) -> None:
    settings = {"jwks": jwks, "issuer": "https://id.example", "audience": "shop"}
    if allowed:
        assert Jwt.model_validate(settings).jwks == jwks
    else:
        with pytest.raises(ValidationError, match="is not https://"):
            Jwt.model_validate(settings)


@pytest.mark.parametrize("stamp", ["9" * 5000, "٣٣", "", "-1", "1e9", "nan", "1000000000.5"])
def test_a_time_that_is_none_is_an_old_one(stamp: str) -> None:
    """Python refuses to read 5,000 digits, which ended the thread without an answer."""
    told = base64.b64encode(signed_calls.sign("s", "d", stamp, b"{}")).decode()
    headers = {
        signed_calls.MLFLOW.delivery: "d",
        signed_calls.MLFLOW.timestamp: stamp,
        signed_calls.MLFLOW.signature: f"v1,{told}",
    }
    assert "older than" in webhooks.Verifier("s", clock=lambda: 1e9 + 0.5).refusal(headers, b"{}")
    right = headers | {signed_calls.MLFLOW.timestamp: "1000000000"}
    signed = base64.b64encode(signed_calls.sign("s", "d", "1000000000", b"{}")).decode()
    assert (
        webhooks.Verifier("s", clock=lambda: 1e9).refusal(
            right | {signed_calls.MLFLOW.signature: f"v1,{signed}"}, b"{}"
        )
        == ""
    )
