"""The router's settings, read from the environment and checked once, at the start. routes.py says where requests go."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bentos.access import Access, access_of
from bentos.http.client_address import Network
from feature_repo import env_names
from feature_repo.errors import SpecError

ROUTES = env_names.ROUTES
FIRST_ROUTES = env_names.FIRST_ROUTES
TOKEN = env_names.SHADOW_TOKEN
HOST = env_names.ROUTER_HOST
PORT = env_names.ROUTER_PORT
ADMIN_PORT = env_names.ROUTER_ADMIN_PORT
PATIENCE_S = env_names.ROUTER_PATIENCE_S
TIMEOUT_S = env_names.ROUTER_TIMEOUT_S
DRAIN_S = env_names.ROUTER_DRAIN_S
POPULAR_S, SCRATCH = env_names.ROUTER_POPULAR_S, env_names.ROUTER_SCRATCH
SERVING = env_names.SERVING
TRUSTED = env_names.FORWARDED_ALLOW_IPS
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
SHORTEST_TOKEN = 16
LONGEST_S, DAY_S = 3600.0, 86_400.0


@dataclass(frozen=True)
class Settings:
    """How one router runs."""

    routes: Path  # routes.json
    token: str  # shared with the doors: marks copies as copies
    first_routes: Path | None = None  # what holds until the rollout has written routes.json
    host: str = "127.0.0.1"
    port: int = 3000
    admin_port: int | None = None  # of /metrics and /router/observations; None: the same port, to loopback alone
    patience_s: float = 3.0  # for a read, while another release could answer it; above the doors' own deadline
    timeout_s: float = 65.0  # for anything else; above the longest `serving.timeout_s`
    drain_s: float = 20.0  # for what is in flight when it is told to stop
    linger_s: float = 0.5  # for what clients send on open connections before they learn that it stops
    check_s: float = 0.2  # between looks at routes.json
    mirror_queue: int = 256  # mirrored requests that wait; more are dropped, and counted
    mirror_at_once: int = 8
    copy_queue: int = 2000  # copies of /events that wait for one arm
    copy_s: float = 60.0  # a copy is tried again for so long: a door may restart meanwhile
    popular_s: float = 900.0  # what is popular is served in the doors' place for so long after a door confirmed it
    popular_every_s: float = 60.0  # between questions of what is popular
    popular_again_s: float = 5.0  # after one that failed
    scratch: Path | None = None  # folder for what is popular, so that a router that restarts has it; None: no file
    trusted: tuple[Network, ...] = LOOPBACK  # proxies before the router, whose X-Forwarded-For is believed
    access: Access = field(default_factory=Access)  # as the doors have it: who answers in their place knows callers too

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Settings":
        """Read and check the settings."""
        routes, token = variables.get(ROUTES, ""), variables.get(TOKEN, "")
        if not routes:
            raise SpecError(f"{ROUTES}: is not set; the path of routes.json is needed")
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise SpecError(
                f"{TOKEN}: {len(token)} characters are no secret; give {SHORTEST_TOKEN} or more printable ones, "
                "the same to the doors (such as: openssl rand -hex 32)"
            )
        made = cls(Path(routes), token)
        access = access_of(variables.get(SERVING, ""))
        host = variables.get(HOST) or made.host
        if not _loopback(host) and access.auth == "none" and not access.anyone:
            raise SpecError(
                f"{HOST}: {host} is not this machine alone, and {SERVING} lets everybody in; give it the doors' block, "
                'or {"anyone":true} where something else keeps strangers out (docs/security.md)'
            )
        return cls(
            routes=made.routes,
            token=token,
            first_routes=Path(first) if (first := variables.get(FIRST_ROUTES, "")) else None,
            host=host,
            port=_port(variables, PORT) or made.port,
            admin_port=_port(variables, ADMIN_PORT),
            patience_s=_seconds(variables, PATIENCE_S, made.patience_s),
            timeout_s=_seconds(variables, TIMEOUT_S, made.timeout_s),
            drain_s=_seconds(variables, DRAIN_S, made.drain_s),
            popular_s=_seconds(variables, POPULAR_S, made.popular_s, most=DAY_S),
            scratch=Path(scratch) if (scratch := variables.get(SCRATCH, "")) else None,
            trusted=_networks(variables.get(TRUSTED, "")) or made.trusted,
            access=access,
        )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip())
    except ValueError:
        raise SpecError(
            f"{TRUSTED}: '{text}' names no networks; give the addresses of proxies before the router, as 10.0.0.0/8, "
            "separated by commas"
        ) from None


def _port(variables: Mapping[str, str], name: str) -> int | None:
    text = variables.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise SpecError(f"{name}: '{text}' is no port; give 1 to 65535")
    return int(text)


def _seconds(variables: Mapping[str, str], name: str, default: float, *, most: float = LONGEST_S) -> float:
    text = variables.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        raise SpecError(f"{name}: '{text}' is no time; give seconds above 0, up to {most:g}")
    return value
