"""Cross-origin requests of pages: a browser asks first (a preflight) whether a page of an origin may send events.

Origins are compared whole, with no wildcard. A preflight has no key, so it is answered by what all keys of pages
declare; the request itself is held to the origins of its own key (bentos/http/callers.py). Door and router both answer.
"""

from collections.abc import Collection

from bentos.http.problems import FORBIDDEN, refused
from feature_repo import endpoints

PATHS = frozenset(endpoints.paths("write"))
ASKS, METHOD = "OPTIONS", "POST"
ORIGIN, ASKED_METHOD = "Origin", "Access-Control-Request-Method"
HEADERS = "Authorization, Content-Type, X-API-Key, X-Request-Id, traceparent"
REMEMBER_S = 600  # by browsers; a key that is taken back opens nothing meanwhile
NO_CONTENT = 204


def is_preflight(method: str, path: str, origin: str) -> bool:
    """Tell whether a browser asks here before a page sends.

    >>> is_preflight("OPTIONS", "/events", "https://shop.example"), is_preflight("OPTIONS", "/recommend", "https://a.b")
    (True, False)
    """
    return method == ASKS and path in PATHS and bool(origin)


def preflight(origin: str, asked_method: str, declared: Collection[str]) -> dict[str, str]:
    """Return the headers that let a page send, or refuse."""
    if origin not in declared:
        raise refused(
            "origin", f"{origin[:60]!r} is no page's of ours", "the origins of keys of pages", status=FORBIDDEN
        )
    if asked_method != METHOD:
        raise refused("method", f"{asked_method[:20]!r} is not a page's", METHOD, status=FORBIDDEN)
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": METHOD,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": str(REMEMBER_S),
        "Vary": f"Origin, {ASKED_METHOD}, Access-Control-Request-Headers",
    }


def shown_to(origin: str) -> dict[str, str]:
    """Return the headers that let a page of the origin read the answer to what it sent."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Retry-After, X-Request-Id",
        "Vary": "Origin",
    }
