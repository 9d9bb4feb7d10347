"""Starting a router on this machine: its command, its variables, its URL. Imports no server."""

import sys
from collections.abc import Mapping
from pathlib import Path

from bentos.router.observations import PATH, Observations
from bentos.router.routes import FILE, FOLDER, Routes
from bentos.router.settings import HOST, PORT, ROUTES, SCRATCH, SERVING, TOKEN
from feature_repo import files

LOOPBACK = "127.0.0.1"


def command() -> list[str]:
    """Return the command of a router."""
    return [sys.executable, "-m", "bentos.router"]


def environment(routes: Path, *, token: str, port: int, serving: str = "") -> dict[str, str]:
    """Return the variables of a router on loopback; `serving` says how its doors recognise callers."""
    known = {SERVING: serving} if serving else {}
    return {ROUTES: str(routes), TOKEN: token, HOST: LOOPBACK, PORT: str(port), SCRATCH: str(routes.parent)} | known


def url(port: int) -> str:
    """Return where a router answers; its /readyz says when."""
    return f"http://{LOOPBACK}:{port}"


def routes_file(home: Path) -> Path:
    """Return the file that the router of a recommender follows."""
    return home / FOLDER / FILE


def write(path: Path, routes: Routes) -> None:
    """Have the router follow these routes; it looks five times a second."""
    files.write_json(path, routes.model_dump(mode="json"))


def read(path: Path) -> Routes | None:
    """Return the routes of a file; None before the first."""
    return Routes.model_validate_json(path.read_bytes()) if path.is_file() else None


def observe(base: str, *, timeout_s: float = 2.0, headers: Mapping[str, str] | None = None) -> Observations | None:
    """Ask a router what it has seen; None while it does not answer."""
    import requests

    with requests.Session() as session:
        session.trust_env = False  # a proxy of the environment is not for our own servers
        try:
            reply = session.get(base.rstrip("/") + PATH, timeout=timeout_s, headers=dict(headers or {}))
        except requests.RequestException:
            return None
    return Observations.model_validate_json(reply.content) if reply.ok else None
