"""docs/client.md: its examples run, against the door over tiny models on a real socket."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bentos.endpoints.operations import OPERATIONS
from bentos.http.bounded_pool import BoundedPool
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.metrics import Metrics
from tests.bentos.conftest import TinyRanker, TinyScorer, World
from tests.bentos.recommender.item_shop import shop
from tests.bentos.sockets import listening
from tests.patience import patient

pytestmark = pytest.mark.process

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "client.md").read_text()
IDS = {"1082185": "i1", "995242": "i0", '"brand"': '"kind"'}  # of the page, of the tiny world


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def stocked(world: World) -> None:
    """Give the world's items a category and a price, as the page's have, and a log in which people change them."""
    words = shop()
    words = replace(words, items=words.items.append_column("kind", words.items["category"]))
    world.scorer, world.ranker, world.documents = TinyScorer(words), TinyRanker(words), world.log()


@pytest.fixture
def url(world: World) -> Iterator[str]:
    world.knows("1", 1)
    door = world.door()
    reads, writes = BoundedPool(timeout_s=5, max_concurrency=4), BoundedPool(timeout_s=5, max_concurrency=2, threads=1)
    app = create_app()
    app.state.opened = DoorContext(door, reads, writes, Metrics(door.release, registry=CollectorRegistry()), {})
    with listening(app) as at:
        yield at.url
    reads.close()
    writes.close()
    door.close()


def here(text: str, url: str) -> str:
    for theirs, ours in IDS.items():
        text = text.replace(theirs, ours)
    return text.replace("http://localhost:3000", url).replace("localhost:3000", url)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_every_endpoint_has_a_curl_example_that_answers(stocked: None, url: str) -> None:
    asked = set()
    for block in blocks("bash"):
        command = here(block, url)
        done = subprocess.run(
            ["sh", "-ec", f"{command}"], capture_output=True, text=True, timeout=patient(20), check=True
        )
        (path,) = re.findall(re.escape(url) + r"(/\w+)", command)
        asked.add(path)
        if "text/event-stream" in command:
            assert done.stdout.count("event: item") == 2
            assert done.stdout.count("event: done") == 1
        else:
            endpoint = next(e for e in OPERATIONS if e.path == path)
            endpoint.contract.answers.model_validate(json.loads(done.stdout))
    assert asked == {endpoint.path for endpoint in OPERATIONS}


def test_the_python_example_runs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("python")
    exec(compile(here(block, url), "docs/client.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "pear {'intent': 0.5}",
        "apple {'intent': 0.5}",
        "pear. Kind: fruit. It fits what you may do next: buy FRUIT (50%).",
        "422 item_id",
    ]
