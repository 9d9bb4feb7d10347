"""What doors shipped to a store is what rewards and parity count on a cluster."""

import dataclasses
import datetime as dt
import json
import os
import subprocess
import time
import urllib.request

import pytest

from bentos.recommender.logs import shipping
from feature_repo.logs import object_store, shipped_log
from feature_repo.update import Event
from pipelines.answers import parity
from pipelines.environment import place
from pipelines.environment_spec import Kubernetes, Requests
from pipelines.jobs import run
from pipelines.jobs.merge import merge
from pipelines.rollout import rewards
from pipelines.rollout.actuator import Rewarded
from tests.patience import patient
from tests.pipelines.jobs.conftest import NOW, answer, closed

MOTO = os.environ.get("INTENTFLOW_MOTO", "")  # a moto_server, an S3 of this machine


@pytest.fixture
def shipping_shop(shop, tmp_path):
    """A shop whose doors ship to a folder, with one closed file of the champion's answers."""
    at = place(shop.spec, "local", variables=shop.environment())
    said = {"requests": Requests(url=f"file://{tmp_path}"), "kubernetes": Kubernetes(namespace="intentflow")}
    there = dataclasses.replace(at, environment=at.environment.model_copy(update=said))
    report = json.loads((shop.home / "report.json").read_text())
    return there, str(report["release"]["id"]), tmp_path


def test_rewards_join_shipped_answers_with_the_events_that_the_store_keeps(shipping_shop, shop):
    from bentos.release import Release
    from components.profiles.online import materialise
    from feature_repo import files
    from feature_repo.online import erase
    from feature_repo.online.profiles import OnlineProfiles
    from pipelines.releases.release import variables

    at, release, folder = shipping_shop
    models = at.home / "releases" / release / "models"
    vocabulary = files.read_json(models / "release.json")["vocabulary"]
    with variables(at):
        user, other = sorted(u for u in erase.users(at.spec.name) if len(u) == 16)[:2]
        profiles = OnlineProfiles.open(at.spec.name, materialise.folding(materialise.published(at.home, vocabulary)))
        now = int(time.time())
        item = Release.load(models).vocabulary and profiles.folding.vocabulary.items[0]
        profiles.push(user, [Event(str(item), "purchase", now + 5, "s", key="reward")])
        wall = (dt.datetime.now(dt.UTC) - dt.timedelta(days=2)).isoformat()
        shown = {"logged_at": wall, "now": now, "items": [{"item_id": str(item), "position": 1}]}
        lines = [answer(n, user=u, release=release, **shown) for n, u in enumerate((user, other))]
        closed(folder / "host", "2026-03-08.00000.parquet", [*lines, answer(7, user=user, release="another", **shown)])
        found = rewards.rewarded_of_store(at, {release: models}, since_s=time.time() - 3 * 86400)
        erase.erase(at.spec.name, [user])  # the shop is others' as well
    run.run(place(shop.spec, "local", variables=shop.environment()), "materialise")
    assert found == {release: Rewarded(shown=2, acted=1)}


def test_parity_replays_what_was_shipped_and_says_what_it_did_not_check(shipping_shop):
    at, release, folder = shipping_shop
    assert "nothing to replay" in parity.parity(at, release)["reason"]
    from feature_repo.logs import request_log

    logged = [line for line in request_log.read(at.home / "requests") if line["release"] == release]
    closed(folder / "host", "2026-03-08.00000.parquet", logged)
    found = parity.parity(at, release)
    assert found["passed"]
    assert found["checked"] > 0
    assert "features were not recomputed: the pods' newest events are not in the store" in found["reason"]
    broken = [dict(line, probabilities=[p + 0.5 for p in line["probabilities"]]) for line in logged]
    closed(folder / "host", "2026-03-08.00000.parquet", broken)
    assert not parity.parity(at, release)["passed"]


@pytest.mark.slow
@pytest.mark.skipif(not MOTO, reason="INTENTFLOW_MOTO names no moto_server; its dependencies contradict the lock")
def test_s3_takes_files_whole_and_merges_them(tmp_path, monkeypatch):
    port = 45171
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with subprocess.Popen([MOTO, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL) as server:
        try:
            _bucket(port)
            url = f"s3://log/shop?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
            paths = [closed(tmp_path, f"2026-03-08.0000{n}.parquet", [answer(n)]) for n in range(3)]
            for path in paths:
                shipping.send(path, url)
                shipping.send(path, url)
            store = object_store.opened(url)
            assert len(store.files(".parquet")) == 3
            assert merge(store, now=NOW, settle_hours=2).answers == 3
            assert [entry.name for entry in store.files("")] == ["2026-03-08.day.parquet"]
            shipping.send(paths[0], url)
            assert len(list(shipped_log.read(store))) == 3
            assert merge(store, now=NOW, settle_hours=2).files == 1
        finally:
            server.terminate()


def _bucket(port):
    deadline = time.monotonic() + patient(60)
    while True:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/log", method="PUT")
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2)
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
