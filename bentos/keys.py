"""Makes, lists and revokes API keys: `python -m bentos.keys FILE make --scopes recommend,events --name shop`.

A key is 256 random bits, so one salted SHA-256 is enough to store it by. It is printed once and kept nowhere.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path

import click

from bentos.access import SCOPES, Scope
from feature_repo import files
from feature_repo.errors import SpecError
from feature_repo.slice import Slice

PREFIX = "if"


class Key(Slice):
    """A key as its file holds it."""

    id: str
    name: str
    salt: str
    hash: str
    scopes: tuple[Scope, ...]


class Keys(Slice):
    """The file."""

    keys: tuple[Key, ...] = ()


def hashed(secret: str, salt: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(f"{salt}{secret}".encode()).hexdigest()


def load(path: Path) -> Keys:
    """Read a file of keys; a mistake in it is one line that shows none of it."""
    try:
        return Keys.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SpecError(f"serving.keys_file: no file {path}; `python -m bentos.keys {path} make` makes it") from None
    except ValueError:
        raise SpecError(f"serving.keys_file: {path} is no file of keys; `python -m bentos.keys` writes it") from None


def make(path: Path, *, name: str, scopes: tuple[Scope, ...]) -> str:
    """Add a key to a file; return it."""
    held = load(path) if path.exists() else Keys()
    name_of, salt = secrets.token_hex(4), secrets.token_hex(16)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    new = Key(id=name_of, name=name, salt=salt, hash=hashed(secret, salt), scopes=scopes)
    _save(path, Keys(keys=(*held.keys, new)))
    return f"{PREFIX}_{name_of}_{secret}"


def revoke(path: Path, name: str) -> None:
    """Take a key out of a file; services see that within a second."""
    held = load(path)
    left = tuple(key for key in held.keys if key.id != name)
    if len(left) == len(held.keys):
        raise SpecError(f"no key '{name}' in {path}; have {', '.join(key.id for key in held.keys) or 'none'}")
    _save(path, Keys(keys=left))


def _save(path: Path, keys: Keys) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, keys.model_dump(mode="json"))
    os.chmod(path, 0o600)


@click.group()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_context
def main(context: click.Context, file: Path) -> None:
    """Make, list and revoke API keys in FILE."""
    files.private_from_now()
    context.obj = file


@main.command("make")
@click.option("--name", default="", help="whose it is")
@click.option("--scopes", default="recommend,events", show_default=True)
@click.pass_obj
def _make(file: Path, name: str, scopes: str) -> None:
    """Print a new key, once."""
    asked = tuple(scopes.split(","))
    wrong = [scope for scope in asked if scope not in SCOPES]
    if wrong:
        raise click.UsageError(f"--scopes: no scope '{wrong[0]}'; have {', '.join(SCOPES)}")
    click.echo(make(file, name=name, scopes=tuple(scope for scope in SCOPES if scope in asked)))


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
