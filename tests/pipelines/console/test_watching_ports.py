"""The ports of what watches, over a shop whose demo has run: what pages say is what the registry and the logs hold."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.console.ports import Ports
from feature_repo.errors import Refused
from feature_repo.logs import request_log
from pipelines import experiments as verb
from pipelines.console import drift, experiments, kpis, links
from pipelines.environment import Installation, place
from tests.console.test_home_page import page, words
from tests.pipelines.conftest import USER, Shop

pytestmark = pytest.mark.process  # the shop's demo starts some


@pytest.fixture(scope="module")
def where(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return a copy of the shop, with an experiment declared, in an environment that names addresses of the tools."""
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(shop.folder, folder / "shop")
    text = shop.spec.read_text().replace(str(shop.folder), str(folder / "shop"))
    (folder / "shop" / "shop.yaml").write_text(text + EXPERIMENT)
    local = (Path(verb.__file__).parent / "environments" / "local.yaml").read_text()
    (folder / "env.yaml").write_text(local + "\nlinks: {mlflow: 'https://mlflow.example'}\n")
    before = dict(os.environ)
    yield place(
        folder / "shop" / "shop.yaml",
        str(folder / "env.yaml"),
        variables={**os.environ, "INTENTFLOW_STATE": str(folder / "shop" / "state")},
    )
    os.environ.clear()
    os.environ.update(before)


ASKED = "recommend"
EXPERIMENT = """
experiments:
  - name: explorer
    arms: [{name: control, release: champion, share: 0.5}, {name: other, release: challenger, share: 0.5}]
    kpi: {event: purchase}
"""


def test_the_overview_names_what_serves_and_the_share_of_the_catalogue_that_was_shown(
    shop: Shop, where: Installation
) -> None:
    champion = shop.aliases()["champion"]
    port = kpis.port(lambda: where)
    found = {one.name: one for one in port.tiles(90).tiles}
    assert found["coverage"].n == 16
    log = request_log.read(where.home / "requests")
    seen = {item["item_id"] for one in log if not one["mirrored"] for item in one["items"] if one["endpoint"] == ASKED}
    assert seen
    assert found["coverage"].value == len(seen) / 16
    assert found["ctr"].value is None
    standing = port.standing()
    assert (standing.version, standing.unknown) == (champion, "")
    assert standing.since
    html = page(Ports(kpis=port, links=links.port(lambda: where)))
    assert USER not in html
    assert f'href="https://mlflow.example/#/models/{where.spec.name}-release/versions/{champion}"' in html
    assert 'href="https://mlflow.example/#/experiments/' in html


def test_declared_experiments_are_shown_and_one_without_a_loop_cannot_start(where: Installation) -> None:
    (found,) = experiments.port(lambda: where).all()
    assert (found.name, found.state, [one.version for one in found.arms]) == (
        "explorer",
        "declared",
        ["champion", "challenger"],
    )
    with pytest.raises(Refused, match="nothing serves yet"):
        verb.act(where, "start", "explorer")
    assert "explorer declared, not started" in words(
        page(Ports(experiments=experiments.port(lambda: where)), "/console/experiments")
    )


def test_drift_is_the_run_s_own_check(where: Installation) -> None:
    found = drift.watched(where)
    assert found.checked
    assert found.verdict in ("stable", "drifted", "undecided", "faulty", "lost")
    assert found.checks
    assert found.checks[0].verdict == found.verdict
    html = page(Ports(drift=drift.port(lambda: where), links=links.port(lambda: where)), "/console/drift")
    assert found.headline.en in words(html)
