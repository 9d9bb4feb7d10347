"""Find groups, texts and items in what a run left."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.verbs.verb import verb

if TYPE_CHECKING:
    from pipelines.environment import Installation


@verb
@click.option("--output", type=click.Path(path_type=Path), help="file to write; default: stdout")
@click.option("--method", default="kmeans", show_default=True, type=click.Choice(["kmeans", "hdbscan"]), help="how")
@click.option("--unit", default="item", show_default=True, type=click.Choice(["item", "step"]), help="of behaviours")
@click.option("--groups", type=click.IntRange(2, 100), help="of K-means; default: as many as the data tell apart")
@click.option("--min-users", default=20, show_default=True, type=click.IntRange(5), help="behind whatever is said")
@click.option(
    "--themes", type=click.Path(path_type=Path), help="CSV to write: each item's group, as a column for items"
)
def discover(
    place: "Installation", *, output: Path | None, method: Any, unit: Any, groups: int | None, min_users: int,
    themes: Path | None,
) -> tuple[Any, str]:  # fmt: skip
    """Propose intents and segments from the texts of what people act on in the last run's data."""
    from pipelines.discovery import discover as finds

    asked = finds.Asked(method, unit, groups, min_users)
    return finds.discover(place, asked, output=output, themes=themes, say=lambda line: click.echo(line, err=True))


@verb
@click.option("--output", required=True, type=click.Path(path_type=Path), help="CSV to write, and to go on with")
@click.option("--seconds", default=600.0, show_default=True, type=click.FloatRange(1), help="how long it may ask")
def summaries(place: "Installation", *, output: Path, seconds: float) -> tuple[Any, str]:
    """Have the language model sum up items' texts, for the vectors that `vectors.text.summaries` makes of them."""
    from pipelines.discovery import summaries as summed

    return summed.make(place, output, seconds=seconds, say=lambda line: click.echo(line, err=True))


@verb
@click.argument("words")
@click.option("--k", default=10, show_default=True, type=click.IntRange(1, 1000), help="items wanted")
@click.option("--expand", is_flag=True, help="let the language model add words of the catalogue's own texts")
def find(place: "Installation", *, words: str, k: int, expand: bool) -> tuple[Any, str]:
    """Find items in the last run whose texts are near to some words."""
    from pipelines.discovery import find as finds

    return finds.find(place, words, k=k, expand=expand, say=lambda line: click.echo(line, err=True))


VERBS = (discover, summaries, find)
