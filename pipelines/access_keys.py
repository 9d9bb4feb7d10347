"""`intentflow keys`: create, list, rotate and revoke the API keys of an environment's `serving.keys_file`.

Who a key is for is said when it is made: a server's speaks for every user, a page's sends events alone, a user's speaks
for one user. On a cluster the file is a Secret's, so it is written on a machine and put there.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_repo.errors import SpecError
from pipelines.environment import Installation

if TYPE_CHECKING:
    from bentos.keys import Key

CREATE, LIST, ROTATE, REVOKE = ACTIONS = ("create", "list", "rotate", "revoke")
SERVER, PAGE, USER = AUDIENCES = ("server", "page", "user")
SCOPES = "recommend,events"
KEEP_HOURS = 24.0
LONGEST_HOURS = 24.0 * 90


@dataclass(frozen=True)
class Asked:
    """What the command line says of a key; '' and () are left out."""

    audience: str = ""  # of AUDIENCES
    name: str = ""
    scopes: str = ""
    kinds: Sequence[str] = ()  # of a page's events
    origins: Sequence[str] = ()
    rate: str = ""
    user: str = ""
    keep_hours: float | None = None  # that a rotated key still holds

    def given(self) -> list[str]:
        """Name the options that were given."""
        options = {"--for": self.audience, "--scopes": self.scopes, "--event": self.kinds, "--origin": self.origins}
        options |= {"--rate": self.rate, "--user": self.user, "--name": self.name}
        options |= {"--keep-hours": "" if self.keep_hours is None else "given"}
        return [option for option, value in options.items() if value]


def act(place: Installation, action: str, what: Sequence[str], asked: Asked) -> dict[str, Any]:
    """Do one of ACTIONS; return what was done."""
    path = _file(place)
    if action == CREATE:
        _no_more(action, what, least=0, most=0)
        return _created(path, asked)
    from bentos import keys

    if action == LIST:
        _no_more(action, what, least=0, most=0)
        _only(action, asked)
        return {"file": str(path), "keys": [_row(key) for key in keys.load(path).keys]}
    _no_more(action, what, least=1, most=1)
    if action == REVOKE:
        _only(action, asked)
        keys.revoke(path, what[0])
        return {"file": str(path), "revoked": what[0]}
    _only(action, asked, "--user", "--keep-hours")
    hours = KEEP_HOURS if asked.keep_hours is None else asked.keep_hours
    if not 0 <= hours <= LONGEST_HOURS:
        raise SpecError(f"--keep-hours: {hours:g} is not allowed; give 0 (it ends now) to {LONGEST_HOURS:g}")
    made = keys.rotate(path, what[0], user=asked.user, keep_s=3600 * hours)
    return {"file": str(path), "key": made, "replaces": what[0], "keep_hours": hours}


def text(found: Mapping[str, Any]) -> str:
    """Return what was done as a person reads it; a key is shown once, here."""
    if "revoked" in found:
        return f"{found['revoked']} opens nothing any more; services see it within a second"
    if "replaces" in found:
        return f"{found['key']}\n{found['replaces']} holds for {found['keep_hours']:g} hours more"
    if "key" in found:
        return str(found["key"])
    if not found["keys"]:
        return f"{found['file']} holds no key"
    return "\n".join(
        f"{one['id']}  {one['for']:<10}  {','.join(one['scopes'])}  {_more(one)}{one['name']}" for one in found["keys"]
    )


def _more(row: Mapping[str, Any]) -> str:
    said = [f"{','.join(row['events'])} from {','.join(row['origins'])}, {row['rate']}"] if row.get("events") else []
    said += [f"until {row['until']}"] if row.get("until") else []
    return "  ".join([*said, ""])


def _row(key: "Key") -> dict[str, Any]:
    row: dict[str, Any] = {"id": key.id, "name": key.name, "for": key.audience, "scopes": list(key.scopes)}
    if key.page is not None:
        row |= {"events": list(key.page.events), "origins": list(key.page.origins), "rate": key.page.rate}
    if key.until is not None:
        row["until"] = dt.datetime.fromtimestamp(key.until, dt.UTC).isoformat(timespec="seconds")
    return row


def _created(path: Path, asked: Asked) -> dict[str, Any]:
    from pydantic import ValidationError

    from bentos import keys

    if asked.audience not in AUDIENCES:
        raise SpecError(
            f"keys create: --for: {asked.audience or 'nothing'} is not allowed; give server (speaks for every user), "
            "page (sends events alone) or user (speaks for --user)"
        )
    allowed = {PAGE: ("--event", "--origin", "--rate"), USER: ("--user", "--scopes"), SERVER: ("--scopes",)}
    _only(f"create --for {asked.audience}", asked, "--for", "--name", *allowed[asked.audience])
    if asked.audience == PAGE:
        said: dict[str, Any] = {"events": tuple(asked.kinds), "origins": tuple(asked.origins)}
        try:
            page = keys.Page.model_validate(said | ({"rate": asked.rate} if asked.rate else {}))
        except ValidationError as error:
            first = error.errors()[0]
            option = {"events": "--event", "origins": "--origin"}.get(str(first["loc"][0]) if first["loc"] else "", "")
            what = "give one or more" if first["type"] == "too_short" else first["msg"].removeprefix("Value error, ")
            raise SpecError(f"keys create --for page: {option + ': ' if option else ''}{what}") from None
        made = keys.make(path, name=asked.name, scopes=keys.PAGE_SCOPES, page=page)
        return {"file": str(path), "key": made}
    if asked.audience == USER and not asked.user:
        raise SpecError("keys create --for user: --user: is missing; give the user's id as in your data")
    scopes = keys.scopes_of(asked.scopes or SCOPES)
    made = keys.make(path, name=asked.name, scopes=scopes, server=asked.audience == SERVER, user=asked.user)
    return {"file": str(path), "key": made}


def _file(place: Installation) -> Path:
    file = place.environment.serving.keys_file
    if not file:
        raise SpecError(
            f"keys: the environment '{place.environment.name}' names no serving.keys_file; give it one, such as "
            'serving: {auth: keys, keys_file: "{home}/secrets/keys.json"}'
        )
    return Path(file)


def _only(action: str, asked: Asked, *allowed: str) -> None:
    for option in asked.given():
        if option not in allowed:
            raise SpecError(f"keys {action}: {option} is not allowed; give {', '.join(allowed) or 'no option'}")


def _no_more(action: str, what: Sequence[str], *, least: int, most: int) -> None:
    if not least <= len(what) <= most:
        given, needs = " ".join(what) or "nothing", "one ID" if most else "no ID"
        raise SpecError(f"keys {action}: {given} is not allowed; give {needs}")
