"""Creates, lists, rotates and revokes API keys; `intentflow keys` and `python -m bentos.keys FILE …` call it.

A key is 256 random bits, so one salted SHA-256 is enough to store it by. It is printed once and kept nowhere. What it
is for is declared: a server's speaks for every user, a page's sends events alone, a user's speaks for that user. Of the
user the file holds a hash that nobody reads without the key itself, so it names no person.
"""

import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import click
from pydantic import Field, StringConstraints, ValidationError, model_validator

from bentos.access import SCOPES, Scope, problem_of_origin, require_rate
from feature_repo import files
from feature_repo.errors import SpecError
from feature_repo.ids import plain
from feature_repo.slice import Slice

PREFIX = "if"
LAST_S = 253_402_300_799.0  # epoch seconds of the last moment of the year 9999
PAGE_RATE = "600/minute"  # events of all visitors who use a page's key
PAGE_SCOPES: tuple[Scope, ...] = ("events",)
Audience = Literal["server", "page", "user", "undeclared"]
Kind = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Page(Slice):
    """What a key that stands in a page may send, and from where."""

    events: tuple[Kind, ...] = Field(min_length=1, description="Kinds of events")
    origins: tuple[str, ...] = Field(min_length=1, description="As browsers write them: https://shop.example")
    rate: str = Field(default=PAGE_RATE, min_length=1, description="Events of all who use the key")

    @model_validator(mode="after")
    def _exact(self) -> "Page":
        for origin in self.origins:
            if problem := problem_of_origin(origin):
                raise ValueError(f"origin {origin[:60]!r} {problem}")
        require_rate(self.rate, place="rate")
        return self


class Key(Slice):
    """A key as its file holds it."""

    id: str
    name: str
    salt: str
    hash: str
    scopes: tuple[Scope, ...]
    server: bool = False  # declared: it speaks for every user
    page: Page | None = None
    user: str = ""  # hash of the one user that it speaks for
    until: Annotated[float, Field(ge=0, le=LAST_S, allow_inf_nan=False)] | None = None  # epoch; None: until revoked

    @model_validator(mode="after")
    def _one_audience(self) -> "Key":
        if (self.page is not None) + bool(self.user) + self.server > 1:
            raise ValueError(f"key {self.id}: is a server's, a page's or a user's, one of them")
        if self.page is not None and self.scopes != PAGE_SCOPES:
            raise ValueError(f"key {self.id}: a page's key has the scope events alone, not {', '.join(self.scopes)}")
        if self.user and "admin" in self.scopes:
            raise ValueError(f"key {self.id}: a user's key does not have the scope admin, which changes things for all")
        return self

    @property
    def audience(self) -> Audience:
        """Say whose it is; one of before nothing was declared speaks for every user, as a server's does."""
        return "page" if self.page else "user" if self.user else "server" if self.server else "undeclared"

    def ended(self, now: float) -> bool:
        """Tell whether its time is up."""
        return self.until is not None and self.until <= now


class Keys(Slice):
    """The file."""

    keys: tuple[Key, ...] = ()

    def named(self, name: str, *, place: Path) -> Key:
        """Return a key by its id, or refuse."""
        found = next((key for key in self.keys if key.id == name), None)
        if found is None:
            raise SpecError(f"no key '{name}' in {place}; have {', '.join(key.id for key in self.keys) or 'none'}")
        return found


