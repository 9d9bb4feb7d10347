"""Redis: whether it lets us in, its version, and the two settings by which profiles and events get lost."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

from pipelines.server_checks.check import TIMEOUT_S, Check, words

PASSED = ("username", "password", "db", "ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")


def settings_of(connection_string: str) -> dict[str, Any]:
    """Read the address as Feast does: host:port, then key=value, with commas between.

    >>> settings_of("redis:6379,password=p,ssl=true,socket_timeout=9")
    {'host': 'redis', 'port': 6379, 'password': 'p', 'ssl': True}
    """
    host, *pairs = connection_string.split(",")
    name, _, port = host.rpartition(":")
    found: dict[str, Any] = {"host": name or host, "port": int(port) if name and port.isdigit() else 6379}
    for key, _, value in (pair.partition("=") for pair in pairs):
        if key in PASSED:
            try:
                found[key] = json.loads(value)
            except ValueError:
                found[key] = value
    return found


def settings_of_url(url: str) -> dict[str, Any]:
    """Read a URL, redis://user:password@host:port/db.

    >>> settings_of_url("rediss://:p@redis/2")
    {'host': 'redis', 'port': 6379, 'password': 'p', 'db': 2, 'ssl': True}
    """
    parts = urlsplit(url)
    found: dict[str, Any] = {"host": parts.hostname or "localhost", "port": parts.port or 6379}
    found |= {"username": unquote(parts.username)} if parts.username else {}
    found |= {"password": unquote(parts.password)} if parts.password else {}
    found |= {"db": int(parts.path[1:])} if parts.path[1:].isdigit() else {}
    return found | ({"ssl": True} if parts.scheme == "rediss" else {})


def redis(name: str, settings: dict[str, Any], *, keeps: bool) -> list[Check]:
    """Ask it; `keeps` says that what it holds must last: profiles and events, not counts of limits."""
    try:
        import redis as client
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        return [Check(name, None, "not checked: its client is not installed; pip install 'intentflow[redis]'")]
    at, secret = f"{settings['host']}:{settings['port']}", str(settings.get("password", ""))
    once = Retry(NoBackoff(), 0)
    limits: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "retry": once}
    try:
        with client.Redis(**settings | limits, decode_responses=True) as asked:
            asked.ping()
            told, save = _info(asked), _config(asked, "save")
    except client.AuthenticationError as error:
        mend = "give the connection string the password of its Secret" if secret else "add password=… to it"
        return [Check(name, False, f"{at} answers and refuses the password ({words(error, secret)}); {mend}")]
    except client.RedisError as error:
        mend = "start it, forward its port, or mend the connection string"
        return [Check(name, False, f"{at} does not answer ({words(error, secret)}); {mend}")]
    note = f"{at} runs {told.get('redis_version', '?')}"
    return [Check(name, not (problem := _lossy(told, save) if keeps else ""), f"{note}{problem and '; ' + problem}")]


def _lossy(told: dict[str, Any], save: str | None) -> str:
    """Name what loses rows, '' where nothing does."""
    problems = []
    if (policy := str(told.get("maxmemory_policy", "noeviction"))) != "noeviction":
        problems.append(f"maxmemory-policy {policy} evicts profiles when memory is full: set noeviction")
    if not told.get("aof_enabled", 1) and save == "":
        problems.append("it keeps nothing on disk, so a restart loses events: set appendonly yes")
    return "; ".join(problems)


def _info(asked: Any) -> dict[str, Any]:
    """Return what it says of itself; an account that may not ask learns nothing."""
    import redis as client

    try:
        return dict(asked.info())
    except client.ResponseError:  # NOPERM; the account may ping and store all the same
        return {}


def _config(asked: Any, key: str) -> str | None:
    """Return a setting; None where a managed server keeps CONFIG to itself."""
    import redis as client

    try:
        return str(asked.config_get(key).get(key, ""))
    except client.ResponseError:
        return None
