"""A page of a shop and a door of another origin, each on a socket: what browser tests of clients work with."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos import keys
from bentos.access import Access
from feature_repo.checkout import CLIENTS
from tests.bentos.conftest import World
from tests.bentos.http.test_auth import opened_by
from tests.bentos.sockets import Listening, listening

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title><body><h1>Page</h1><p id="said"></p>
<script src="/browser/snippet.js"></script><script>
const asked = Object.fromEntries(new URLSearchParams(location.search));
window.shop = intentflow({ ...JSON.parse(asked.more), url: asked.url, key: asked.key,
  tell: (line) => { document.getElementById("said").textContent += line + "\\n"; } });
</script></body></html>"""


@dataclass
class Heard:
    """An application that remembers what it was asked."""

    app: ASGIApp
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        one: dict[str, Any] = {"method": scope["method"], "path": scope["path"], "body": b"", "status": 0}
        self.asked.append(one)

        async def hearing() -> Message:
            message = await receive()
            one["body"] += message.get("body", b"")
            return message

        async def saying(message: Message) -> None:
            one["status"] = message.get("status", one["status"])
            await send(message)

        await self.app(scope, hearing, saying)

    @property
    def events(self) -> list[list[dict[str, Any]]]:
        """The events of each request that was taken."""
        taken = (one for one in self.asked if (one["path"], one["status"]) == ("/events", 200))
        return [json.loads(one["body"])["events"] for one in taken]


@dataclass
class Place:
    """The page's server, the door's, and the page's key."""

    page: Listening
    door: Listening
    heard: Heard
    world: World
    key: str

    def address(self, *, url: str = "", key: str = "", **more: Any) -> str:
        """Return the address of the page, whose snippet gets these options."""
        asked = {"url": url or self.door.url, "key": key or self.key, "more": json.dumps({"every": 200} | more)}
        return f"{self.page.url}/?{urlencode(asked)}"


def page_app() -> Starlette:
    """Serve the test's page and the checkout's clients."""

    async def page(_: Any) -> HTMLResponse:
        return HTMLResponse(PAGE)

    app = Starlette(routes=[Mount("/browser", StaticFiles(directory=CLIENTS / "browser"))])
    app.add_route("/", page)
    return app


@contextmanager
def opened(folder: Path, app: ASGIApp | None = None) -> Iterator[Place]:
    """A page, and a door of another origin that takes views of it; ann had i0 and then i2."""
    with ExitStack() as stack:
        page = stack.enter_context(listening(app or page_app()))
        file, world = folder / "keys.json", World(folder)
        world.knows("ann", 0, 2)
        key = page_key(file, page.url)
        client, _ = opened_by(world, Access(auth="keys", keys_file=str(file)))
        heard = Heard(client.app)
        yield Place(page, stack.enter_context(listening(heard)), heard, world, key)


def page_key(file: Path, origin: str, *, until: float | None = None) -> str:
    """Make the key of a page."""
    page = keys.Page(events=("view",), origins=(origin,))
    return keys.make(file, name="page", scopes=keys.PAGE_SCOPES, page=page, until=until)
