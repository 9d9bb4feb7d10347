"""axe-core in a page: what a screen reader or somebody with weak sight would stumble over.

axe comes from npm beside the TypeScript compiler (`make client`); it is a tool of tests and is shipped nowhere. The
browser's own tools put it into the page, so the page's policy of content stays as it is.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from feature_repo.checkout import BUILT_CLIENT
from tests.browser.page import Page

FILE = BUILT_CLIENT / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")


@dataclass(frozen=True)
class Finding:
    """One rule that a page breaks, with the first elements that break it."""

    rule: str
    impact: str
    help: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.impact} {self.rule}: {self.help}: {'; '.join(self.places)}"


@cache
def _script() -> str:
    if not FILE.exists():
        pytest.skip("no axe-core; `make client` installs it")
    return FILE.read_text(encoding="utf-8")


def findings(page: Page) -> list[Finding]:
    """Return everything that axe finds on the page, the grave first."""
    page.run(f"if (!window.axe) {{ {_script()} }}; 0")
    asked = "axe.run(document, {resultTypes: ['violations']}).then((found) => JSON.stringify(found.violations))"
    said = page.run(asked, promised=True)
    found = [_finding(one) for one in json.loads(said)]
    return sorted(found, key=lambda one: (one.impact not in GRAVE, one.rule))


def grave(page: Page) -> list[str]:
    """Return what axe calls serious or critical, in a line each."""
    return [str(one) for one in findings(page) if one.impact in GRAVE]


def _finding(one: dict[str, Any]) -> Finding:
    nodes = one["nodes"][:4]
    places = tuple(f"{node['html'][:160]} ({_why(node)})" for node in nodes)
    return Finding(one["id"], str(one["impact"]), one["help"], places)


def _why(node: dict[str, Any]) -> str:
    return "; ".join(check["message"] for kind in ("any", "all", "none") for check in node[kind])[:200]
