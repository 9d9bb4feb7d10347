"""Experiments: arms side by side, interval, verdict, whether users fell as declared, and what may be found."""

import functools
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bentos.console import elsewhere, figures
from bentos.console.chart import Bar, bars
from bentos.console.ports.watch import Experiment, Experiments
from bentos.console.render import render
from bentos.console.settings import ROOT

LITTLE = 0.5  # chance to find the smallest effect below which the page says so


def show(request: Request) -> Response:
    """Show the page."""
    port: Experiments | None = request.app.state.ports.experiments
    return render(
        request,
        "experiments.html.jinja",
        found=None if port is None else port.all(),
        drawn=drawn,
        unit=unit,
        little=LITTLE,
        number=figures.number,
        signed=functools.partial(figures.signed, language=request.state.language),
        relative=relative,
        links=elsewhere.links(request, lambda links: links.versions()),
        of_version=lambda version: elsewhere.links(request, lambda links: links.version(version)),
    )


def unit(one: Experiment) -> str:
    """Return how an experiment's KPI is read: of users who convert in percent, else as an amount a user."""
    return "share" if one.measure == "converted" else "amount"


def relative(one: Experiment, value: float) -> float | None:
    """Return a difference as a share of the control's mean; None where that is 0 or not known."""
    usual = next((arm.mean for arm in one.arms if arm.control), None)
    return value / abs(usual) if usual else None


def drawn(one: Experiment) -> Mapping[str, Bar]:
    """Return the drawing of each arm's interval, on one scale with no difference on it."""
    known = [
        (arm.name, (arm.low, arm.difference, arm.high))
        for arm in one.arms
        if arm.low is not None and arm.difference is not None and arm.high is not None
    ]
    return dict(zip([name for name, _ in known], bars([ends for _, ends in known]), strict=True))


ROUTES = [Route(f"{ROOT}/experiments", show)]
