"""The loop exports what it knows, on the address that the environment names."""

import urllib.request

import pytest

from feature_repo.errors import ServerError, SpecError
from monitoring.observability import metrics_catalogue
from pipelines.releases.processes import free_port
from pipelines.rollout import metrics
from pipelines.rollout.state import ReleaseRef, Seen, State
from tests.monitoring.observability.exposition import differences


class Where:
    """As much of a place as the metrics ask of one."""

    def __init__(self, address: str) -> None:
        self.outside = {metrics.ADDRESS: address}
        self.spec = self
        self.name = "shop"


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        return reply.read().decode()


def test_a_rollout_is_seen_from_outside_and_the_port_is_free_again_afterwards():
    port = free_port(0)
    seen = Seen(sums={"candidate.requests": 40.0, "candidate.errors": 2.0})
    state = State(
        phase="canary", stable=ReleaseRef("3", "aaa"), candidate=ReleaseRef("4", "bbb"), step=1, since=5.0, seen=seen
    )
    for _ in range(2):
        with metrics.exported(Where(f"127.0.0.1:{port}")) as found:
            found.reconciled(state)
            text = scraped(port)
    lines = text.splitlines()
    assert list(differences(text, metrics_catalogue.of("loop"))) == []
    assert 'intentflow_rollout_phase{phase="canary",recommender="shop"} 1.0' in lines
    assert 'intentflow_rollout_phase{phase="shadow",recommender="shop"} 0.0' in lines
    assert 'intentflow_rollout_phase_since_timestamp_seconds{recommender="shop"} 5.0' in lines
    assert 'intentflow_rollout_step{recommender="shop"} 2.0' in lines
    assert 'intentflow_rollout_seen{arm="candidate",recommender="shop",what="errors"} 2.0' in lines
    assert 'intentflow_rollout_release_info{recommender="shop",release="bbb",role="candidate",version="4"} 1.0' in lines


def test_a_candidate_that_is_gone_is_gone_from_the_metrics():
    found = metrics.LoopMetrics("shop")
    found.reconciled(State(phase="shadow", stable=ReleaseRef("3", "aaa"), candidate=ReleaseRef("4", "bbb")))
    found.reconciled(State(stable=ReleaseRef("3", "aaa")))
    value = found.registry.get_sample_value
    gone = {"recommender": "shop", "role": "candidate", "release": "bbb", "version": "4"}
    assert value("intentflow_rollout_release_info", gone) is None


def test_only_what_ends_while_the_loop_runs_is_counted():
    found = metrics.LoopMetrics("shop")
    ended = State(last={"version": "3", "result": "promoted"})
    for state in (ended, ended, State(last={"version": "4", "result": "rolled_back"})):
        found.reconciled(state)
    value = found.registry.get_sample_value
    labels = {"recommender": "shop", "result": "rolled_back"}
    assert value("intentflow_rollout_ended_total", labels) == 1.0
    assert value("intentflow_rollout_ended_total", labels | {"result": "promoted"}) is None


def test_marks_are_looked_at_now_and_then(monkeypatch):
    asked = []
    monkeypatch.setattr(metrics.heartbeats, "read", lambda name: asked.append(name) or {"job.train": {"succeeded": 7}})
    found = metrics.LoopMetrics("shop")
    found.marked()
    found.marked()
    assert asked == ["shop"]
    labels = {"recommender": "shop", "task": "train"}
    assert found.registry.get_sample_value("intentflow_job_succeeded_timestamp_seconds", labels) == 7.0


def test_what_realised_quality_says_is_exported_beside_the_signals():
    found = metrics.LoopMetrics("shop")
    value = found.registry.get_sample_value
    mark = {"reason": "performance", "figures": {"quality.ctr": [0.0, 400]}}
    found.show({"quality": mark, "signals": {"figures": {"labels.ratio.buy": [0.9, 300]}}})
    assert value("intentflow_quality_fell", {"recommender": "shop"}) == 1.0
    for signal, users in (("quality.ctr", 400.0), ("labels.ratio.buy", 300.0)):
        assert value("intentflow_signal_users", {"recommender": "shop", "signal": signal}) == users
    found.show({"quality": {"reason": "none"}})
    assert value("intentflow_quality_fell", {"recommender": "shop"}) == 0.0
    assert value("intentflow_signal_value", {"recommender": "shop", "signal": "quality.ctr"}) is None


def test_nobody_listens_where_nobody_asked():
    with metrics.exported(Where("")) as found:
        found.waited()
    assert found.registry.get_sample_value(
        "intentflow_rollout_turns_total", {"recommender": "shop", "outcome": "waiting"}
    ) == 1.0  # fmt: skip


@pytest.mark.parametrize("address", ["8086", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_one_line(address):
    with pytest.raises(SpecError, match=r"INTENTFLOW_METRICS: '.*' is no host:port; give one, such as"):
        metrics.exported(Where(address)).__enter__()


def test_a_port_that_is_taken_is_one_line():
    port = free_port(0)
    with metrics.exported(Where(f"127.0.0.1:{port}")), pytest.raises(ServerError, match="cannot listen"):
        metrics.exported(Where(f"127.0.0.1:{port}")).__enter__()
