"""The `intentflow` command. Every verb takes a spec and `--env`; `--json` prints one document on stdout.

Exit codes: 0 done, 2 the user's mistake, 3 a gate or contract said no, 1 a fault of ours or of a server.
Imports stay inside the verbs, so that help and plan are fast.
"""

import errno
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from feature_repo import files
from feature_repo.errors import Refused, ServerError, SpecError, UserError

if TYPE_CHECKING:
    from pipelines.environment import Installation

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, a limit on files
OVERLAYS = "overlay of k8s/overlays that the release goes on; default: the environment's"


class Verbs(click.Group):
    """Lists verbs in the order they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order of definition."""
        return list(self.commands)


@click.group(cls=Verbs)
@click.version_option(package_name="intentflow", prog_name="intentflow")
def cli() -> None:
    """Build, promote, serve and watch the recommender that a spec declares."""


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
        _say(document, text, as_json=as_json)

    return cli.command(function.__name__.rstrip("_"))(run)


@cli.command()
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


@cli.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="print one JSON document on stdout")
def explain(path: str, as_json: bool) -> None:
    """Say what a field of the spec (data.source.type) or environment (environment.kubeflow.host) means and may hold."""
    from pipelines.reference import lookup

    found = lookup.explain(path)
    _say([entry.document() for entry in found], lookup.text(path, found), as_json=as_json)


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


def _here(place: "Installation", verb: str, instead: str) -> None:
    """Refuse a verb that works on what runs left on this machine, where runs are on Kubeflow."""
    if place.environment.kubeflow is not None:
        name = place.environment.name
        raise SpecError(f"{verb}: works on runs of this machine, and environment '{name}' runs on Kubeflow; {instead}")


@verb
@click.option("--user", help="user to recommend for; default: one of the data's")
@click.option("--k", default=5, show_default=True, type=click.IntRange(min=1), help="items to recommend")
def demo(place: "Installation", *, user: str | None, k: int, quiet: bool = False) -> tuple[Any, str]:
    """Do everything: apply, run, release, serve, recommend, watch; then say what came of it."""
    _here(place, "demo", f"`intentflow apply {place.spec_path} --env …`, then `run`; or `--env local`")
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


@verb
@click.option("--version", "which", default="challenger", show_default=True, help="version or alias to promote")
@click.option("--why", default="by hand", show_default=True, help="reason, kept in the registry")
def promote(place: "Installation", *, which: str, why: str) -> tuple[Any, str]:
    """Make a release the champion."""
    from components.registry import aliases, client
    from pipelines.releases import release as releases

    with releases.variables(place):
        done = aliases.promote(place.spec.name, which, who=client.user(), why=why)
    return vars(done), f"champion: version {done.champion} ({done.note})"


@verb
@click.option("--why", default="by hand", show_default=True, help="reason, kept in the registry")
def rollback(place: "Installation", *, why: str) -> tuple[Any, str]:
    """Restore the release before, or a champion that was lost; serving is brought to it at once where it runs."""
    from pipelines.rollout import restore

    done = restore.restore(place, why)
    served = f"; release {done['serving']} serves" if done["serving"] else ""
    return done, f"champion: version {done['champion']} ({done['note']}){served}, in {done['seconds']:.1f} s"


@verb
@click.option("--version", "which", default="champion", show_default=True, help="version or alias to release")
@click.option("--overlay", help=OVERLAYS)
def release(place: "Installation", *, which: str, overlay: str | None) -> tuple[Any, str]:
    """Fetch a release from the registry, build its Bento, write its Kubernetes manifests."""
    from pipelines.releases import release as releases

    found = releases.release(place, which, overlay=overlay, check=True)
    return found.document(), found.text()


@verb
@click.option("--port", default=3000, show_default=True)
def serve(place: "Installation", *, port: int) -> tuple[Any, str]:
    """Serve the champion over HTTP until interrupted."""
    from pipelines.releases import release as releases
    from pipelines.releases import serving

    code = serving.foreground(place, releases.release(place), port=port)
    if code not in (0, -15):
        raise ServerError(f"serve: the server ended with {code}; its log is under {place.home / 'serving'}")
    return {"stopped": True}, "stopped"


@verb
@click.option("--user", required=True, help="user id, as in your data")
@click.option("--k", type=click.IntRange(min=1), help="items wanted; default: the spec's serving.k")
def recommend(place: "Installation", *, user: str, k: int | None) -> tuple[Any, str]:
    """Ask the service for recommendations; starts one for the question if none runs."""
    from bentos.client import Recommender, Unanswered
    from pipelines.releases import release as releases
    from pipelines.releases import serving
    from pipelines.runs import report

    with serving.asked(place, releases.release(place)) as url, Recommender(url) as client:
        try:
            answer = client.recommend(user, k=k).model_dump(mode="json")
        except Unanswered as refusal:
            raise SpecError(str(refusal)) from None
    return answer, report.answer_text(user, answer, did=place.spec.verb, step=place.spec.data.step)


@verb
@click.option(
    "--calibrate", is_flag=True, help="replay the history instead: false alarms, power by planted fault, floors"
)
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="copy the page of the day there")
def monitor(place: "Installation", *, calibrate: bool = False, page: Path | None = None) -> tuple[Any, str]:
    """Compare the last served window, or the test weeks, with the training weeks, and judge the newest period."""
    _here(place, "monitor", "`intentflow run … --pipeline retrain` looks for drift there")
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
    _here(place, "quality", "`intentflow job quality` measures it there")
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


@cli.command()
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
    _say(found.document(), found.text(), as_json=as_json)


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


