"""The shop's web server: the page's files, who is signed in, and `/recommend` asked with the shop's own key.

A stand-in for what a shop has: sessions, accounts and TLS are the shop's. Everyone here is signed in as one user, and
is answered about that user alone, whatever the page asks.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import requests
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from bentos.http.bodies import whole_body
from bentos.http.problems import FORBIDDEN, UNAVAILABLE, Rejected, refused
from feature_repo.checkout import BUILT_CLIENT, CLIENTS
from feature_repo.errors import SpecError

PAGE, SNIPPET = CLIENTS / "shop" / "index.html", CLIENTS / "browser" / "snippet.js"
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Shop:
    """Who is signed in, and whom the shop asks."""

    recommender: str  # address of the router or a door, as browsers and this server reach it
    user: str  # as in the shop's data
    page_key: str = ""  # of the page, which everybody sees
    server_key: str = ""  # of this server, which nobody sees
    built: Path = BUILT_CLIENT / "dist"  # the TypeScript client's compiled files


def create_app(shop: Shop) -> Starlette:
    """Make the server; raises SpecError where the TypeScript client was not built."""
    scripts = ("client.js", "methods.js")
    if missing := [name for name in scripts if not (shop.built / name).is_file()]:
        raise SpecError(f"{shop.built}: no {', '.join(missing)}; `make client` makes them")
    files = {"": PAGE, "snippet.js": SNIPPET, **{name: shop.built / name for name in scripts}}

    async def file(request: Request) -> Response:
        return FileResponse(files[request.url.path[1:]])

    routes = [Route(f"/{name}", file) for name in files]
    routes += [Route("/shop.json", _signed_in), Route("/recommend", _recommend, methods=["POST"])]
    app = Starlette(routes=routes)
    app.state.shop = shop
    return app


async def _signed_in(request: Request) -> Response:
    shop: Shop = request.app.state.shop
    return JSONResponse({"recommender": shop.recommender, "user": shop.user, "key": shop.page_key})


async def _recommend(request: Request) -> Response:
    try:
        return await run_in_threadpool(_asked, request.app.state.shop, await whole_body(request))
    except Rejected as refusal:
        return JSONResponse(refusal.problem.model_dump(), refusal.status, headers=refusal.headers)


def _asked(shop: Shop, body: bytes) -> Response:
    """Ask the recommender what the page asked, about the one who is signed in."""
    try:
        user = json.loads(body).get("user_id")
    except (ValueError, AttributeError, RecursionError):
        user = None
    if user != shop.user:
        raise refused("user_id", "is not who is signed in", "the shop's own user", status=FORBIDDEN)
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": shop.server_key} if shop.server_key else {})
    try:
        reply = requests.post(f"{shop.recommender}/recommend", data=body, headers=headers, timeout=TIMEOUT_S)
    except requests.RequestException:
        raise refused("recommender", "does not answer", "a retry", status=UNAVAILABLE) from None
    return Response(reply.content, reply.status_code, media_type=reply.headers.get("Content-Type"))
