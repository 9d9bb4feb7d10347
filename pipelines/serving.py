"""The service of a release on this machine: in the foreground, in the background, or for one question."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines import processes, uis
from pipelines.environment import Place
from pipelines.release import Released, variables

NAME = "recommender"
PORT = 3000


def process(place: Place, released: Released, *, port: int) -> processes.Process:
    """Describe the service as a background process."""
    from bentos import serve

    url = f"http://{processes.LOOPBACK}:{port}"
    return processes.Process(
        name=NAME,
        command=tuple(serve.command(released.bento, port=port)),
        env={"OMP_NUM_THREADS": "1", **place.variables, **serve.prepare(place.home, port=port)},
        url=url,
        ready_url=f"{url}/readyz",
        version=released.bento,
    )


def running(place: Place) -> str | None:
    """Return the URL of the service in the background, if it runs."""
    states = [s for s in processes.status(place.home) if s.name == NAME and s.state == "running"]
    return states[0].url if states else None


def up(place: Place, released: Released, *, port: int) -> list[processes.State]:
    """Start the service and the UIs in the background; what runs already stays."""
    with variables(place):
        wanted = uis.uis(place.home, name=place.spec.name, environ=place.variables)
        return processes.up(place.home, [process(place, released, port=port), *wanted])


@contextmanager
def asked(place: Place, released: Released) -> Iterator[str]:
    """Yield the URL of a running service; one that is started for the occasion stops afterwards."""
    from bentos import serve

    if url := running(place):
        yield url
        return
    serving = serve.serve(released.bento, port=processes.free_port(0), env=place.variables)
    try:
        yield serving.url
    finally:
        serving.stop()


def foreground(place: Place, released: Released, *, port: int) -> int:
    """Serve until interrupted; returns the server's exit code."""
    from bentos import serve

    serving = serve.serve(released.bento, port=port, env=place.variables)
    print(f"release {released.id} at {serving.url} (Ctrl-C stops it; log {serving.log})", file=sys.stderr)
    try:
        return serving.process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        serving.stop()
