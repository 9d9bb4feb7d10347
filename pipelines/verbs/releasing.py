"""Promote, release and serve, and ask the service."""

from typing import TYPE_CHECKING, Any

import click

from feature_repo.errors import ServerError, SpecError
from pipelines.verbs.verb import verb

if TYPE_CHECKING:
    from pipelines.environment import Installation

OVERLAYS = "overlay of k8s/overlays that the release goes on; default: the environment's"


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


VERBS = (promote, rollback, release, serve, recommend)
