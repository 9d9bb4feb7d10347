"""The console's pages: a file, a template and a line here each. Nothing registers itself."""

from dataclasses import dataclass

from starlette.routing import Route

from bentos.console.pages import changes, drift, experiments, home, people, releases, rules, start
from bentos.console.settings import ROOT


@dataclass(frozen=True)
class Page:
    """A page that the navigation names."""

    name: str  # its words are `frame.<name>`
    path: str
    routes: list[Route]


PAGES = (
    Page("home", ROOT, home.ROUTES),
    Page("start", start.PATH, start.ROUTES),
    Page("people", f"{ROOT}/people", people.ROUTES),
    Page("rules", f"{ROOT}/rules", rules.ROUTES),
    Page("experiments", f"{ROOT}/experiments", experiments.ROUTES),
    Page("releases", f"{ROOT}/releases", releases.ROUTES),
    Page("drift", f"{ROOT}/drift", drift.ROUTES),
    Page("changes", f"{ROOT}/changes", changes.ROUTES),
)
