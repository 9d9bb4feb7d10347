"""Calls between programs that are signed with a shared secret: how one is signed, sent, and told from others.

The signature is an HMAC-SHA256 of `<id>.<seconds>.<body>` in base64 behind `v1,`, as MLflow's webhooks and Standard
Webhooks (standardwebhooks.com) have it; only the headers' names differ. The rollout's loop receives MLflow's
(pipelines/rollout/webhooks.py), a drift check sends its own (monitoring/notice.py). What a call says is not known here.
"""

import base64
import binascii
import hashlib
import hmac
import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass

DIGITS = 12  # of a time in epoch seconds, at most
OLDEST_S = 300.0  # senders' retries end long before
PATIENCE_S = 10.0
WAITS_S = (0.0, 1.0, 5.0)  # before each try


@dataclass(frozen=True)
class Headers:
    """The names under which a sender says signature, id and time."""

    signature: str
    delivery: str
    timestamp: str


MLFLOW = Headers("X-MLflow-Signature", "X-MLflow-Delivery-Id", "X-MLflow-Timestamp")
STANDARD = Headers("webhook-signature", "webhook-id", "webhook-timestamp")


def sign(secret: str, delivery: str, timestamp: str, body: bytes) -> bytes:
    """Return the HMAC that goes, in base64, behind `v1,`."""
    return hmac.new(secret.encode(), f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256).digest()


def signed(secret: str, delivery: str, body: bytes, *, at: float, names: Headers = STANDARD) -> dict[str, str]:
    """Return the headers of a call; without a secret those that name it alone."""
    stamp = str(int(at))
    found = {names.delivery: delivery, names.timestamp: stamp}
    if secret:
        found[names.signature] = "v1," + base64.b64encode(sign(secret, delivery, stamp, body)).decode()
    return found


def send(
    url: str,
    body: bytes,
    *,
    secret: str,
    delivery: str,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> str:
    """POST a JSON document, signed, up to three times under one id; return '' or why it did not arrive.

    A 4xx other than 408 and 429 is not repeated: the same call would be refused again. No address is in what is said.
    """
    if not url.startswith(("https://", "http://")):
        return "the address is no URL of http"
    opener, problem = urllib.request.build_opener(_Stay), ""
    for pause_s in WAITS_S:
        wait(pause_s)
        headers = {"Content-Type": "application/json", **signed(secret, delivery, body, at=clock())}
        try:
            request = urllib.request.Request(url, data=body, headers=headers, method="POST")
            with opener.open(request, timeout=PATIENCE_S):
                return ""
        except urllib.error.HTTPError as error:
            problem = f"HTTP {error.code}"
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                return problem
        except ValueError:
            return "the address is no URL"
        except (OSError, http.client.HTTPException) as error:  # nobody listens, or speaks something else
            problem = str(getattr(error, "reason", "") or type(error).__name__)
    return problem


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follow no redirect: a signed document goes to the address that was named, and a POST would become a GET."""

    def redirect_request(self, *_args: object, **_named: object) -> None:
        return None


class Verifier:
    """Tells calls of who has the secret from others, and each one once."""

    def __init__(self, secret: str, *, names: Headers = MLFLOW, clock: Callable[[], float] = time.time) -> None:
        self.secret = secret
        self.names = names
        self.clock = clock
        self._taken: dict[str, float] = {}  # deliveries by id: when
        self._lock = threading.Lock()

    def refusal(self, headers: Mapping[str, str], body: bytes) -> str:
        """Say why a call is not taken, or ''."""
        said = {name.lower(): value for name, value in headers.items()}  # senders write names in any case
        delivery, stamp = (said.get(name.lower(), "") for name in (self.names.delivery, self.names.timestamp))
        given = _digest(said.get(self.names.signature.lower(), ""))
        if not hmac.compare_digest(given, sign(self.secret, delivery, stamp, body)):
            return "wrong signature"
        now = self.clock()
        if abs(now - _seconds(stamp)) > OLDEST_S:
            return f"older than {OLDEST_S:.0f} s, or from the future"
        with self._lock:
            self._taken = {key: at for key, at in self._taken.items() if now - at <= 2 * OLDEST_S}
            if delivery in self._taken:
                return "delivered before"
            self._taken[delivery] = now
        return ""


def _seconds(stamp: str) -> float:
    """Read a time in epoch seconds; a text that is none, such as one of 5,000 digits, is long past."""
    return float(stamp) if stamp.isascii() and stamp.isdecimal() and len(stamp) <= DIGITS else 0.0


def _digest(header: str) -> bytes:
    version, _, encoded = header.partition(",")
    try:
        return base64.b64decode(encoded, validate=True) if version == "v1" else b""
    except (binascii.Error, ValueError):
        return b""
