"""Change what running doors show, and who may ask them."""

from typing import TYPE_CHECKING, Any

import click

from pipelines.verbs.verb import verb

if TYPE_CHECKING:
    from pipelines.environment import Installation


@verb
@click.argument("action", type=click.Choice(["put", "withdraw", "undo", "list"]))
@click.argument("what", nargs=-1)
@click.option("--change-id", default="", help="makes a repeated put, withdraw or undo harmless")
def items(place: "Installation", *, action: str, what: tuple[str, ...], change_id: str) -> tuple[Any, str]:
    """Change the items that every door shows: put FILE, withdraw ID ..., undo VERSION, list."""
    from pipelines import items as live

    found = live.act(place, action, what, change_id=change_id)
    return found, live.text(found)


@verb
@click.argument("action", type=click.Choice(["put", "remove", "undo", "list", "preview"]))
@click.argument("what", nargs=-1)
@click.option("--change-id", default="", help="makes a repeated put, remove or undo harmless")
@click.option("--placement", default="", help="of preview: where the lists are shown")
def rules(
    place: "Installation", *, action: str, what: tuple[str, ...], change_id: str, placement: str
) -> tuple[Any, str]:
    """Change the rules of what lists hold: put FILE, remove NAME ..., undo VERSION, list, preview FILE."""
    from pipelines import rules as live

    found = live.act(place, action, what, change_id=change_id, placement=placement)
    return found, live.text(found)


@verb
@click.argument("action", type=click.Choice(["create", "list", "rotate", "revoke"]))
@click.argument("what", nargs=-1)
@click.option("--for", "audience", default="", help="of create: server, page or user")
@click.option("--name", default="", help="whose it is, as `list` shows it")
@click.option("--scopes", default="", help="of a server's or a user's; default: recommend,events")
@click.option("--event", "kinds", multiple=True, help="kind of event that a page may send; may be given again")
@click.option("--origin", "origins", multiple=True, help="page that may send, https://shop.example; may be given again")
@click.option("--rate", default="", help="events of all who use a page's key; default: 600/minute")
@click.option("--user", default="", help="whom a user's key speaks for, as in your data")
@click.option("--keep-hours", type=float, help="that a rotated key still holds; default: 24")
def keys(place: "Installation", *, action: str, what: tuple[str, ...], **asked: Any) -> tuple[Any, str]:
    """Create, list, rotate and revoke API keys: create, list, rotate ID, revoke ID."""
    from pipelines import access_keys

    found = access_keys.act(place, action, what, access_keys.Asked(**asked))
    return found, access_keys.text(found)


VERBS = (items, rules, keys)
