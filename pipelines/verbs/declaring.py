"""Begin a spec, read what its fields mean, declare it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.verbs.verb import say, verb

if TYPE_CHECKING:
    from pipelines.environment import Installation


@click.command()
@click.argument("events", type=click.Path(path_type=Path))
@click.option("--items", type=click.Path(path_type=Path), help="table of items, if there is one")
@click.option("--name", default="", help="name of the recommender; default: the events file's")
@click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="CANONICAL=COLUMN",
    help="say which column is which, also several with commas",
)
@click.option("--output", type=click.Path(path_type=Path), help="file to write; default: NAME.yaml beside the events")
@click.option("--force", is_flag=True, help="overwrite the file")
def init(
    events: Path, items: Path | None, name: str, mapping: tuple[str, ...], output: Path | None, force: bool
) -> None:
    """Write a commented spec for your own CSV, JSON lines or parquet, from what it holds; say what that is."""
    from pipelines import init as drafts

    told = drafts.pairs(mapping)
    target, made = drafts.write(events, items, name=name, mapping=told, output=output, force=force)
    click.echo(made.text, err=True)
    for line in made.said:
        click.echo(f"- {line}", err=True)
    click.echo(f"{target}: written; next: intentflow demo {target}")


@click.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="print one JSON document on stdout")
def explain(path: str, as_json: bool) -> None:
    """Say what a field of the spec (data.source.type) or environment (environment.kubeflow.host) means and may hold."""
    from pipelines.reference import lookup

    found = lookup.explain(path)
    say([entry.document() for entry in found], lookup.text(path, found), as_json=as_json)


@verb
@click.option("--refresh", is_flag=True, help="ask Kubeflow, too, what apply would change there")
def plan(place: "Installation", *, refresh: bool) -> tuple[Any, str]:
    """Show what apply and run would change, layer by layer."""
    from pipelines import plan as plans

    found = plans.plan(place)
    if not refresh:
        return found.document(), found.text()
    from pipelines.kubeflow import declare

    there = declare.look(place)
    return found.document() | {"kubeflow": there.document()}, f"{found.text()}\n{there.text()}"


@verb
@click.option("--note", default="", help="on Kubeflow: what is new, for the name of the version that people see")
def apply(place: "Installation", *, note: str) -> tuple[Any, str]:
    """Declare the spec: compile its pipelines, here or on Kubeflow, and remember it as the one that runs."""
    from pipelines import plan as plans

    if place.environment.kubeflow is None:
        found = plans.apply(place)
        return found.document(), found.text()
    from pipelines.graphs import conformance
    from pipelines.kubeflow import declare

    conformance.require()
    there = declare.apply(place, note=note)  # first: what could not be declared there is not remembered here
    found = plans.apply(place)
    return found.document() | {"kubeflow": there.document()}, f"{found.text()}\n{there.text()}"


VERBS = (init, explain, plan, apply)
