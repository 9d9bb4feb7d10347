"""Check this machine, what is served and why, and what it brought."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from feature_repo.errors import Refused, ServerError, SpecError
from pipelines.verbs.verb import require_here, say, verb

if TYPE_CHECKING:
    from pipelines.environment import Installation


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
        require_here(place, "doctor --leaks", "run with `--env local` on a copy of the data to look for leaks")
        return _leaks(place, users=users, cutoffs=cutoffs, seed=seed, quiet=quiet)
    found = _security(place) if security else doctors.examine(place)
    bad = [c for c in found if c.fine is False]
    document, text = [vars(c) for c in found], doctors.text(found)
    if bad:
        say(document, text, as_json=quiet)
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
    say(found.document(), found.text(), as_json=quiet)
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


VERBS = (doctor, reconcile, parity, rewards, why)
