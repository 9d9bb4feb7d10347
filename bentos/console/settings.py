"""What a console is told when it starts, and the names that its HTTP uses."""

from dataclasses import dataclass

ROOT = "/console"
STATIC = f"{ROOT}/static"
SIGN_IN, SIGN_OUT = f"{ROOT}/sign-in", f"{ROOT}/sign-out"
PROBES = ("/livez", "/readyz")
PORT = 7080
COOKIE, LANGUAGE_COOKIE = "intentflow_console", "intentflow_console_language"
CSRF, CSRF_HEADER = "csrf", "X-CSRF-Token"
MOST_BYTES = 256 << 10  # of a form
MOST_FIELDS = 500  # of a form


@dataclass(frozen=True)
class Settings:
    """Of one console."""

    name: str  # the recommender's
    image_origins: tuple[str, ...] = ()  # whose pictures pages may show: https://shop.example
    session_s: float = 8 * 3600.0  # from sign-in to the next
    sign_in_rate: str = "10/minute"  # of one address


def policy(settings: Settings) -> str:
    """Return the Content-Security-Policy: everything from here, pictures from the declared origins too.

    >>> policy(Settings(name="shop", image_origins=("https://img.example",))).split("; ")[1]
    "img-src 'self' https://img.example"
    """
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(("img-src", "'self'", *settings.image_origins)),
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "object-src 'none'",
        )
    )
