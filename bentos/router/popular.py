"""Keeps what is popular with everyone, by the stable release, for the time in which every door is away.

The router asks the stable door for it once a minute and holds the last good document, in memory and in a file of its
scratch folder. It holds nothing of any user. A document counts for the release that the routes name, and for
`popular_s` after a door last confirmed it. A bad one is refused: the log says why, and the one before stays.
"""

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bentos.endpoints import popular
from bentos.endpoints.popular import LARGEST_BYTES, PopularDocument
from bentos.http.headers import SHADOW
from bentos.router.counts import Metrics
from bentos.router.door_connection import Lost
from bentos.router.headers import lines
from bentos.router.routes import SEED, Routes
from bentos.router.settings import Settings
from bentos.router.upstreams import Doors, Sent
from feature_repo import files
from feature_repo.endpoints import POPULAR
from feature_repo.errors import DataError

FILE = "popular.json"
OK = 200
JITTER = (0.9, 1.1)  # of a pause: routers that start together do not ask together for ever
CONFIRMED, REFUSED, AWAY = "confirmed", "refused", "away"
log = logging.getLogger("intentflow.router")


class Popular:
    """The last good document; `start` it in a running loop, `stop` it."""

    def __init__(self, doors: Doors, metrics: Metrics, settings: Settings, *, current: Callable[[], Routes | None]):
        self._doors, self._metrics, self._settings, self._current = doors, metrics, settings, current
        self._path = settings.scratch / FILE if settings.scratch is not None else None
        self._wake = asyncio.Event()
        self._held: PopularDocument | None = None
        self._confirmed = 0.0  # by time.monotonic
        self._seen = 0  # the latest version of the catalogue that an answer named
        self._said = ""  # the last refusal, so that the log has each once
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Read the file of the router before, and begin to ask."""
        if self._path is not None:
            self._load(self._path)
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Ask at once: the routes have changed."""
        self._wake.set()

    def saw(self, version: str | None) -> None:
        """Ask at once where a door's answer rests on a later catalogue than the document: an item may be withdrawn."""
        held = self._held.catalogue_version if self._held is not None else None
        if version is not None and version.isdecimal() and int(version) > max(held or 0, self._seen):
            self._seen = int(version)  # each version wakes once, whatever the door then gives
            self._wake.set()

    def document(self, routes: Routes) -> PopularDocument | None:
        """Return what may be served now, for the stable release of these routes."""
        held = self._held
        if held is None or not _of(held, routes) or time.monotonic() - self._confirmed > self._settings.popular_s:
            return None
        return held

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            try:
                good = await self._ask()
            except Exception:  # whatever one question meets, the next is asked
                log.exception("what is popular could not be asked for")
                good = False
            every_s = min(self._settings.popular_every_s, self._settings.popular_s / 3)
            pause_s = (every_s if good else self._settings.popular_again_s) * random.uniform(*JITTER)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _ask(self) -> bool:
        """Ask the stable door; say whether it gave a good document."""
        routes = self._current()
        if routes is None:
            return False
        sent = Sent("GET", POPULAR, lines([(SHADOW, self._settings.token), ("Accept", "application/json")]), b"")
        try:
            answer = await self._doors.send(routes.stable, sent, patience_s=self._settings.patience_s)
        except Lost:
            self._metrics.popular_asked(AWAY)
            return False
        answer.discard()
        try:
            if answer.rest is not None:
                raise DataError(f"too large, or a stream; allowed: at most {LARGEST_BYTES} bytes")
            if answer.status != OK:
                raise DataError(f"the door answers {answer.status}")
            held = self._checked(popular.unsealed(answer.body), routes)
        except DataError as error:
            self._refuse(routes.stable.url + POPULAR, error)
            return False
        self._held, self._confirmed, self._said = held, time.monotonic(), ""
        self._metrics.popular_asked(CONFIRMED)
        if self._path is not None:
            await asyncio.to_thread(_save, self._path, held)
        return True

    def _checked(self, found: PopularDocument, routes: Routes | None) -> PopularDocument:
        """Refuse the document of another release, or of doors that know callers otherwise than this router."""
        if routes is not None and not _of(found, routes):
            raise DataError(f"release: {found.release} is foreign; allowed: {routes.stable.release}, which is routed")
        if found.auth != (ours := self._settings.access.auth):
            raise DataError(
                f"auth: the door has {found.auth}, this router {ours}; give both the same INTENTFLOW_SERVING"
            )
        return found

    def _refuse(self, where: str, error: DataError) -> None:
        self._metrics.popular_asked(REFUSED)
        if str(error) != self._said:
            kept = f"that of {self._held.release} stays" if self._held else "there is none"
            log.warning("what is popular: %s: %s; %s", where, error, kept)
        self._said = str(error)

    def _load(self, path: Path) -> None:
        """Read the file, if there is one."""
        if not path.exists():
            return
        try:
            found, age_s = _read(path)
            held = self._checked(found, self._current())
        except DataError as error:
            self._refuse(str(path), error)
        else:
            self._held, self._confirmed = held, time.monotonic() - age_s
            log.info("what is popular: release %s, confirmed %.0f s ago, of %s", held.release, age_s, path)


def _of(found: PopularDocument, routes: Routes) -> bool:
    """Say whether a document is of the routed release."""
    return routes.stable.release in (found.release, SEED)


def _save(path: Path, held: PopularDocument) -> None:
    """Write a document and when it was confirmed, whole or not at all; a full disk costs the file, not the document."""
    content: dict[str, Any] = {"confirmed_at": time.time(), "document": popular.sealed(held)}
    try:
        with files.written(path) as aside:
            aside.write_text(json.dumps(content))
    except OSError as error:
        log.warning("what is popular: %s: not written (%s); a restarted router lacks it", path, error.strerror)


def _read(path: Path) -> tuple[PopularDocument, float]:
    """Return a file's document and how long ago it was confirmed, by the wall clock."""
    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise DataError(f"too large: {size} bytes; allowed: at most {LARGEST_BYTES}")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(error.strerror or str(error)) from None
    except (ValueError, RecursionError):
        raise DataError("no JSON") from None
    at = content.get("confirmed_at") if isinstance(content, dict) else None
    age_s = time.time() - at if isinstance(at, int | float) else -1.0
    if not age_s >= 0:  # NaN neither
        raise DataError(f"confirmed_at: {at!r} is no time in the past")
    return popular.of_content(content.get("document")), age_s
