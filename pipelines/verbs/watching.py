"""Watch drift and quality, do scheduled jobs, see and start what runs here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from feature_repo import files
from feature_repo.errors import ServerError, SpecError
from pipelines.verbs.verb import require_here, say, verb

if TYPE_CHECKING:
    from pipelines.environment import Installation


@verb
@click.option(
    "--calibrate", is_flag=True, help="replay the history instead: false alarms, power by planted fault, floors"
)
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="copy the page of the day there")
def monitor(place: "Installation", *, calibrate: bool = False, page: Path | None = None) -> tuple[Any, str]:
    """Compare the last served window, or the test weeks, with the training weeks, and judge the newest period."""
    require_here(place, "monitor", "`intentflow run … --pipeline retrain` looks for drift there")
    from pipelines.jobs import drift_calibration, drift_check

    if calibrate and page is not None:
        raise SpecError("monitor: --calibrate writes no page of the day; give --page or --calibrate, not both")
    if calibrate:
        replayed = drift_calibration.calibrate(place, say=lambda line: click.echo(line, err=True))
        return replayed.document(), replayed.text()
    found = drift_check.check(place)
    if page is not None:
        with files.written(page) as part:
            part.write_text(Path(found["today"]).read_text(encoding="utf-8"), encoding="utf-8")
    return found, f"drift: {found['verdict']}" + (f" ({found['reason']})" if found.get("reason") else "")


@verb
def quality(place: "Installation") -> tuple[Any, str]:
    """Tell what answers turned out to be worth, once the labels of their users are ripe."""
    require_here(place, "quality", "`intentflow job quality` measures it there")
    from pipelines.jobs import quality as jobs

    found = jobs.look(place)
    return found, jobs.text(found)


@verb
@click.option("--resume", is_flag=True, help="let retraining go on after it stopped itself")
def retraining(place: "Installation", *, resume: bool) -> tuple[Any, str]:
    """Show what retraining decided and what became of each training."""
    from pipelines import retraining as retrainings

    found = retrainings.resume(place) if resume else retrainings.shown(place)
    return found, retrainings.text(found)


@click.command()
@click.argument("name")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--env", "environment", default="local", show_default=True, help="environment, by name or file")
@click.option("--version", default="", help="of materialise: this version's vocabulary only")
@click.option("--json", "as_json", is_flag=True, help="print one JSON document on stdout")
def job(name: str, spec: Path, environment: str, version: str, as_json: bool) -> None:
    """Do one job that schedules ask for: monitor, quality, materialise, score, compact or audiences; once at a time."""
    from pipelines.environment import place
    from pipelines.jobs import run

    found = run.run(place(spec, environment), name, version=version)
    say(found.document(), found.text(), as_json=as_json)


@verb
def status(place: "Installation") -> tuple[Any, str]:
    """Show which versions hold which alias, their gates, and what runs on this machine."""
    from pipelines import status as statuses

    found = statuses.status(place)
    return found, statuses.text(found)


@verb
@click.option("--port", default=3000, show_default=True, help="port of the service")
def up(place: "Installation", *, port: int) -> tuple[Any, str]:
    """Start the service, the console and the UIs of MLflow, Feast and Evidently in the background."""
    from pipelines.releases import release as releases
    from pipelines.releases import serving

    states = serving.up(place, releases.release(place), port=port)
    first = next((f"{s.url}/start" for s in states if s.name == "console" and s.state != "failed"), "")
    if failed := [s for s in states if s.state == "failed"]:
        what = "; ".join(f"{s.name}: {s.reason}" for s in failed)
        raise ServerError(f"{what}; {first} names what runs" if first else what)
    lines = [f"{s.name:<12} {s.state:<8} {s.url}" for s in states]
    return [vars(s) for s in states], "\n".join([*lines, f"\nBegin at {first}"])


@verb
def down(place: "Installation") -> tuple[Any, str]:
    """Stop what up started."""
    from pipelines.releases import processes

    states = processes.down(place.home)
    text = "\n".join(f"{s.name:<12} {s.state}" for s in states) or "nothing was running"
    return [vars(s) for s in states], text


VERBS = (monitor, quality, retraining, job, status, up, down)
