"""A shop's customers: they ask for recommendations and buy what they like of them, all along, and note what they got.

An event is sent again, under its id, until the door says that it was taken: what its sender was told is the promise
that `lost` in stage.py checks.
"""

import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.background import working
from tests.pipelines.conftest import RAW

RECOMMEND, EVENTS = "/recommend", "/events"
USERS = 40
K = 1  # one item, so that a bad one is seen


@dataclass(frozen=True)
class Told:
    """One request and what its sender was told."""

    at: float  # monotonic seconds, when it was sent
    done: float
    path: str
    status: int  # 0: no answer
    release: str = ""
    degraded: bool = False
    why: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 200


@dataclass
class Load:
    """What customers saw, in the order in which they were told."""

    url: str
    pause_s: float = 0.2
    told: list[Told] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)  # event id -> raw user id: confirmed
    wanted: "queue.SimpleQueue[tuple[str, str]]" = field(default_factory=queue.SimpleQueue)

    def failed(self, path: str = "") -> list[Told]:
        return [one for one in self.told if not one.ok and path in ("", one.path)]

    def outage_s(self, path: str) -> float:
        """Return the longest time in which nobody was answered well, from the first failure on; 0 without one."""
        longest, since = 0.0, None
        for one in self.told:
            if one.path != path:
                continue
            if not one.ok:
                since = one.at if since is None else since
            elif since is not None:
                longest, since = max(longest, one.done - since), None
        return longest if since is None else max(longest, time.monotonic() - since)

    def figures(self) -> dict[str, object]:
        """Return what a test prints."""
        return {
            "requests": dict(Counter(one.path for one in self.told)),
            "failed": {f"{path} {status}": n for (path, status), n in self._failures().items()},
            "slowest_s": round(max((one.done - one.at for one in self.told), default=0.0), 1),
            "degraded": sum(one.degraded for one in self.told),
            "outage_s": {path: round(self.outage_s(path), 1) for path in (RECOMMEND, EVENTS)},
            "events taken": len(self.taken),
        }

    def _failures(self) -> Counter[tuple[str, int]]:
        return Counter((one.path, one.status) for one in self.failed())

    def ask(self, stop: threading.Event) -> None:
        """Ask for one user after another; who likes what was recommended buys it."""
        with requests.Session() as session:
            session.trust_env = False
            number = 0
            while not stop.wait(self.pause_s):
                number += 1
                user = (7 * number) % USERS
                raw = f"{RAW}u{user:02d}"
                reply = self._send(session, RECOMMEND, {"user_id": raw, "k": K})
                for item in reply.get("items", ()):
                    if int(item["item_id"][1:]) % 2 == user % 2:
                        self.wanted.put((raw, item["item_id"]))

    def act(self, stop: threading.Event) -> None:
        """Send what was bought, each until it is taken."""
        with requests.Session() as session:
            session.trust_env = False
            while not (stop.is_set() and self.wanted.empty()):
                try:
                    raw, item = self.wanted.get(timeout=0.2)
                except queue.Empty:
                    continue
                name = uuid.uuid4().hex
                event = {"user_id": raw, "item_id": item, "event": "purchase", "quantity": 1, "event_id": name}
                while self._send(session, EVENTS, {"events": [event]}).get("accepted", -1) < 0:
                    time.sleep(0.5)
                self.taken[name] = raw

    def _send(self, session: requests.Session, path: str, body: dict[str, object]) -> dict[str, Any]:
        at = time.monotonic()
        try:
            reply = session.post(self.url + path, json=body, timeout=30)
        except requests.RequestException as error:
            self.told.append(Told(at, time.monotonic(), path, 0, why=repr(error)[:200]))
            return {}
        found = reply.json() if reply.ok else {}
        low = bool(found.get("profile", {}).get("degraded", False))
        release = reply.headers.get("X-IntentFlow-Release", "")
        why = "" if reply.ok else reply.text[:200]
        self.told.append(Told(at, time.monotonic(), path, reply.status_code, release, low, why))
        return found


@contextmanager
def customers(url: str) -> Iterator[Load]:
    """Let customers come; at the end every event that was sent has been taken, or this fails."""
    found = Load(url)
    with working(found.ask, found.act, patience_s=60) as workers:
        yield found
    assert not any(worker.is_alive() for worker in workers), "an event was not taken for a minute"
