"""A real Prometheus scrapes a real door, a real router and the loop's exporter: rules are healthy, queries answer.

Targets carry the labels that Prometheus Operator adds, `endpoint` among them, which is also a label of ours.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from bentos.build import build
from bentos.router import start
from bentos.router.routes import Backend, Routes
from bentos.serve import serve
from components.registry import heartbeats
from feature_repo import env_names
from monitoring.observability import prometheus_rules
from monitoring.observability.panels import BOARDS
from monitoring.observability.recording_rules import recorded
from pipelines.releases.processes import free_port
from pipelines.rollout import metrics
from pipelines.rollout.state import ReleaseRef, Seen, State
from tests.bentos import toy
from tests.monitoring.observability import promql
from tests.patience import patient

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus"),
]
# What does not come about here: failures, keys, files that are closed after a quarter of an hour, and other programs'.
NOT_HERE = {
    "intentflow_degraded_total", "intentflow_refused_total", "intentflow_shed_total", "intentflow_events_noted_total",
    "intentflow_router_retries_total", "intentflow_router_popular_answers_total",
    "kube_job_status_failed", "kube_pod_container_status_restarts_total",
    "bentoml_service_request_duration_seconds_bucket",
}  # fmt: skip


class Where:
    """As much of a place as the loop's metrics ask of one."""

    def __init__(self, port: int) -> None:
        self.outside = {metrics.ADDRESS: f"127.0.0.1:{port}"}
        self.spec = self
        self.name = "toy"


@contextmanager
def router(folder: Path, door: str) -> Iterator[str]:
    port, routes = free_port(0), folder / "routes.json"
    first, second = Backend(release="aaa", url=door), Backend(release="bbb", url=door)
    start.write(routes, Routes(rollout="r1", mode="shadow", mirror=1.0, stable=first, candidate=second))
    environment = start.environment(routes, token="t" * 32, port=port)
    process = subprocess.Popen(start.command(), env={**_plain(), **environment}, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: start.observe(start.url(port)) is not None, 60)
        yield start.url(port)
    finally:
        process.terminate()
        process.wait(patient(20))


@contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[str]:
    groups = [group | {"interval": "1s"} for group in prometheus_rules.groups()]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    jobs = [
        {
            "job_name": name,
            "honor_labels": True,  # as the PodMonitors say
            "static_configs": [{"targets": [url.removeprefix("http://")], "labels": _labels(name)}],
        }
        for name, url in targets.items()
    ]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump({"global": every, "rule_files": ["rules.yml"], "scrape_configs": jobs})
    )
    port = free_port(0)
    command = [str(PROMETHEUS), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
               f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _until(lambda: _ready(port), 60)
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()
        process.wait(patient(20))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prometheus' API, after some seconds of requests."""
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        made = toy.copied(tmp_path_factory)
        bounded = json.dumps({"bounds": {"server": "6/minute"}})  # most of the events that are sent go beyond it
        variables = made.variables | {"INTENTFLOW_SHADOW_TOKEN": "t" * 32, env_names.SERVING: bounded}
        door = serve(build(made.release, home=made.home), port=free_port(0), env=variables)
        stack.callback(door.stop)
        port = free_port(0)
        loop = stack.enter_context(metrics.exported(Where(port)))
        routed = stack.enter_context(router(folder, door.url))
        urls = {"recommender": door.url, "router": routed, "reconciler": f"http://127.0.0.1:{port}"}
        found = stack.enter_context(prometheus(folder, urls))
        _talk(routed, loop)
        yield found


def _talk(url: str, loop: metrics.LoopMetrics) -> None:
    """Have users ask for a while, and the loop go through a canary."""
    now = time.time()
    loop.show(
        {
            heartbeats.DRIFT: {
                "at": now,
                "verdict": "faulty",
                "class": "data_fault",
                "alarms": ["events.null.value"],
                "share": 0.5,
                "drifted": 2,
                "compared": 4,
                "release": "1",
            },
            heartbeats.NOTICE: {"at": now, "problem": "HTTP 503"},
            heartbeats.SIGNALS: {"at": now, "figures": {"rewards.rate": [0, 400], "labels.ratio.buy": [0.3, 400]}},
            heartbeats.QUALITY: {"at": now, "reason": "performance", "figures": {"quality.ctr": [0, 400]}},
            heartbeats.RETRAINING: {"at": now, "stopped": True},
            "job.train": {"succeeded": now - 60, "failed": now, "seconds": 9.0},
            "job.materialise": {"succeeded": now - 60},
        }
    )
    stable, candidate = ReleaseRef("1", "aaa"), ReleaseRef("2", "bbb")
    for turn in range(24):
        seen = Seen(sums={"candidate.requests": float(turn)})
        canary = State(phase="canary", stable=stable, candidate=candidate, since=now, seen=seen)
        loop.reconciled(canary if turn < 12 else State(stable=candidate, last={"version": "2", "result": "promoted"}))
        loop.waited()
        for user in ("u00", "u01", "nobody"):
            requests.post(f"{url}/recommend", json={"user_id": user}, timeout=patient(20)).raise_for_status()
        event = {"user_id": "u00", "item_id": "i02", "event": "purchase"}
        requests.post(f"{url}/events", json={"events": [event]}, timeout=patient(20))
        requests.post(f"{url}/events", json={"events": []}, timeout=patient(20))  # 4xx
        requests.post(f"{url}/livez", timeout=patient(20))  # the router's own 405
        time.sleep(0.5)
    loop.reconciled(State(phase="canary", stable=stable, candidate=candidate, since=now))
    time.sleep(6)  # the thread beside the request log looks every 5 s


def test_every_rule_is_healthy(api: str) -> None:
    groups = requests.get(f"{api}/rules", timeout=patient(10)).json()["data"]["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) == sum(len(group["rules"]) for group in prometheus_rules.groups())
    assert [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"] == []


def test_every_recorded_series_is_there(api: str) -> None:
    empty = {rule.record for rule in recorded() if not ask(api, rule.record)}
    assert empty == set()
    (share,) = ask(api, 'intentflow:slo_bad:ratio_rate5m{slo="availability"}')
    assert (share["metric"]["namespace"], float(share["value"][1])) == ("shop", 0.0)


def test_alerts_fire_for_what_is_so(api: str) -> None:
    firing = {alert["metric"]["alertname"] for alert in ask(api, 'ALERTS{alertstate=~"firing|pending"}')}
    learnt = {"IntentFlowDataFault", "IntentFlowDriftUntold", "IntentFlowRetrainingStopped", "IntentFlowJobFailed",
              "IntentFlowPerformance"}  # fmt: skip
    silent = {"IntentFlowRewardZero", "IntentFlowLabelsFew", "IntentFlowEventsUnwelcome"}
    assert learnt | silent <= firing
    assert not firing & {"IntentFlowDrift", "IntentFlowEventsQuiet"}
    assert not firing & {"IntentFlowDown", "IntentFlowAvailabilityBurn", "IntentFlowTargetDown"}


def test_every_panel_has_series(api: str) -> None:
    asked = [(panel.title, query.expr) for board in BOARDS for row in board.rows for panel in row.panels
             for query in panel.queries]  # fmt: skip
    empty = {}
    for title, expr in asked:
        query = promql.filled(expr)
        failed = "5.." in query or 'outcome="failed"' in query
        if not ask(api, query) and not promql.series(query) & NOT_HERE and not failed:
            empty[title] = query
    assert empty == {}


def test_a_label_of_ours_is_not_overwritten(api: str) -> None:
    found = {one["metric"].get("endpoint") for one in ask(api, "intentflow_requests_total")}
    assert {"/recommend", "/events"} <= found
    assert ask(api, "{exported_endpoint!=''}") == []


def ask(api: str, query: str) -> list[dict[str, Any]]:
    reply = requests.get(f"{api}/query", params={"query": query}, timeout=patient(10)).json()
    assert reply["status"] == "success", f"{query}: {json.dumps(reply)}"
    return list(reply["data"]["result"])


def _labels(job: str) -> dict[str, str]:
    return {"namespace": "shop", "pod": f"{job}-1", "container": job, "endpoint": "http"}


def _plain() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("INTENTFLOW_")}


def _ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/-/ready", timeout=2).ok
    except requests.RequestException:
        return False


def _until(true: Any, within_s: float) -> None:
    deadline = time.monotonic() + patient(within_s)
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
