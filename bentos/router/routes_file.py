"""Follows routes.json: reads it again when it changes, and keeps the last good routes while it is broken or away.

On a cluster the file is a ConfigMap mounted as a folder: its links change, so the file behind the path is compared.
Until the rollout has written it, the overlay's own first routes hold; after that they never do again in this process.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from bentos.router.routes import Routes

log = logging.getLogger("intentflow.router")


class RoutesFile:
    """The routes that hold now."""

    def __init__(self, path: Path, *, on_change: Callable[[Routes], None], first: Path | None = None) -> None:
        self._path, self._on_change, self._first = path, on_change, first
        self._seen: tuple[int, ...] | None = None
        self.routes: Routes | None = None
        self.problem = f"{path}: not read yet"  # '' while the file is good

    def check(self) -> bool:
        """Read the file if it has changed; return whether the routes did."""
        if self._first is not None and self._path.exists():
            self._first = None
        path = self._first or self._path
        try:
            stat = path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return False
            routes = Routes.model_validate_json(path.read_bytes())
        except OSError as error:
            self._seen = None
            return self._broken(f"{path}: {error.strerror or error}")
        except ValidationError as error:
            self._seen = seen
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            return self._broken(f"{path}: {place}: {first['msg']}")
        self._seen, self.problem = seen, ""
        if routes == self.routes:
            return False
        self.routes = routes
        log.info("routes: %s", routes.model_dump_json())
        self._on_change(routes)
        return True

    def _broken(self, problem: str) -> bool:
        if problem != self.problem:
            kept = f"rollout '{self.routes.rollout}' stays" if self.routes else "there are no routes yet"
            log.warning("routes: %s; %s", problem, kept)
        self.problem = problem
        return False
