"""What every verb is made of: a spec, `--env`, `--json`; a function that returns a document and a text."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from feature_repo.errors import SpecError

if TYPE_CHECKING:
    from pipelines.environment import Installation


def verb(function: Callable[..., Any]) -> click.Command:
    """Make a command of SPEC, --env and --json; the function returns (document, text)."""

    @click.argument("spec", type=click.Path(path_type=Path))
    @click.option("--env", "environment", default="local", show_default=True, help="environment, by name or file")
    @click.option("--json", "as_json", is_flag=True, help="print one JSON document on stdout")
    @functools.wraps(function)
    def run(spec: Path, environment: str, as_json: bool, **options: Any) -> None:
        from pipelines.environment import place

        if "quiet" in function.__code__.co_varnames[: function.__code__.co_kwonlyargcount + 1]:
            options["quiet"] = as_json
        document, text = function(place(spec, environment), **options)
        say(document, text, as_json=as_json)

    return click.command(function.__name__.rstrip("_"))(run)


def say(document: Any, text: str, *, as_json: bool) -> None:
    """Print one JSON document, or the text for people."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str) if as_json else text)


def require_here(place: "Installation", verb: str, instead: str) -> None:
    """Refuse a verb that works on what runs left on this machine, where runs are on Kubeflow."""
    if place.environment.kubeflow is not None:
        name = place.environment.name
        raise SpecError(f"{verb}: works on runs of this machine, and environment '{name}' runs on Kubeflow; {instead}")