@verb
@click.option("--leaks", is_flag=True, help="look in the last run for features that knew their future, instead")
@click.option("--security", is_flag=True, help="hold files, keys, ports and manifests to docs/security.md, instead")
@click.option("--users", default=200, show_default=True, type=click.IntRange(1), help="users whose rows --leaks checks")
@click.option("--cutoffs", default=2, show_default=True, type=click.IntRange(1), help="weeks that --leaks checks")
@click.option("--seed", default=0, show_default=True, help="which users and weeks --leaks draws")
def doctor(
    place: "Installation", *, leaks: bool, security: bool, users: int, cutoffs: int, seed: int, quiet: bool = False
) -> tuple[Any, str]:
    """Check this machine, the environment's servers and the state folder; with --leaks, the last run's data."""
    from pipelines import doctor as doctors

    if leaks and security:
        raise SpecError("doctor: --leaks and --security are two examinations; give one of them")
    if leaks:
        _here(place, "doctor --leaks", "run with `--env local` on a copy of the data to look for leaks")
        return _leaks(place, users=users, cutoffs=cutoffs, seed=seed, quiet=quiet)
    found = _security(place) if security else doctors.examine(place)
    bad = [c for c in found if c.fine is False]
    document, text = [vars(c) for c in found], doctors.text(found)
    if bad:
        _say(document, text, as_json=quiet)
        raise ServerError(f"doctor: {len(bad)} of {len(found)} checks failed")
    return document, text


def _security(place: "Installation") -> Any:
    from pipelines import security_checks

    return security_checks.examine(place)


def _leaks(place: "Installation", *, users: int, cutoffs: int, seed: int, quiet: bool) -> tuple[Any, str]:
    from pipelines import doctor as doctors
    from pipelines.leakage.rebuild import Sample
    from pipelines.runs.progress import Bars

    with Bars(quiet=quiet) as bars:
        found = doctors.watertight(place, Sample(users=users, cutoffs=cutoffs, seed=seed), observe=bars.show)
    if not found.missed and not found.findings.real:
        return found.document(), found.text()
    _say(found.document(), found.text(), as_json=quiet)
    if found.missed:
        raise ServerError(f"doctor --leaks: missed its own planted leaks ({'; '.join(found.missed)}): trust no verdict")
    count = len(found.findings.real)
    raise Refused(f"doctor --leaks: {count} leak{'s' * (count > 1)}; mend the features, then run again")


@verb
@click.option("--watch", is_flag=True, help="go on until interrupted, instead of one turn")
@click.option("--every", "every_s", default=2.0, show_default=True, type=click.FloatRange(0.1, 3600), help="seconds")
def reconcile(place: "Installation", *, watch: bool, every_s: float) -> tuple[Any, str]:
    """Have serving follow the champion alias: shadow, canary, promote or roll back."""
    from pipelines.rollout import loop

    found = loop.reconcile(place, watch=watch, every_s=every_s, say=lambda line: click.echo(line, err=True))
    return found.document(), found.text()


@verb
@click.option("--release", "release_id", help="release id; default: the champion's")
@click.option("--sample", default=200, show_default=True, type=click.IntRange(1), help="logged answers, the newest")
def parity(place: "Installation", *, release_id: str | None, sample: int) -> tuple[Any, str]:
    """Replay logged answers through the offline path, score by score and feature by feature."""
    from pipelines.answers import parity as replay

    found = replay.parity(place, release_id, sample=sample)
    if not found["passed"]:
        raise Refused(f"parity{'' if found['checked'] else ' not checked'}: {found['reason']}")
    return found, replay.text(found)


@verb
def rewards(place: "Installation") -> tuple[Any, str]:
    """Make the table of what users did with what they were shown, by the KPIs of policy.rewards."""
    from pipelines import rewards as tables

    found = tables.rewards(place)
    return found.document(), found.text()


@verb
@click.option("--user", help="user id, as in your data; it is hashed before anything")
@click.option("--at", help="when the answer was given, ISO 8601; default: the latest")
@click.option("--request", "request_id", help="the answer's request_id, instead")
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), help="draw the intents' causes, an SVG file"
)
def why(
    place: "Installation", *, user: str | None, at: str | None, request_id: str | None, picture: Path | None
) -> tuple[Any, str]:
    """Say which release, features, events and scores produced an answer, and what its intents rest on."""
    from pipelines.answers import explain as reasons

    found = reasons.why(place, user=user, at=at, request_id=request_id, picture=picture)
    return found, reasons.text(found)


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--env", "environment", default="local", show_default=True, help="environment, by name or file")
def mcp(spec: Path, environment: str) -> None:
    """Let an assistant read what runs here, by the Model Context Protocol on stdin and stdout; with a key, change."""
    from pipelines.assistants import server

    server.serve(spec, environment)


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--env", "environment", default="local", show_default=True, help="environment, by name or file")
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on; others need keys")
@click.option("--port", default=7080, show_default=True, help="port to listen on")
def console(spec: Path, environment: str, host: str, port: int) -> None:
    """Serve web pages to see and steer what runs here: people, rules, experiments, releases, drift."""
    from pipelines.console import server

    server.serve(spec, environment, host=host, port=port)


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


def _say(document: Any, text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str) if as_json else text)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    files.private_from_now()
    try:
        cli.main(args=arguments, standalone_mode=False)
    except (UserError, Refused, ServerError) as error:
        click.echo(f"intentflow: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"intentflow: {error.format_message()}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in FULL:
            raise
        click.echo(f"intentflow: no room to write: {error}; free some, then run it again", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("intentflow: interrupted; a re-run goes on from the last finished step", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
