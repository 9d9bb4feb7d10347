"""MLflow's calls wake the loop: signed, young and once. Everything else is turned away."""

import base64
import json
import os
import threading
import time
from pathlib import Path

import pytest
import requests

from components.registry.webhooks import ensure_webhook
from feature_repo.signed_calls import MLFLOW, OLDEST_S, Verifier, sign
from pipelines.rollout import webhooks
from pipelines.rollout.webhooks import Alarm, receiving
from tests.patience import patient

SECRET = "a-secret"
MOVED = {
    "entity": "model_version_alias",
    "action": "created",
    "data": {"name": "shop-release", "alias": "champion", "version": "2"},
}


@pytest.fixture
def door():
    """The receiver's URL, and what it woke."""
    woken = []
    with receiving(SECRET, "shop-release", lambda: woken.append(1), host="127.0.0.1", port=0) as port:
        yield f"http://127.0.0.1:{port}{webhooks.PATH}", woken


def call(url, body, *, secret=SECRET, delivery="d1", late_s=0, **changed):
    stamp, payload = str(int(time.time() + late_s)), json.dumps(body).encode()
    signature = "v1," + base64.b64encode(sign(secret, delivery, stamp, payload)).decode()
    headers = {MLFLOW.signature: signature, MLFLOW.delivery: delivery, MLFLOW.timestamp: stamp} | changed
    return requests.post(url, payload, headers=headers, timeout=patient(5))


def test_a_signed_call_about_the_champion_wakes_the_loop_once(door):
    url, woken = door
    answers = [call(url, MOVED), call(url, MOVED)]
    assert [(a.status_code, a.text) for a in answers] == [(200, "taken"), (200, "delivered before")]
    assert woken == [1]


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"secret": "another"}, 401),
        ({"late_s": -900}, 401),
        ({"late_s": 900}, 401),
        ({MLFLOW.signature: "v1,%%%"}, 401),
        ({MLFLOW.signature: ""}, 401),
        ({MLFLOW.delivery: "another"}, 401),
    ],
)
def test_a_call_that_is_not_mlflow_s_or_old_wakes_nobody(door, how, code):
    url, woken = door
    assert call(url, MOVED, **how).status_code == code
    assert woken == []


@pytest.mark.parametrize("data", [{"alias": "challenger"}, {"name": "other-release"}])
def test_a_move_of_another_alias_or_model_wakes_nobody(door, data):
    url, woken = door
    assert call(url, MOVED | {"data": MOVED["data"] | data}).status_code == 200
    assert call(url, ["unknown"], delivery="d2").status_code == 200
    assert woken == []


def test_what_is_no_call_is_turned_away(door):
    url, _ = door
    assert requests.post(url.replace("/mlflow", "/other"), b"{}", timeout=patient(5)).status_code == 404
    assert requests.post(url, b"x" * (webhooks.BYTES + 1), timeout=patient(5)).status_code == 413


def test_deliveries_are_forgotten_when_their_time_would_refuse_them():
    now = [1000.0]
    verifier = Verifier(SECRET, clock=lambda: now[0])
    for number in range(3):
        now[0] += OLDEST_S + 1
        stamp, body = str(int(now[0])), b"{}"
        signature = "v1," + base64.b64encode(sign(SECRET, f"d{number}", stamp, body)).decode()
        headers = {MLFLOW.signature: signature, MLFLOW.delivery: f"d{number}", MLFLOW.timestamp: stamp}
        assert verifier.refusal(headers, body) == ""
    assert set(verifier._taken) == {"d1", "d2"}


def test_a_ring_ends_a_wait_early_and_is_not_a_stop():
    alarm = Alarm()
    threading.Timer(0.05, alarm.ring).start()
    started = time.monotonic()
    assert not alarm.wait(patient(10))
    assert not alarm.wait(0.01)  # one ring, one early end
    alarm.set()
    assert alarm.wait(patient(10))
    assert time.monotonic() - started < patient(5)


def test_a_database_has_no_webhooks(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert "only its server has webhooks" in ensure_webhook("shop", "http://127.0.0.1:1/mlflow", secret=SECRET)
    assert not (Path(tmp_path) / "mlflow.db").exists()


@pytest.mark.slow
def test_a_real_mlflow_server_calls_when_the_alias_moves(tmp_path, monkeypatch):
    from cryptography.fernet import Fernet
    from mlflow import MlflowClient

    from tests.registry.conftest import Server

    woken = threading.Event()
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    server = Server(tmp_path / "server")
    server.start()
    try:
        server.wait()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        with receiving(SECRET, "shop-release", woken.set, host="127.0.0.1", port=0) as port:
            url = f"http://127.0.0.1:{port}{webhooks.PATH}"
            assert [ensure_webhook("shop", url, secret=s) for s in ("old", SECRET)] == ["", ""]
            client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
            assert len(client.list_webhooks()) == 1
            client.create_registered_model("shop-release")
            run = client.create_run(client.create_experiment("shop"))
            client.create_model_version("shop-release", f"{run.info.artifact_uri}/release", run.info.run_id)
            client.set_registered_model_alias("shop-release", "champion", "1")
            assert woken.wait(patient(30))
    finally:
        server.kill()


@pytest.mark.slow
def test_a_server_that_allows_no_such_webhook_is_told_and_nothing_fails(tmp_path, monkeypatch):
    from tests.registry.conftest import Server

    server = Server(tmp_path / "server")
    server.start()
    try:
        server.wait()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        said = ensure_webhook("shop", "http://127.0.0.1:1/mlflow", secret=SECRET)
        assert said.startswith("MLflow makes no webhook to http://127.0.0.1:1/mlflow (")
    finally:
        server.kill()
