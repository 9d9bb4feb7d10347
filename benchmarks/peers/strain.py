"""Our door where it is asked for more than usual: events that must be on disk, and three times what it can answer."""

import itertools
import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers.load import run_load
from benchmarks.script import Document

BODY = 10  # events of a request, at most
TIMES = 3  # what the door can answer
SEEN = 20  # users whose events are looked for in their next answer


def events(url: str, users: Sequence[str], items: Sequence[str], kind: str, *, rate: float, seconds: float,
           scratch: Path) -> Document:  # fmt: skip
    """Post `rate` events a second, ten of one user a request, and look for some in the very next answers."""
    made = _bodies(users, items, kind)
    bodies = scratch / "events"
    bodies.write_bytes(b"\n".join(itertools.islice(made, int(rate / BODY * seconds) + 1)))
    found = run_load(f"{url}/events", bodies, "--rate", str(rate / BODY), seconds=seconds)
    taken = (found["requests"] - found["errors"]) * BODY
    return {
        "asked_per_s": rate,
        "events_per_s": round(taken / found["took_s"], 1),
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "errors": found["errors"],
        "next_read_sees": _seen(url, list(dict.fromkeys(users))[:SEEN], items, made),
    }


def overload(url: str, bodies: Path, *, capacity: float, seconds: float) -> Document:
    """Ask for three times as much as the door can answer; the goodput is what it still answers."""
    found = run_load(f"{url}/recommend", bodies, "--rate", str(TIMES * capacity), seconds=seconds)
    good = (found["requests"] - found["errors"]) / found["took_s"]
    return {
        "capacity_per_s": capacity,
        "offered_per_s": round(found["requests"] / found["took_s"], 1),
        "goodput_per_s": round(good, 1),
        "goodput_share": round(good / capacity, 3) if capacity else 0.0,
        "refused": found["refused"],
        "refused_p99_ms": found["refused_p99_ms"],
        "other_errors": found["errors"] - found["refused"],
        "p99_ms": found["p99_ms"],
    }


def processes(urls: Sequence[str], root: psutil.Process) -> Document:
    """Tell how much memory a door's process takes, and how soon one that is started answers."""
    ports = {int(url.rpartition(":")[2]) for url in urls}
    mine = [p for p in root.children(recursive=True) if ports & _listens(p)]
    document: Document = {"processes": len(urls) or 1}
    if not mine:
        return document | {"lacks": "one process has no port of its own; give INTENTFLOW_DOOR_WORKERS=2 or more"}
    victim = mine[0]
    (port,) = ports & _listens(victim)
    document["rss_mib"] = round(max(p.memory_info().rss for p in mine) / 2**20, 1)
    document["pss_mib"] = round(max(p.memory_full_info().pss for p in mine) / 2**20, 1)  # libraries by their sharers
    victim.kill()
    deadline = time.time() + 120
    while time.time() < deadline:
        for process in root.children(recursive=True):
            if process.pid != victim.pid and port in _listens(process):
                return document | {"ready_s": round(time.time() - process.create_time(), 2)}
        time.sleep(0.01)
    return document | {"lacks": "a process that was killed did not come back within 120 s"}


def _listens(process: psutil.Process) -> set[int]:
    """Return the ports on which a process listens; none of one that is gone."""
    try:
        found = process.net_connections(kind="tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}


def _bodies(users: Sequence[str], items: Sequence[str], kind: str) -> Iterator[bytes]:
    numbers, run = itertools.count(), time.time_ns()
    for user in itertools.cycle(users):
        told = [{"user_id": user, "item_id": items[n % len(items)], "event": kind, "quantity": 1.0, "value": 2.5,
                 "event_id": f"strain-{run}-{n}"} for n in itertools.islice(numbers, BODY)]  # fmt: skip
        yield json.dumps({"events": told}).encode()


def _seen(url: str, users: Sequence[str], items: Sequence[str], made: Iterator[bytes]) -> float:
    """Return the share of users whose next answer counts the ten events that were taken just before."""
    right = 0
    for _ in users:
        body = next(made)
        user = json.loads(body)["events"][0]["user_id"]
        before = _total(url, user, items[0])
        taken = _post(f"{url}/events", body)["accepted"]
        right += _total(url, user, items[0]) - before == taken == BODY
    return right / len(users) if users else 0.0


def _total(url: str, user: str, item: str) -> float:
    found = _post(f"{url}/explain", json.dumps({"user_id": user, "item_id": item}).encode())
    return float(next((one["value"] for one in found["features"] if one["name"] == "events_total"), 0.0))


def _post(url: str, body: bytes) -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read())
