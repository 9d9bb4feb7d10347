"""Pages from templates: words in the visitor's language, the frame around, and refusals as one sentence.

Templates escape everything. htmx gets the block that it asked for, a browser without it the whole page.
"""

import datetime as dt
import functools
import logging
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bentos.client import Unanswered
from bentos.console import words
from bentos.console.doorman import Doorman, Visitor
from bentos.console.settings import ROOT, STATIC
from bentos.http.problems import Rejected
from feature_repo.errors import Refused, ServerError, UserError

TEMPLATES = Path(__file__).parent / "templates"
REFUSALS = (UserError, Refused, ServerError, Rejected, Unanswered)  # what a page says in one sentence
WRONG, CONFLICT, AWAY = 422, 409, 503
log = logging.getLogger("intentflow.console")


def render(request: Request, name: str, *, status: int = 200, block: str = "", **what: Any) -> Response:
    """Return a page; to htmx, where `block` is given, that block of it alone.

    Templates have besides `what`: t(key, **values), language, csrf, who, name, nav, here, refusal, notices,
    partial (the block alone: what the frame would say above it, it says itself).
    """
    template = _templates().get_template(name)
    htmx = request.headers.get("hx-request") == "true"
    partial = bool(block) and htmx
    known = frame(request) | {"partial": partial} | what
    if partial:
        context = template.new_context(known)
        return HTMLResponse("".join(template.blocks[block](context)), status)
    # A whole page, such as the one to sign in on, takes the place of the page and not of a part of it.
    return HTMLResponse(
        template.render(known), status, {"HX-Retarget": "body", "HX-Reswap": "innerHTML"} if htmx else {}
    )


def refused(request: Request, name: str, error: Exception, **what: Any) -> Response:
    """Return a page with one sentence on why nothing was done; give it what the person typed."""
    status, sentence = told(error)
    return render(request, name, status=status, refusal=sentence, **what)


def told(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence of a refusal."""
    if isinstance(error, (Rejected, Unanswered)):
        return error.status, str(error)
    status = {UserError: WRONG, Refused: CONFLICT, ServerError: AWAY}
    return next((code for kind, code in status.items() if isinstance(error, kind)), WRONG), str(error)


def done(request: Request, path: str, key: str, **values: Any) -> Response:
    """Send the visitor to a page that says what was done, so that a reload repeats nothing."""
    visitor: Visitor = request.state.visitor
    visitor.notices.append(words.text(request.state.language, key, **values))
    return RedirectResponse(path, 303)


def frame(request: Request) -> dict[str, Any]:
    """Return what every template may use."""
    state, settings = request.state, request.app.state.settings
    doorman: Doorman = request.app.state.doorman
    visitor: Visitor | None = getattr(state, "visitor", None)
    language = getattr(state, "language", "en")
    path = request.url.path
    page = next((one for one in reversed(request.app.state.pages) if path.startswith(one.path)), None)
    notices = list(visitor.notices) if visitor else []
    if visitor:
        visitor.notices.clear()
    return {
        "t": functools.partial(words.text, language),
        "language": language,
        "languages": words.LANGUAGES,
        "csrf": doorman.csrf(visitor) if visitor else "",
        "who": visitor.who if visitor else "",
        "open": doorman.open,
        "name": settings.name,
        "nav": request.app.state.pages if visitor and visitor.who else (),
        "page": page.name if page else "",
        "here": path if request.method == "GET" else page.path if page else ROOT,
        "root": ROOT,
        "static": STATIC,
        "refusal": "",
        "notices": notices,
    }


def when(text: str) -> str:
    """Write a time as people read it, UTC to the minute; what is no time stays as it is.

    >>> when("2026-01-31T12:03:59+00:00"), when("never")
    ('2026-01-31 12:03', 'never')
    """
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return text
    return (found.astimezone(dt.UTC) if found.tzinfo else found).strftime("%Y-%m-%d %H:%M")


def percent(share: float) -> str:
    """Write a share of one as a percentage.

    >>> percent(0.4928), percent(0.004), percent(0)
    ('49 %', '0.4 %', '0 %')
    """
    return f"{share * 100:.1f} %" if 0 < share < 0.01 else f"{share * 100:.0f} %"


@functools.cache
def _templates() -> Any:
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"when": when, "percent": percent}
    return found
