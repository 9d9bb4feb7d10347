"""The models as services of their own: real sockets, the same numbers, and an answer whatever happens to them."""

import socket
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import urllib3

from bentos import models, wire
from bentos.endpoints.recommend import RecommendRequest
from bentos.http.bounded_pool import BoundedPool
from bentos.intent import service as intent
from bentos.ranking import service as ranking
from bentos.recommender.service import folding
from bentos.release import Release
from bentos.remote import ModelAway, Remote, RemoteRanker, RemoteScorer
from components.intent.score import IntentScorer
from components.ranking.score import Ranker
from feature_repo.errors import DataError
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.rows import UserRows
from tests.bentos import toy
from tests.bentos.conftest import World, asked, vocabulary
from tests.bentos.sockets import listening
from tests.bentos.test_wire import some_rows

pytestmark = pytest.mark.world


def app_of(release: Release, calls: dict[str, models.Call], *, digest: str | None = None, timeout_s: float = 5) -> Any:
    app = models.create_app("/predict", "/recommend", "/score", "/algorithm")
    pool = BoundedPool(timeout_s=timeout_s, max_concurrency=8, threads=2)
    app.state.model_app = models.ModelApp(release, digest or release.vocabulary, calls, pool)
    return app


def calls_of(world: World, *, wait: threading.Event | None = None) -> dict[str, models.Call]:
    """The tiny models as the services would ask them."""

    def predict(arrays: models.Arrays, said: Any) -> bytes:
        return wire.packed({"probabilities": world.scorer.predict(wire.rows_unpacked(arrays, said))})

    def recommend(arrays: models.Arrays, said: Any) -> bytes:
        if wait is not None:
            wait.wait(5)
        rows, exclude = wire.rows_unpacked(arrays, said), frozenset(arrays["exclude"].tolist())
        found = world.ranker.recommend(rows, arrays["probabilities"], k=said["k"], exclude=exclude)
        items = {"items": np.asarray([o.item_index for o in found]), "scores": np.asarray([o.score for o in found])}
        return wire.packed(items, {"sources": [o.source for o in found], "reasons": [o.reasons for o in found]})

    def score(arrays: models.Arrays, said: Any) -> bytes:
        return wire.packed({"scores": world.ranker.score(None, arrays["probabilities"], arrays["items"])})

    def algorithm(arrays: models.Arrays, said: Any) -> bytes:
        return wire.packed({}, {"algorithm": "network", "chosen": False})

    return {"/predict": predict, "/recommend": recommend, "/score": score, "/algorithm": algorithm}


def remote(url: str, release: Release, *, timeout_s: float = 5.0) -> Remote:
    return replace(Remote.of(url, release), timeout_s=timeout_s)


def ports(world: World, url: str, release: Release, *, timeout_s: float = 5.0) -> None:
    """Give the world's door remote clients in the place of its models."""
    words = vocabulary()
    world.scorer = RemoteScorer(remote(url, release, timeout_s=timeout_s), words)
    world.ranker = RemoteRanker(remote(url, release, timeout_s=timeout_s), words)


def test_the_door_says_the_same_with_its_models_behind_sockets(world: World) -> None:
    world.knows("ann", 3, 1)
    release = world.release()
    here = asked(world.door(), RecommendRequest(user_id="ann", k=5, exclude=["i0"]))
    with listening(app_of(release, calls_of(replace(world)))) as at:
        ports(world, at.url, release)
        there = asked(world.door(), RecommendRequest(user_id="ann", k=5, exclude=["i0"]))
    unlike = {"request_id"}
    assert there.model_dump(exclude=unlike) == here.model_dump(exclude=unlike)


def test_a_ranking_service_that_dies_costs_the_answer_its_rung_and_nothing_more(world: World) -> None:
    world.knows("ann", 1, segment=0)
    release = world.release()
    with listening(app_of(release, calls_of(replace(world)))) as at:
        ports(world, at.url, release)
        door, ask = world.door(), RecommendRequest(user_id="ann", k=2)
        assert asked(door, ask).profile.rung == "fresh"
        at.stop()
        answers = [asked(door, ask) for _ in range(5)]
    assert {(a.profile.rung, a.profile.degraded, a.profile.reason) for a in answers} == {
        ("segment", True, "models_failed")
    }
    assert [item.item_id for item in answers[0].items] == ["i3", "i2"]


