"""Receive MLflow's webhooks, so that the loop looks at once when a champion was moved.

A call is accepted only with the right signature, young, and once. Its content is not trusted: it wakes the loop, which
reads the registry. The loop polls as well, with or without webhooks. `components/registry` registers them.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from feature_repo.errors import SpecError
from feature_repo.signed_calls import Verifier
from pipelines.environment import Installation

PATH = "/mlflow"
BYTES = 64 * 1024
READ_S = 5.0


class Alarm(threading.Event):
    """A stop signal whose `wait` also ends early, without being set, when somebody rings."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = threading.Event()

    def ring(self) -> None:
        """Wake who waits, or who waits next."""
        self._rung.set()

    def set(self) -> None:
        """Stop."""
        super().set()
        self._rung.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the stop, a ring or the time; say whether to stop."""
        self._rung.wait(timeout)
        if not self.is_set():
            self._rung.clear()
        return self.is_set()


@contextmanager
def waking(place: Installation, alarm: Alarm, *, say: Callable[[str], None]) -> Iterator[None]:
    """Ring the alarm at each move of this recommender's champion, where the environment wants webhooks."""
    settings = place.environment.webhooks
    if not settings.url:
        yield
        return
    secret = place.outside.get(settings.secret_env, "")
    if not secret:
        raise SpecError(
            f"webhooks.secret_env: {settings.secret_env} is not set; export a secret, or leave webhooks out"
        )
    with receiving(secret, f"{place.spec.name}-release", alarm.ring, host=settings.host, port=settings.port):
        say(_registered(place, secret))
        yield


@contextmanager
def receiving(secret: str, model: str, wake: Callable[[], None], *, host: str, port: int) -> Iterator[int]:
    """Listen for calls about a registered model's champion; yield the port."""
    handler = type("Handler", (_Handler,), {"verifier": Verifier(secret), "model": model, "wake": staticmethod(wake)})
    server = ThreadingHTTPServer((host, port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="webhooks", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one call; `receiving` fills in the rest."""

    verifier: Verifier
    model: str
    wake: Callable[[], None]
    timeout = READ_S

    def do_POST(self) -> None:
        """Take a call."""
        length = self.headers.get("Content-Length", "")
        if self.path != PATH or not length.isdecimal():
            return self._answer(404, "POST /mlflow with a body")
        if int(length) > BYTES:
            return self._answer(413, f"at most {BYTES} bytes")
        body = self.rfile.read(int(length))
        if refusal := self.verifier.refusal(dict(self.headers.items()), body):
            return self._answer(200 if refusal == "delivered before" else 401, refusal)
        if _is_champion(body, self.model):
            self.wake()
        return self._answer(200, "taken")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: what matters is written by the loop."""

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def _registered(place: Installation, secret: str) -> str:
    """Register the webhook and say how it is."""
    from components.registry.webhooks import ensure_webhook
    from feature_repo.errors import ServerError
    from pipelines.releases.release import variables

    try:
        with variables(place):
            problem = ensure_webhook(place.spec.name, place.environment.webhooks.url, secret=secret)
    except ServerError as error:
        problem = str(error)
    return f"webhooks: {problem}; polling goes on" if problem else "webhooks: MLflow calls when the champion moves"


def _is_champion(body: bytes, model: str) -> bool:
    try:
        document = json.loads(body)
        data = document["data"]
        return bool(
            document["entity"] == "model_version_alias" and data["name"] == model and data["alias"] == "champion"
        )
    except (ValueError, KeyError, TypeError, RecursionError):  # signed, and yet nothing that this version knows
        return False
