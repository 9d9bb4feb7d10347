"""The checks of `doctor --security` about callers: who is let in, and whether each credential has the rights it needs.

The file of keys shows no secret and no user, so these judge what is declared: a page's key with more than a page's
rights, a key or tokens that speak for every user where end users have credentials of their own, keys that have ended.
"""

import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from bentos.access import Access
from feature_repo import env_names
from feature_repo.errors import SpecError
from pipelines.environment import Installation
from pipelines.releases import processes
from pipelines.server_checks.check import Check

PUBLIC = ("HTTPRoute", "Ingress", "GRPCRoute")  # objects that bring callers from outside the cluster


def examine(place: Installation) -> Iterator[Check]:
    """Judge the environment's `serving` block and the keys that it names."""
    serving = place.environment.serving
    host = place.outside.get(env_names.ROUTER_HOST, processes.LOOPBACK)
    open_to_all = serving.auth == "none" and (serving.anyone or not loopback(host))
    mend = (
        f"auth: none, and the service may listen on {host if not loopback(host) else 'any address'}: everybody is let "
        "in; set serving: {auth: keys, keys_file: …} or {auth: jwt, …}, or take `anyone` away"
    )
    yield Check("callers", not open_to_all, mend if open_to_all else f"auth: {serving.auth}, on {host}")
    yield from _keys(serving)
    if (tokens := _tokens(serving)) is not None:
        yield tokens
    if _end_users(serving) and serving.bounds.item_share >= 1:
        yield Check(
            "bounds",
            False,
            "serving.bounds.item_share: 1 lets one caller of a page make any item popular; give a share such as 0.2",
        )


def _keys(serving: Access) -> Iterator[Check]:
    """Judge the file of keys, key by key."""
    if serving.auth not in ("keys", "both"):
        return
    from bentos import keys

    path = Path(serving.keys_file)
    if not path.exists():
        yield Check("keys", None, f"{path} is not there yet; `intentflow keys SPEC create` makes it")
        return
    try:
        held = keys.load(path).keys
    except SpecError as error:
        yield Check("keys", False, f"{error}; revoke the key and create another: until then nobody is let in")
        return
    now = time.time()
    for key in held:
        if key.audience == "undeclared" and _end_users(serving):
            yield Check(
                f"key {key.id}",
                False,
                "speaks for every user and is not declared a server's, where end users have credentials of their own; "
                f"`intentflow keys SPEC create --for server` (or user), then `keys SPEC revoke {key.id}`",
            )
        elif key.ended(now):
            yield Check(f"key {key.id}", None, f"has ended; `intentflow keys SPEC revoke {key.id}` takes it out")
        else:
            yield Check(f"key {key.id}", True, f"for {key.audience}: {', '.join(key.scopes)}")


def _end_users(serving: Access) -> bool:
    """Tell whether end users come with credentials of their own: keys of pages or users, or tokens beside keys."""
    from bentos import keys

    if serving.auth == "both":
        return True
    if serving.auth != "keys" or not Path(serving.keys_file).exists():
        return serving.jwt is not None and serving.jwt.speaks_for == "sub"
    try:
        return any(key.page or key.user for key in keys.load(Path(serving.keys_file)).keys)
    except SpecError:  # a finding of its own
        return False


def _tokens(serving: Access) -> Check | None:
    """Judge whom tokens speak for."""
    if serving.jwt is None or serving.auth not in ("jwt", "both"):
        return None
    if serving.jwt.speaks_for == "sub":
        return Check("tokens", True, f"speak for the user of their claim {serving.jwt.user_claim}")
    what = "every token speaks for every user"
    if serving.auth == "both":  # servers have keys: tokens are end users'
        return Check("tokens", False, f"{what}, and servers have keys here; set serving.jwt: {{speaks_for: sub, …}}")
    return Check("tokens", None, f"{what}: where end users have tokens, set serving.jwt: {{speaks_for: sub, …}}")


def unrecognised(every: list[Mapping[str, Any]]) -> set[str]:
    """Name, of rendered objects, doors that let everybody in beside a way from outside, or whose block is no block."""
    from bentos.access import access_of

    bad = set()
    public = sorted(f"{one['kind']}/{one['metadata']['name']}" for one in every if _public(one))
    for one in every:
        texts = [str(text) for name, text in (one.get("data") or {}).items() if name == env_names.SERVING]
        for text in texts if one["kind"] == "ConfigMap" else ():
            where = f"ConfigMap/{one['metadata']['name']}"
            try:
                access = access_of(text)
            except SpecError as error:
                bad.add(f"{where}: {error}")
                continue
            if access.auth == "none" and public:
                bad.add(f"{where} lets everybody in whom {public[0]} brings; set auth: keys, jwt or both")
            tokens = _tokens(access)
            if tokens is not None and tokens.fine is False:
                bad.add(f"{where}: {tokens.note}")
    return bad


def _public(one: Mapping[str, Any]) -> bool:
    kinds = ("LoadBalancer", "NodePort")
    return one["kind"] in PUBLIC or (one["kind"] == "Service" and (one.get("spec") or {}).get("type") in kinds)


def loopback(host: str) -> bool:
    """Tell whether an address is this machine's alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
