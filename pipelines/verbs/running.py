"""Run pipelines, here or on Kubeflow, and everything in one."""

import sys
from typing import TYPE_CHECKING, Any

import click

from feature_repo.errors import Refused, SpecError
from pipelines.verbs.verb import require_here, verb

if TYPE_CHECKING:
    from pipelines.environment import Installation


@verb
@click.option("--pipeline", default="train", show_default=True, help="train, batch (score all), retrain or policy")
@click.option("--mode", help="who promotes this time: auto, manual or dry_run; default: the spec's promotion.mode")
@click.option("--note", help="why this run, in a few words; kept with what it promotes")
@click.option("--no-wait", "--detach", "detach", is_flag=True, help="on Kubeflow: submit, print the page, and leave")
def run(
    place: "Installation", *, pipeline: str, mode: str | None, note: str | None, detach: bool, quiet: bool = False
) -> tuple[Any, str]:
    """Run a pipeline; by default training: contract, profiles, models, gates, promotion, drift."""
    from pipelines.graphs import index
    from pipelines.runs import local
    from pipelines.runs.progress import Bars

    form = index.pipeline(pipeline).changed({"mode": mode, "note": note})
    if place.environment.kubeflow is not None:
        return _run_there(place, pipeline=pipeline, form=form, detach=detach, quiet=quiet)
    if detach:
        raise SpecError(f"--no-wait: environment '{place.environment.name}' runs pipelines in this process")
    with Bars(quiet=quiet) as bars:
        found = local.run(place, bars.show, pipeline=pipeline, form=form)
    if not found.trained or found.passed:
        return found.document(), found.text()
    text = "\n".join([found.text(), *_to_edit(place, found.held_places)])
    if found.baseline_serves:
        return found.document(), text
    click.echo(text, err=True)
    if found.dry:
        said = f"did not pass ({found.verdict}), nothing was registered"
        raise Refused(f"gates: the dry run's models {said}: {found.refused}")
    raise _held_back(found.release_version, found.verdict, baseline=found.baseline)


@verb
@click.option("--rows", required=True, help="folder of training rows as the pods of the TrainingRuntime see it")
@click.option("--parallel", default=2, show_default=True, type=click.IntRange(1, 64), help="trials at once")
def experiment(place: "Installation", *, rows: str, parallel: int) -> tuple[Any, str]:
    """Print the spec's search as a Katib Experiment over TrainJobs, for `kubectl apply -f -`."""
    from pipelines.kubeflow import experiment as experiments

    found = experiments.rendered(place, rows=rows, parallel=parallel)
    return found, experiments.text(found)


@verb
@click.argument("action", type=click.Choice(["start", "status", "stop"]))
@click.argument("name", default="")
@click.option("--why", default="by hand", show_default=True, help="of stop: reason, kept in the registry")
def experiments(place: "Installation", *, action: str, name: str, why: str) -> tuple[Any, str]:
    """Compare releases on users, as the spec declares: start NAME, status, stop; `reconcile` does the work."""
    from pipelines import experiments as tried

    found = tried.act(place, action, name, why=why)
    return found, tried.text(found)


def _held_back(version: str, word: str, *, baseline: str = "") -> Refused:
    """Say that a release's gates hold it back."""
    said = f"gates: version {version} did not pass ({word})"
    if baseline:
        return Refused(f"{said}; a baseline waits, `intentflow promote --version {baseline}` lets it serve")
    return Refused(f"{said}; `intentflow status` shows each gate")


def _to_edit(place: "Installation", held: list[str]) -> list[str]:
    """Say where in the spec the gates stand that held a release back."""
    from pipelines import spec_lines

    return [f"To edit: {spec_lines.to_edit(place.spec_path, place.spec, one)}" for one in held]


def _run_there(
    place: "Installation", *, pipeline: str, form: dict[str, Any], detach: bool, quiet: bool
) -> tuple[Any, str]:
    """Submit and follow on Kubeflow; whoever interrupts stops watching only."""
    from pipelines.kubeflow import submit
    from pipelines.runs.progress import Bars

    pages: list[str] = []

    def say(page: str) -> None:
        pages.append(page)
        click.echo(page, err=True)

    try:
        with Bars(quiet=quiet) as bars:
            found = submit.run(place, bars.show, pipeline=pipeline, form=form, wait=not detach, say=say)
    except KeyboardInterrupt:
        if not pages:
            raise
        click.echo(f"intentflow: stopped watching; the run goes on: {pages[0]}", err=True)
        sys.exit(130)
    return found.document(), found.text()


@verb
@click.option("--user", help="user to recommend for; default: one of the data's")
@click.option("--k", default=5, show_default=True, type=click.IntRange(min=1), help="items to recommend")
def demo(place: "Installation", *, user: str | None, k: int, quiet: bool = False) -> tuple[Any, str]:
    """Do everything: apply, run, release, serve, recommend, watch; then say what came of it."""
    require_here(place, "demo", f"`intentflow apply {place.spec_path} --env …`, then `run`; or `--env local`")
    from pipelines.runs import demo as demos
    from pipelines.runs import report

    found = demos.demo(place, user=user, k=k, quiet=quiet)
    made = found["release"]
    edit = _to_edit(place, found.get("held", []))
    if not made["passed"] and not made.get("baseline"):
        click.echo("\n".join([report.text(found), *edit]), err=True)
        raise _held_back(made["version"], made["verdict"], baseline=found.get("waits", ""))
    here = f"Report     {place.home / report.FILE}"
    uis = "\n".join(f"  {name:<12} {url}" for name, url in found["uis"].items())
    start = f"UIs        `intentflow up {place.spec_path}` (or `make up`) opens them, `down` stops them:"
    return found, "\n".join([report.text(found), *edit, here, start, uis])


VERBS = (run, experiment, experiments, demo)