def hashed(secret: str, salt: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(f"{salt}{secret}".encode()).hexdigest()


def bound(secret: str, user: str) -> str:
    """Return what is stored of the user that a key speaks for: without the key's secret it says nothing.

    >>> bound("s", "1") == bound("s", " 1") != bound("t", "1")
    True
    """
    return hashlib.sha256(f"{secret} speaks for {plain(user)}".encode()).hexdigest()


def load(path: Path) -> Keys:
    """Read a file of keys; a mistake in it is one line that shows no hash of it."""
    try:
        return Keys.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SpecError(f"serving.keys_file: no file {path}; `intentflow keys SPEC create` makes it") from None
    except ValidationError as error:
        ours = [one["msg"] for one in error.errors() if one["type"] == "value_error"]  # written above
        what = ours[0].removeprefix("Value error, ") if ours else "is no file of keys"
        raise SpecError(f"serving.keys_file: {path}: {what}; `intentflow keys` writes it") from None


def make(
    path: Path,
    *,
    name: str,
    scopes: tuple[Scope, ...],
    server: bool = False,
    page: Page | None = None,
    user: str = "",
    until: float | None = None,
) -> str:
    """Add a key to a file; return it."""
    key, text = _made(name=name, scopes=scopes, server=server, page=page, user=user, until=until)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        held = load(path) if path.exists() else Keys()
        _save(path, Keys(keys=(*held.keys, key)))
    return text


def rotate(path: Path, name: str, *, user: str = "", keep_s: float = 0.0) -> str:
    """Make another key with a key's rights, and have that one end after `keep_s` seconds; return the new one.

    Whose a user's key is only the key itself tells, so `user` says it again.
    """
    with _changed(path) as held:
        old = held.named(name, place=path)
        if bool(old.user) != bool(user):
            raise SpecError(
                f"keys rotate: {name} is {'a' if old.user else 'no'} user's key; "
                + ("say again which user's: --user ID" if old.user else "leave --user out")
            )
        key, text = _made(name=old.name, scopes=old.scopes, server=old.server, page=old.page, user=user)
        end = time.time() + keep_s
        if old.until is not None:
            end = min(end, old.until)
        ending = old.model_copy(update={"until": end})
        kept = tuple(ending if one.id == name else one for one in held.keys if one.id != name or keep_s > 0)
        _save(path, Keys(keys=(*kept, key)))
    return text


def revoke(path: Path, name: str) -> None:
    """Take a key out of a file; services see that within a second."""
    with _changed(path) as held:
        held.named(name, place=path)
        _save(path, Keys(keys=tuple(key for key in held.keys if key.id != name)))


@contextlib.contextmanager
def _changed(path: Path) -> Iterator[Keys]:
    """Read a file that is there and keep other writers away until its new content is saved."""
    load(path)  # where there is no such file, no lock is left beside it
    with _locked(path):
        yield load(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time read and rewrite the file: else a revoked key comes back with another's new one."""
    beside = path.with_name(f".{path.name}.lock")
    with open(os.open(beside, os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _made(
    *,
    name: str,
    scopes: tuple[Scope, ...],
    server: bool,
    page: Page | None,
    user: str,
    until: float | None = None,
) -> tuple[Key, str]:
    if user and not plain(user):
        raise SpecError("keys: --user: blanks are no user; give an id as in your data")
    name_of, salt = secrets.token_hex(4), secrets.token_hex(16)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    mark = bound(secret, user) if user else ""
    try:
        key = Key(
            id=name_of,
            name=name,
            salt=salt,
            hash=hashed(secret, salt),
            scopes=scopes,
            server=server,
            page=page,
            user=mark,
            until=until,
        )
    except ValidationError as error:
        raise SpecError(f"keys: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return key, f"{PREFIX}_{name_of}_{secret}"


def _save(path: Path, keys: Keys) -> None:
    files.write_json(
        path, keys.model_dump(mode="json", exclude_defaults=True)
    )  # so that older services read old rights
    os.chmod(path, 0o600)


def scopes_of(text: str) -> tuple[Scope, ...]:
    """Read scopes that are separated by commas."""
    asked = [one.strip() for one in text.split(",") if one.strip()]
    wrong = [scope for scope in asked if scope not in SCOPES]
    if wrong or not asked:
        raise SpecError(f"--scopes: no scope '{wrong[0] if wrong else text}'; have {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in asked)


@click.group()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_context
def main(context: click.Context, file: Path) -> None:
    """Make, list and revoke API keys in FILE; `intentflow keys` makes those of pages and users too."""
    files.private_from_now()
    context.obj = file


@main.command("make")
@click.option("--name", default="", help="whose it is")
@click.option("--scopes", default="recommend,events", show_default=True)
@click.pass_obj
def _make(file: Path, name: str, scopes: str) -> None:
    """Print a new key of a server, once."""
    try:
        asked = scopes_of(scopes)
    except SpecError as error:
        raise click.UsageError(str(error)) from None
    click.echo(make(file, name=name, scopes=asked, server=True))


@main.command("list")
@click.pass_obj
def _list(file: Path) -> None:
    """Print ids, scopes and names."""
    for key in load(file).keys:
        click.echo(f"{key.id}  {','.join(key.scopes)}  {key.name}")


@main.command("revoke")
@click.argument("name", metavar="ID")
@click.pass_obj
def _revoke(file: Path, name: str) -> None:
    """Take a key out."""
    revoke(file, name)


if __name__ == "__main__":
    main()
