"""Remove people, and rename and seal what is kept of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.verbs.verb import verb

if TYPE_CHECKING:
    from pipelines.environment import Installation


@verb
@click.option("--user", "users", multiple=True, help="user id, as in your data; may be given again")
@click.option("--users-file", type=click.Path(path_type=Path), help="file with one user id a line")
@click.option("--again", is_flag=True, help="after a restore: remove once more whoever was forgotten")
@click.option("--undo", is_flag=True, help="let them come back, with their consent: the tombstones go")
def forget(
    place: "Installation",
    *,
    users: tuple[str, ...],
    users_file: Path | None,
    undo: bool,
    again: bool,
    quiet: bool = False,
) -> tuple[Any, str]:
    """Remove people from everything that is kept here, keep them out, and prove both."""
    from pipelines.privacy import forget as forgetting
    from pipelines.runs.progress import Bars

    asked = [*users, *(forgetting.users_of(users_file) if users_file else [])]
    if again and (asked or undo):
        raise click.UsageError("--again is about everybody who was forgotten: give no user and no --undo")
    if undo:
        count = forgetting.undo(place, asked)
        return {"withdrawn": count}, f"{count} tombstones withdrawn: what the source holds comes back with the next run"
    with Bars(quiet=quiet) as bars:

        def show(at: str) -> None:
            bars.show({"step": "forget", "share": 0.0, "note": at})

        found = forgetting.again(place, observe=show) if again else forgetting.forget(place, asked, observe=show)
    return found.document() | {"users": found.users}, found.text()


@verb
def rotate(place: "Installation") -> tuple[Any, str]:
    """Complete a change of the pseudonyms' key, after a run under the new one: nothing keeps the old names."""
    from pipelines.privacy import rotate_key as rotation

    found = rotation.rotate(place)
    return found.document(), found.text()


@verb
def seal(place: "Installation") -> tuple[Any, str]:
    """Encrypt logs that were written before privacy.key_env named a key, or under an earlier one."""
    from pipelines.privacy import seal_logs

    found = seal_logs.seal(place)
    return found.document(), found.text()


VERBS = (forget, rotate, seal)