def test_a_slow_ranking_service_is_given_up_in_time_and_then_left_alone_for_a_while(world: World) -> None:
    world.knows("ann", 1, segment=0)
    release, go = world.release(), threading.Event()
    tiny = replace(world)
    with (
        listening(app_of(release, calls_of(tiny))) as quick,
        listening(app_of(release, calls_of(tiny, wait=go))) as slow,
    ):
        ports(world, quick.url, release)
        world.ranker = RemoteRanker(remote(slow.url, release, timeout_s=0.1), vocabulary())
        door, seconds = world.door(), []
        for _ in range(6):
            started = time.perf_counter()
            assert asked(door, RecommendRequest(user_id="ann", k=2)).profile.reason == "models_failed"
            seconds.append(time.perf_counter() - started)
        go.set()
    assert max(seconds) < 2
    assert sum(s > 0.09 for s in seconds) == 3, "the breaker spares the others the wait"


def test_another_release_is_refused_at_the_start_and_not_used_later(world: World) -> None:
    release = world.release()
    other = replace(release, id="0123456789ab")
    with listening(app_of(other, calls_of(world))) as at, pytest.raises(DataError, match="serves release 0123456789ab"):
        remote(at.url, release).checked()
    with listening(app_of(other, calls_of(world))) as at, pytest.raises(ModelAway, match="0123456789ab"):
        RemoteScorer(remote(at.url, release), vocabulary()).predict(some_rows(2))
    with (
        listening(app_of(release, calls_of(world), digest="feed")) as at,
        pytest.raises(ModelAway, match="serves vocabulary feed"),
    ):
        RemoteScorer(remote(at.url, release), vocabulary()).predict(some_rows(2))


def test_a_service_that_is_away_at_the_start_is_left_to_the_ladder(world: World) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    release = world.release()
    assert remote(url, release).checked().url == url
    ports(world, url, release)
    door = world.door()
    door.warm_up()
    assert asked(door, RecommendRequest(user_id="ann")).profile.rung == "popular"


def test_a_body_that_is_no_rows_is_refused_in_one_line_without_a_trace(world: World) -> None:
    release = world.release()
    with listening(app_of(release, calls_of(world))) as at:
        for body in (b"", b"\x80\x04pickle", wire.packed({}), wire.packed({"now": np.zeros(3)}, {"users": ["a"]})):
            reply = urllib3.request("POST", at.url + "/predict", body=body, retries=False)
            assert reply.status == 422
            assert reply.json()["error"].startswith("body: ")
            assert b"Traceback" not in reply.data


def test_the_served_models_give_the_scores_of_those_in_process(served_toy: Any) -> None:
    """The real models of a trained toy, through the services' own code and sockets."""
    release = served_toy.release
    here, ranker = IntentScorer.served(release.folder / "intent"), Ranker.served(release.folder / "ranking")
    rows = served_toy.rows
    apps = [app_of(release, dict(part.load(release)[1])) for part in (intent, ranking)]
    with listening(apps[0]) as a, listening(apps[1]) as b:
        scorer, remote_ranker = RemoteScorer.open(a.url, release), RemoteRanker.open(b.url, release)
        probabilities = here.predict(rows)
        np.testing.assert_allclose(scorer.predict(rows), probabilities, atol=1e-6)
        for n in range(len(rows)):
            one, indexes = rows.take(np.asarray([n])), np.asarray([5, 0, 3])
            mine = ranker.recommend(one, probabilities[n], k=6, exclude=frozenset({2}))
            theirs = remote_ranker.recommend(one, probabilities[n], k=6, exclude=frozenset({2}))
            assert [(o.item_index, o.source, o.reasons) for o in mine] == [
                (o.item_index, o.source, o.reasons) for o in theirs
            ]
            np.testing.assert_allclose([o.score for o in mine], [o.score for o in theirs], atol=1e-6)
            np.testing.assert_allclose(
                ranker.score(one, probabilities[n], indexes),
                remote_ranker.score(one, probabilities[n], indexes),
                atol=1e-6,
            )


@dataclass(frozen=True)
class ServedToy:
    release: Release
    rows: UserRows


@pytest.fixture(scope="module")
def served_toy(trained_toy: toy.Toy) -> ServedToy:
    release = Release.load(trained_toy.release)
    words = folding(release, Ranker.served(release.folder / "ranking").vocabulary)
    users = [pseudonym(user, toy.KEY) for user in ("u00", "u01", "u13", "nobody")]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trained_toy.variables.items():
            patch.setenv(name, value)
        rows = OnlineProfiles.open(release.name, words).read(users, now=release.data_end)
    return ServedToy(release, rows)
