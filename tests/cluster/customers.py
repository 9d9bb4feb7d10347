"""Customers of a cluster, in a pod of their own: RATE requests a second, each on a connection of its own.

Nothing but the standard library, since the pod runs this file alone. One JSON line a request on stdout:
{"at": epoch seconds, "ms": 12.3, "connect_ms": 1.2, "path": "/recommend", "status": 200, "release": "…", …}.
A status of 0 is no answer; `why` says more. Requests leave by the clock, whether earlier ones were answered or not.
"""

import http.client
import json
import sys
import threading
import time
import uuid
from typing import Any

EVENT_EVERY = 10  # requests
TIMEOUT_S = 20.0
speaking = threading.Lock()


def ask(host: str, path: str, body: dict[str, Any]) -> None:
    """Send one request and print what came of it."""
    at, started = time.time(), time.monotonic()
    found: dict[str, Any] = {}
    try:
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
        connection.connect()
        found["connect_ms"] = round(1000 * (time.monotonic() - started), 1)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        found |= {"status": answer.status, "release": answer.getheader("X-IntentFlow-Release", "")}
        if answer.status != 200:
            found["why"] = text.decode(errors="replace")[:200]
        elif path == "/recommend":
            document = json.loads(text)
            profile = document.get("profile", {})
            found |= {"items": len(document["items"]), "rung": profile.get("rung", "")}
            found["degraded"] = bool(profile.get("degraded", False))
        connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        found |= {"status": 0, "why": repr(error)[:200]}
    line = json.dumps({"at": round(at, 3), "ms": round(1000 * (time.monotonic() - started), 1), "path": path} | found)
    with speaking:
        print(line, flush=True)


def main(host: str, rate: float, users: int, items: list[str]) -> None:
    """Ask by the clock, for ever."""
    begun, number = time.monotonic(), 0
    while True:
        number += 1
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        user = str(1 + (7 * number) % users)
        path, body = "/recommend", {"user_id": user, "k": 5}
        if number % EVENT_EVERY == 0:
            item = items[number // EVENT_EVERY % len(items)]
            event = {"user_id": user, "item_id": item, "event": "purchase", "quantity": 1, "event_id": uuid.uuid4().hex}
            path, body = "/events", {"events": [event]}
        threading.Thread(target=ask, args=(host, path, body), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(","))
