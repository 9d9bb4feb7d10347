"""Serves the console over an installation: who may come in by the environment, on which address, until interrupted."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from feature_repo.errors import SpecError
from pipelines import environment
from pipelines.environment import Installation

if TYPE_CHECKING:
    from starlette.applications import Starlette

LOOPBACK = "127.0.0.1"


def serve(spec: Path, environment_name: str, *, host: str, port: int) -> None:
    """Serve until interrupted; raises SpecError before it begins where something is wrong."""
    import uvicorn

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("intentflow.console").setLevel(logging.INFO)
    from pipelines.releases import processes
    from pipelines.releases.release import variables

    place = environment.place(spec, environment_name)
    require_loopback(place, host)
    with variables(place):  # for the whole time: threads of one process share its variables
        app = application(Placed(spec, environment_name))
        port = processes.free_port(port, default=port) if host == LOOPBACK else port
        click.echo(f"console of {place.spec.name} at http://{host}:{port}/console (Ctrl-C stops it)", err=True)
        with contextlib.suppress(KeyboardInterrupt):  # which ends it, as meant
            uvicorn.run(
                app,
                host=host,
                port=port,
                access_log=False,  # its lines have addresses as visitors type them
                log_level="warning",
                server_header=False,
                proxy_headers=False,  # a forwarded address is whatever its sender wrote
            )


class Placed:
    """An installation, read anew where its spec or its environment is another file than before."""

    def __init__(self, spec: Path, environment_name: str) -> None:
        self._spec, self._environment = spec, environment_name
        self._mark: tuple[Any, ...] = ()
        self._place: Installation | None = None

    def __call__(self) -> Installation:
        """Return it; raises SpecError where a file that was changed is wrong, until it is mended."""
        mark = tuple(_mark(path) for path in (self._spec, environment.file_of(self._environment)))
        if self._place is None or mark != self._mark:
            self._place, self._mark = environment.place(self._spec, self._environment), mark
        return self._place


def _mark(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def application(placed: Callable[[], Installation]) -> "Starlette":
    """Return the application over an installation, which its ports ask for at each call."""
    from bentos.console import app
    from bentos.console.doorman import Doorman
    from bentos.console.settings import Settings
    from bentos.http.auth import KeyFile
    from pipelines.console.ports import ports

    place = placed()
    file = place.environment.serving.keys_file
    settings = Settings(name=place.spec.name, image_origins=tuple(place.environment.console.picture_origins))
    doorman = Doorman(KeyFile(Path(file)) if file else None, session_s=settings.session_s)
    return app.application(ports(placed), doorman, settings)


def require_loopback(place: Installation, host: str) -> None:
    """Refuse to let strangers in where nothing tells who somebody is."""
    if host in (LOOPBACK, "::1", "localhost") or place.environment.serving.keys_file:
        return
    raise SpecError(
        f"console: --host {host}: the environment '{place.environment.name}' names no serving.keys_file, so everybody "
        f"who reaches the address could change things; give it one (`intentflow keys`), or listen on {LOOPBACK}"
    )
