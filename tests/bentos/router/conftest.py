"""Small real doors behind a real router, on real sockets, in one event loop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bentos.router import start
from bentos.router.routes import Backend, Routes
from bentos.router.server import Router
from bentos.router.settings import Settings
from feature_repo import files
from feature_repo.endpoints import POPULAR
from pipelines.releases.processes import free_port
from tests.patience import patient

TOKEN = "t" * 32


@dataclass
class Door:
    """Answers as a door does, notes what it was asked, and can be broken in every way."""

    release: str
    items: list[str] = field(default_factory=lambda: ["i1", "i2", "i3"])
    asked: list[tuple[str, Any, Any]] = field(default_factory=list)
    status: int = 200
    pause_s: float = 0.0
    popular: bytes | None = None  # what it gives the router for a time without doors; None: 404
    popular_asked: list[Any] = field(default_factory=list)  # headers of the questions for it
    degraded: bool = False
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None
    port: int = 0
    runner: web.ServerRunner | None = None

    @property
    def backend(self) -> Backend:
        return Backend(release=self.release, url=f"http://127.0.0.1:{self.port}")

    async def open(self) -> "Door":
        self.port = self.port or free_port(0)
        self.runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        return self

    async def kill(self) -> None:
        """End as a killed process does: nothing listens, and open connections are reset."""
        assert self.runner is not None
        for site in list(self.runner.sites):
            await site.stop()
        for connection in list(self.runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await self.runner.cleanup()
        self.runner = None

    def of(self, path: str) -> list[Any]:
        return [body for asked, body, _ in self.asked if asked == path]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == POPULAR:
            self.popular_asked.append(request.headers.copy())
            return web.Response(body=self.popular, status=404 if self.popular is None else 200)
        parsed = json.loads(body) if body[:1] == b"{" else body
        self.asked.append((request.raw_path, parsed, request.headers.copy()))
        if self.answer is not None:
            return await self.answer(request)
        status, pause_s = self.status, self.pause_s
        if pause_s:
            await asyncio.sleep(pause_s)
        document = {
            "items": [{"item_id": item} for item in self.items],
            "profile": {"degraded": self.degraded},
            "release": self.release,
        }
        return web.json_response(document, status=status, dumps=lambda d: json.dumps(d, separators=(",", ":")))


@dataclass
class World:
    """A router and its doors."""

    folder: Path
    router: Router
    stable: Door
    candidate: Door
    client: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return start.url(self.router.settings.port)

    def route(self, mode: str = "stable", *, candidate: bool = True, **more: Any) -> None:
        """Route, and have the router see it now."""
        routes = Routes(
            rollout=more.pop("rollout", "r1"),
            mode=mode,
            stable=self.stable.backend,
            candidate=self.candidate.backend if candidate else None,
            **more,
        )
        start.write(self.router.settings.routes, routes)
        self.router.file.check()

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any, Any]:
        async with self.client.post(self.url + path, json=body, headers=headers) as reply:
            text = await reply.read()
            return reply.status, json.loads(text) if text[:1] == b"{" else text, reply.headers

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        async with self.client.get(URL(self.url + path, encoded=True), headers=headers) as reply:
            return reply.status, await reply.read()

    async def seen(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.get("/router/observations"))[1])
        return found


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(patient(within_s)):
        while not condition():
            await asyncio.sleep(0.01)


def popular_document(release: str = "aaa", *, items: int = 5, **more: Any) -> bytes:
    """What a door's document may be: items p0, p1, …, the first the most popular."""
    listed = [
        {
            "item_id": f"p{n}", "title": f"item {n}", "score": round(0.5 - n / 100, 2), "source": "popular",
            "propensity": 1.0, "reasons": {"popular_share": round(0.5 - n / 100, 2)},
        }
        for n in range(items)
    ]  # fmt: skip
    content = {
        "format": 1, "release": release, "made_at": "2026-11-01T00:00:00Z", "auth": "none", "k": 3, "max_k": 50,
        "timeout_s": 2.0, "items": listed, "intents": [{"name": "visit", "probability": 0.4}],
    } | more  # fmt: skip
    return json.dumps(content | {"digest": files.digest(content)}).encode()


@contextlib.asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[World]:
    stable, candidate = await Door("aaa").open(), await Door("bbb").open()
    made = {"port": free_port(0), "check_s": 0.02, "linger_s": 0.05, "drain_s": 1.0} | settings
    router = Router(Settings(folder / "routes.json", TOKEN, **made))
    async with aiohttp.ClientSession() as client:
        world = World(folder, router, stable, candidate, client)
        await router.start()
        world.route(candidate=False)
        try:
            yield world
        finally:
            if not router.draining:
                await router.stop()
            for door in (stable, candidate):
                if door.runner is not None:
                    await door.kill()


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Run a scene in a fresh world."""

    def run(scene: Callable[[World], Awaitable[None]], **settings: Any) -> None:
        async def whole() -> None:
            async with running(tmp_path, **settings) as world:
                await scene(world)

        asyncio.run(whole())

    return run


def event(user="1", event_id=None):
    named = {"event_id": event_id} if event_id else {}
    return {"user_id": user, "item_id": "i1", "event": "purchase"} | named
