"""Three real services of one release: Bentos, processes, sockets, and a ranker that is killed."""

import socket
from collections.abc import Iterator

import psutil
import pytest
import requests

from bentos.build import build
from bentos.client import Recommender
from bentos.serve import Serving, serve
from monitoring.observability import metrics_catalogue
from tests.bentos import toy
from tests.monitoring.observability.exposition import exported
from tests.patience import patient

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def services(trained_toy: toy.Toy) -> Iterator[dict[str, Serving]]:
    """The door with its models in its own process, `apart` with them behind sockets, and the two models."""
    running: dict[str, Serving] = {}
    try:
        for name in ("intent", "ranking", "recommender"):
            tag = build(trained_toy.release, home=trained_toy.home, service=name)
            running[name] = serve(tag, port=free_port(), env=trained_toy.variables)
        urls = {f"INTENTFLOW_{name.upper()}_URL": running[name].url for name in ("intent", "ranking")}
        running["apart"] = serve(tag, port=free_port(), env=trained_toy.variables | urls)
        yield running
    finally:
        for one in running.values():
            one.stop()


def test_apart_they_say_the_same_and_without_the_ranker_an_answer_still_comes(services: dict[str, Serving]) -> None:
    whole, apart = Recommender(services["recommender"].url), Recommender(services["apart"].url)
    for user in ("u00", "u01", "u13", "nobody"):
        mine, theirs = whole.recommend(user, k=8), apart.recommend(user, k=8)
        assert [(i.item_id, i.source, i.reasons) for i in mine.items] == [
            (i.item_id, i.source, i.reasons) for i in theirs.items
        ]
        assert [i.score for i in mine.items] == pytest.approx([i.score for i in theirs.items], abs=1e-6)
        assert [i.probability for i in mine.intents] == pytest.approx([i.probability for i in theirs.intents], abs=1e-6)
        assert mine.profile == theirs.profile
    for name in ("intent", "ranking"):
        seen = exported(requests.get(f"{services[name].url}/metrics", timeout=patient(10)).text)
        for metric in metrics_catalogue.of("models"):
            assert seen[metric.name] == (metric.kind, set(metric.labels)), (name, metric.name)
    parent = psutil.Process(services["ranking"].process.pid)
    for one in [parent, *parent.children(recursive=True)]:  # BentoML's worker leads a group of its own
        one.kill()
    for _ in range(20):
        answer = apart.recommend("u00", k=3)
        assert len(answer.items) == 3
        assert (answer.profile.rung, answer.profile.reason) == ("segment", "models_failed")
