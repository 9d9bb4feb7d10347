"""What an answer of `POST /recommend` costs by stage, in process: guard, routes, models and log, without BentoML.

The door is opened as its service opens it, on a copy of the online store, and asked through its ASGI application by one
user after another. Figures are microseconds of the asking thread's processor an answer, each stage with what it calls;
`process` counts the threads beside it too: sync and compaction of the log. A stage that is timed costs a microsecond
more than it does alone, so the parts of a whole say more than their sum.
"""

import asyncio
import functools
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.script import Document
from benchmarks.subject import Subject
from feature_repo import env_names
from feature_repo.errors import ServerError

WARM = 40  # answers before the first that counts
Spent = dict[str, float]


def measure(found: Subject, users: Sequence[str]) -> Document:
    """Ask the door of a release whose variables the environment has; microseconds an answer by stage."""
    from bentos.http.guard import Guard
    from bentos.recommender import service
    from bentos.recommender.app import scopes
    from bentos.recommender.settings import Settings

    os.environ[env_names.RELEASE] = str(Path(found.release))
    opened = service.open_door(Settings.read(os.environ))
    service.app.state.opened, service.app.state.draining = opened, False
    guard, spent = Guard(service.app, state=service.app.state, scopes=scopes()), Spent()
    named = _stages(opened)
    timed = [_timed(owner, name, stage, spent) for stage, owner, name in named]
    try:
        asyncio.run(_asked(guard, users[:WARM]))
        spent.clear()
        process = time.process_time()
        every = asyncio.run(_asked(guard, users))
        process = time.process_time() - process
    finally:
        for put_back in timed:
            put_back()
        for part in (opened.reads, opened.writes, opened.door):
            part.close()
    stages = {stage: round(1e6 * spent[stage] / len(users), 1) for stage, _, _ in named if stage in spent}
    whole = {"answer": round(1e6 * median(every), 1), "process": round(1e6 * process / len(users), 1)}
    return whole | stages


def _stages(opened: Any) -> list[tuple[str, Any, str]]:
    """Name the stages, each with the function that does it; two spaces begin the name of one within another."""
    from bentos.endpoints import recommend
    from components.intent.score import IntentScorer
    from components.ranking import encode, one_row, score
    from feature_repo.online.profiles import OnlineProfiles

    return [
        ("read the row", OnlineProfiles, "read"),
        ("predict intents", IntentScorer, "predict"),
        ("  encode", IntentScorer, "encode"),
        ("rank", score.Ranker, "recommend"),
        ("  histories", score.Ranker, "history"),
        ("  candidates", one_row, "candidates"),
        ("  facts", encode, "facts"),
        ("  features and network", score, "scored_by"),
        ("log", type(opened.door), "append"),
        ("write the answer", recommend.Recommendations, "model_dump_json"),
        ("count", type(opened.metrics), "counted"),
    ]


def _timed(owner: Any, name: str, stage: str, spent: Spent) -> Callable[[], None]:
    """Have a function note what it takes of its thread; returns what puts it back as it was."""
    plain = getattr(owner, name)

    @functools.wraps(plain)
    def timed(*args: Any, **named: Any) -> Any:
        start = time.thread_time()
        try:
            return plain(*args, **named)
        finally:
            spent[stage] = spent.get(stage, 0.0) + time.thread_time() - start

    inherited = name not in vars(owner)
    setattr(owner, name, timed)
    return functools.partial(delattr, owner, name) if inherited else functools.partial(setattr, owner, name, plain)


async def _asked(app: Any, users: Sequence[str]) -> list[float]:
    """Ask for each user's items; seconds of the thread's processor each."""
    seconds = []
    for user in users:
        body, sent = json.dumps({"user_id": user}).encode(), list[Any]()
        start = time.thread_time()
        await app(_scope(body), functools.partial(_received, body), functools.partial(_sent, sent))
        seconds.append(time.thread_time() - start)
        if sent[0]["status"] != 200:
            raise ServerError(f"/recommend: the door answered {sent[0]['status']}: {sent[1]['body'][:200]!r}")
    return seconds


def _scope(body: bytes) -> dict[str, Any]:
    heads = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body)), "accept": "*/*"}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/recommend",
        "raw_path": b"/recommend",
        "root_path": "",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "headers": [(name.encode(), value.encode()) for name, value in heads.items()],
        "state": {},
    }


async def _received(body: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": False}


async def _sent(sent: list[Any], message: Any) -> None:
    sent.append(message)
