"""Middleware before every page: the host, the visitor, the key behind the session, the form's origin, the headers.

What a page finds in `request.state`: visitor, who, language, form. A form that cannot be taken is shown again with what
was typed, and nothing has changed by then.
"""

import logging
import re
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.access import LOOPBACK
from bentos.console import forms, words
from bentos.console.doorman import Doorman, Visitor
from bentos.console.render import render
from bentos.console.settings import (
    COOKIE,
    CSRF,
    CSRF_HEADER,
    LANGUAGE_COOKIE,
    PROBES,
    ROOT,
    SIGN_IN,
    STATIC,
    Settings,
    policy,
)
from bentos.http.problems import FORBIDDEN, MALFORMED, UNAUTHENTICATED, UNAVAILABLE, Rejected

PSEUDONYM = re.compile(r"[0-9a-f]{16}")  # feature_repo/privacy/pseudonyms.py
KEPT = "kept"  # before the name of a field that waits for the visitor to sign in
SAFE = ("GET", "HEAD")
log = logging.getLogger("intentflow.console")


class Gate:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, doorman: Doorman, settings: Settings) -> None:
        self._app, self._doorman, self._settings = app, doorman, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to its page, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, begun = Request(scope, receive), False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._headers(request, MutableHeaders(scope=message))
            await send(message)

        try:
            answer = await self._admitted(request)
            await (answer or self._app)(scope, receive, sending)
        except Exception:
            log.exception("%s failed", _asked(scope))
            if begun:
                raise
            await _fault(request)(scope, receive, sending)
        if request.method not in SAFE:
            log.info("%s by %s", _asked(scope), getattr(request.state, "who", "") or "nobody")

    async def _admitted(self, request: Request) -> Response | None:
        """Return an answer that needs no page; None lets the request through."""
        path = request.url.path
        if path in PROBES:
            return PlainTextResponse("ok")
        if self._doorman.open and _host(request.headers.get("host", "")) not in LOOPBACK:
            return PlainTextResponse(words.text("en", "frame.host") + "\n", MALFORMED)
        if path.startswith(f"{STATIC}/"):
            return None
        known = self._doorman.visitor(request.cookies.get(COOKIE, ""))
        visitor = request.state.visitor = known or self._doorman.welcome()
        request.state.who, request.state.language = visitor.who, _language(request)
        request.state.form = forms.Form()
        if request.method == "POST":
            try:
                request.state.form = await forms.read(request)
            except Rejected as refusal:
                return render(request, "message.html.jinja", status=refusal.status, key="method", refusal=str(refusal))
            if not _own_site(request):
                return render(request, "message.html.jinja", status=FORBIDDEN, key="foreign")
        return self._entered(request, visitor)

    def _entered(self, request: Request, visitor: Visitor) -> Response | None:
        """Hold a visitor to a session that holds and a form to its token."""
        given = request.headers.get(CSRF_HEADER) or request.state.form.get(CSRF)
        own = request.method in SAFE or self._doorman.own(visitor, given)
        if request.url.path == SIGN_IN:
            return None if own else sign_in(request, status=FORBIDDEN, key="again_token")
        try:
            self._doorman.require(visitor)
        except Rejected as refusal:
            return self._outside(request, visitor, refusal)
        return None if own else again(request, request.url.path, request.state.form, key="again_token")

    def _outside(self, request: Request, visitor: Visitor, refusal: Rejected) -> Response:
        """Answer who may not come in: a page to sign in on, which keeps the form that was sent."""
        key = {401: "ended" if refusal.problem.where == "session" else "revoked", FORBIDDEN: "revoked"}
        said = "away" if refusal.status == UNAVAILABLE else key.get(refusal.status, "revoked") if visitor.who else ""
        if self._doorman.visitor(visitor.token) is None:  # signed out: a new visitor has a new token
            request.state.visitor = self._doorman.welcome()
        request.state.who = ""
        if request.method in SAFE and not said and request.headers.get("hx-request") != "true":
            return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': request.url.path})}", 303)
        return sign_in(request, status=UNAUTHENTICATED if said != "away" else UNAVAILABLE, key=said)

    def _headers(self, request: Request, headers: MutableHeaders) -> None:
        headers["Content-Security-Policy"] = policy(self._settings)
        headers["X-Frame-Options"] = "DENY"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cache-Control"] = "no-cache" if request.url.path.startswith(f"{STATIC}/") else "no-store"
        secure = "" if _host(request.headers.get("host", "")) in LOOPBACK else "; Secure"
        kept = f"; Path={ROOT}; SameSite=Strict; HttpOnly{secure}"
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        if visitor is not None and request.cookies.get(COOKIE) != visitor.token:
            headers.append("Set-Cookie", f"{COOKIE}={visitor.token}{kept}")
        asked = request.query_params.get("lang", "")
        if asked in words.LANGUAGES and visitor is not None:
            headers.append("Set-Cookie", f"{LANGUAGE_COOKIE}={asked}{kept}; Max-Age=31536000")


