"""Cross-origin requests of pages: a browser asks first (a preflight) whether a page of an origin may send events.

Origins are compared whole, with no wildcard. A preflight has no key, so it is answered by what all keys of pages
declare; the request itself is held to the origins of its own key (bentos/http/callers.py). Door and router both answer.

A browser that sends while a tab closes (`navigator.sendBeacon`) can set no header, so a page's key, and no other, may
stand in the address of what writes: `POST /events?key=…`. Such a request needs no preflight either.
"""

from collections.abc import Collection
from urllib.parse import parse_qs

from bentos.http.problems import FORBIDDEN, refused
from feature_repo import endpoints

PATHS = frozenset(endpoints.paths("write"))
ASKS, METHOD = "OPTIONS", "POST"
KEY = "key"  # in an address, of a page's key
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


def key_in_address(method: str, path: str, query: bytes) -> str:
    """Return the key in the address of a page's request, '' where none may stand or none does.

    >>> key_in_address("POST", "/events", b"key=if_1_a"), key_in_address("POST", "/recommend", b"key=if_1_a")
    ('if_1_a', '')
    """
    if method != METHOD or path not in PATHS:
        return ""
    return parse_qs(query.decode("latin-1")).get(KEY, [""])[0]


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
