"""Serve a release on this machine: a router with a door behind it, in the foreground or the background.

`asked` starts a door alone for one question. During a rollout the loop decides which release the router follows
(`rollout/`); here it is the champion, at once.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bentos import workers
from bentos.router import start
from bentos.router.routes import Backend, Routes
from bentos.router.settings import SERVING, TOKEN
from feature_repo import env_names, signing
from pipelines.environment import Installation
from pipelines.leases.lease import FOLDER
from pipelines.releases import processes, uis, words
from pipelines.releases.release import ReleasedFiles, variables

ROUTER = "router"
DOOR = "recommender"  # of every door's name, before its release's id
PORT = 3000
SEEN_S = 0.6  # a router that runs has seen new routes by then


def door(place: Installation, release_id: str, bento: str, *, port: int) -> processes.Process:
    """Describe the door of a release as a background process."""
    from bentos import serve

    url, writer = f"http://{processes.LOOPBACK}:{port}", words.variables(place)
    known = _of_a_service(place) | writer
    own = serve.prepare(place.home, port=port, variables=os.environ | known)
    many = workers.urls(own)
    return processes.Process(
        name=f"{DOOR}-{release_id}",
        command=tuple(serve.command(bento, port=port)),
        env={"OMP_NUM_THREADS": "1", **known, **own},
        url=url,
        ready_url=f"{url}/readyz",
        # Another number of processes, or another model that writes, is another door.
        version=" x".join([bento, *([str(len(many))] if many else []), *writer.values()]),
        workers=many,
    )


def router(place: Installation, *, port: int) -> processes.Process:
    """Describe the router as a background process."""
    url = start.url(port)
    return processes.Process(
        name=ROUTER,
        command=tuple(start.command()),
        env=_environment(place, start.routes_file(place.home), port=port),
        url=url,
        ready_url=f"{url}/readyz",
        version=str(port),
    )


def _of_a_service(place: Installation) -> dict[str, str]:
    """Return a door's variables: it checks signatures, and has no use for the key that makes them."""
    public = ",".join(signing.public_keys(place.variables))
    return place.variables | {env_names.VERIFY_KEYS: public, env_names.SIGNING_KEY: ""}


def _environment(place: Installation, routes: Path, *, port: int) -> dict[str, str]:
    known = place.variables
    return start.environment(routes, token=known[TOKEN], port=port, serving=known.get(SERVING, ""))


def doors(place: Installation) -> dict[str, str]:
    """Return the URL of every door in the background, by release."""
    prefix = f"{DOOR}-"
    states = [s for s in processes.status(place.home) if s.name.startswith(prefix) and s.state == "running"]
    return {s.name.removeprefix(prefix): s.url for s in states}


def route(place: Installation, routes: Routes) -> None:
    """Have the router follow these routes, and spread each door's users over its processes."""
    states = [s for s in processes.status(place.home) if s.name.startswith(f"{DOOR}-")]
    start.write(start.routes_file(place.home), routes.over({s.url: s.workers for s in states}))


def running(place: Installation) -> str | None:
    """Return the URL that callers use, the router's, if it runs in the background."""
    states = [s for s in processes.status(place.home) if s.name == ROUTER and s.state == "running"]
    return states[0].url if states else None


def up(place: Installation, released: ReleasedFiles, *, port: int) -> list[processes.State]:
    """Start the service and the UIs in the background; what runs already stays, and so does a rollout under way."""
    with variables(place):
        small = words.small_model(place)
        wrote = [] if small is None else processes.up(place.home, [small])  # first: a door reads where it is
        opened = doors(place).get(released.id)
        kept = int(opened.rpartition(":")[2]) if opened else processes.free_port(0)
        wanted = [*uis.uis(place.home, name=place.spec.name, environ=place.variables), uis.console(place)]
        states = processes.up(place.home, [door(place, released.id, released.bento, port=kept), *wanted])
        if states[0].state != "failed":
            _follow(place, released.id, states[0].url)
        return [*processes.up(place.home, [router(place, port=port)]), *states, *wrote]


def _follow(place: Installation, release_id: str, url: str) -> None:
    """Route everything to a release and end the other doors; where a loop serves already, that is its to decide."""
    path, live = start.routes_file(place.home), doors(place)
    now = start.read(path)
    looped = (place.home / FOLDER).is_dir() or (now is not None and now.candidate is not None)
    if now is not None and looped and live.get(now.stable.release) == now.stable.url:
        route(place, now)  # a door that was started again has other processes
        return
    route(place, Routes(stable=Backend(release=release_id, url=url)))
    time.sleep(SEEN_S)
    if idle := [f"{DOOR}-{one}" for one in live if one != release_id]:
        processes.down(place.home, idle)


@contextmanager
def asked(place: Installation, released: ReleasedFiles) -> Iterator[str]:
    """Yield the URL of a running service; one that is started for the occasion stops afterwards."""
    from bentos import serve

    if url := running(place):
        yield url
        return
    alone = {env_names.DOOR_WORKERS: "1"}
    serving = serve.serve(released.bento, port=processes.free_port(0), env=_of_a_service(place) | alone)
    try:
        yield serving.url
    finally:
        serving.stop()


def foreground(place: Installation, released: ReleasedFiles, *, port: int) -> int:
    """Serve until interrupted; returns the exit code of whichever of the two processes ends."""
    from bentos import serve

    serve.check_free(port)
    if threading.current_thread() is threading.main_thread():  # Python lets no other set it
        signal.signal(signal.SIGTERM, _interrupted)
    opened = serve.serve(released.bento, port=processes.free_port(0), env=_of_a_service(place))
    folder = serve.folder_of(place.home, port)
    routes = Routes(stable=Backend(release=released.id, url=opened.url, workers=opened.workers))
    routed: serve.Serving | None = None
    try:
        start.write(folder / "routes.json", routes)
        routed = serve.started(
            start.command(),
            folder,
            env=_environment(place, folder / "routes.json", port=port),
            url=start.url(port),
        )
        print(f"release {released.id} at {routed.url} (Ctrl-C stops it; log {opened.log})", file=sys.stderr)
        return _first([opened.process, routed.process])
    except KeyboardInterrupt:
        return 0
    finally:
        for one in (routed, opened):
            if one is not None:
                one.stop()


def _interrupted(*_: object) -> None:
    """End as at Ctrl-C: what was started is stopped, and nothing goes on listening."""
    raise KeyboardInterrupt


def _first(children: list[subprocess.Popen[bytes]]) -> int:
    """Wait until one process ends and return its code."""
    while True:
        for child in children:
            if (code := child.poll()) is not None:
                return code
        time.sleep(processes.POLL_S)