def _asked(scope: Scope) -> str:
    """Name what was asked as logs may have it: paths are the visitor's, who may have typed anybody's id into one."""
    page = scope.get("endpoint")
    module, function = (str(getattr(page, part, "")) for part in ("__module__", "__name__"))
    name = f"{module.rpartition('.')[2]}.{function}" if function else "no page"
    hidden = [value for value in scope.get("path_params", {}).values() if PSEUDONYM.fullmatch(str(value))]
    return " ".join((str(scope["method"]), name, *hidden))


def sign_in(request: Request, *, status: int = 200, key: str = "", **values: Any) -> Response:
    """Return the page to sign in on; a form that was sent elsewhere waits in it."""
    form, path = request.state.form.without(CSRF, "key"), request.url.path
    if path == SIGN_IN:
        after = form.get("next") or request.query_params.get("next", "")
        kept = [(name.removeprefix(f"{KEPT}."), value) for name, value in form if name.startswith(f"{KEPT}.")]
    else:
        after, kept = path, list(form)
    said = words.text(request.state.language, f"frame.{key}", **values) if key else ""
    local = _host(request.headers.get("host", "")) in LOOPBACK
    safe = local or "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
    told: dict[str, Any] = {"said": said, "after": inside(after), "kept": kept, "prefix": f"{KEPT}.", "safe": safe}
    return render(request, "sign_in.html.jinja", status=status, **told)


def again(request: Request, path: str, fields: Any, *, key: str) -> Response:
    """Show a form that was not taken, to be sent with the visitor's token."""
    kept = list(fields.without(CSRF))
    status = FORBIDDEN if key == "again_token" else 200
    return render(request, "again.html.jinja", status=status, path=inside(path), kept=kept, key=key)


def inside(path: str) -> str:
    r"""Return a path within the console: one that leads elsewhere becomes its first page.

    >>> inside("/console/people"), inside("//evil.example"), inside("/console/../x"), inside("/console\\evil")
    ('/console/people', '/console', '/console', '/console')
    """
    plain = path.isprintable() and "\\" not in path and ".." not in path
    return path if plain and (path == ROOT or path.startswith(f"{ROOT}/")) else ROOT


def _own_site(request: Request) -> bool:
    """Tell whether a browser sent a form from a page of ours, as far as its headers say."""
    if site := request.headers.get("sec-fetch-site"):
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


def _host(header: str) -> str:
    """Return the host of a Host header, without its port.

    >>> _host("localhost:7080"), _host("[::1]:7080"), _host("127.0.0.1"), _host("a@localhost")
    ('localhost', '::1', '127.0.0.1', '')
    """
    if any(one in header for one in "@/\\?# "):
        return ""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _language(request: Request) -> words.Language:
    for said in (request.query_params.get("lang", ""), request.cookies.get(LANGUAGE_COOKIE, "")):
        if said in words.LANGUAGES:
            return said
    return words.wanted(request.headers.get("accept-language", ""))


def _fault(request: Request) -> Response:
    """Return what a visitor sees of a fault of ours; the log has the rest."""
    try:
        return render(request, "message.html.jinja", status=500, key="fault")
    except Exception:  # the templates themselves
        return PlainTextResponse("A fault of the console: its log says more.\n", 500)
