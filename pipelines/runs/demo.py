"""The whole job on one machine: apply, run, release, ask, report. What `make demo` calls."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from components.data.ingest import example_user
from feature_repo.privacy.pseudonyms import KEY, pseudonym
from pipelines import plan
from pipelines.environment import Installation
from pipelines.releases import processes, release, serving, uis
from pipelines.runs import local, report, texts
from pipelines.runs.progress import Bars


def demo(place: Installation, *, user: str | None, k: int, quiet: bool) -> dict[str, Any]:
    """Do everything that is not done yet and return the report, which is also on file.

    Where gates hold the release back and another one is the champion, nothing is asked: the report then tells of the
    models and the gates alone, and no file is written. Where none was, a baseline serves and is asked.
    """
    seconds: dict[str, float] = {}
    with Bars(quiet=quiet) as bars:
        plan.apply(place)
        run = local.run(place, bars.show)
        if not run.passed and not run.baseline_serves:
            return report.build(place, run, None, None, user="", urls={}, seconds=seconds)
        with _timed(seconds, "release", bars):
            released = release.release(place)
        asked = user or example_user(place.spec.data, place.spec_path.absolute().parent)
        with _timed(seconds, "serve", bars):
            answer = _ask(place, released, user=asked, k=k)
        answered: dict[str, Any] = {"first_answer_s": _seconds_of_process()}
        with _timed(seconds, "texts", bars):
            answered["texts"] = texts.of(place, released, answer)
    urls = _places(place)
    found = report.build(place, run, released, answer, user=asked, urls=urls, seconds=seconds) | answered
    report.write(place.home, found | {"user": pseudonym(asked, place.variables[KEY])})  # raw ids stay on the screen
    return found


def _ask(place: Installation, released: release.ReleasedFiles, *, user: str, k: int) -> dict[str, Any]:
    from bentos.client import Recommender

    with serving.asked(place, released) as url, Recommender(url) as client:
        return client.recommend(user, k=k).model_dump(mode="json")


def _seconds_of_process() -> float:
    """Return the seconds since this process began: what the user who started it has waited."""
    return round(time.time() - float(psutil.Process().create_time()), 1)


def _places(place: Installation) -> dict[str, str]:
    """Say where each UI is: the address it runs at, or the one that `up` will give it."""
    with release.variables(place):
        known = {p.name: p.url for p in uis.uis(place.home, name=place.spec.name, environ=place.variables)}
    return known | {s.name: s.url for s in processes.status(place.home) if s.state == "running"}


@contextmanager
def _timed(seconds: dict[str, float], step: str, bars: Bars) -> Iterator[None]:
    bars.show({"step": step, "share": 0.0})
    start = time.monotonic()
    yield
    seconds[step] = round(time.monotonic() - start, 2)
    bars.show({"step": step, "share": 1.0, "seconds": seconds[step]})
