"""The catalogue says what the processes' own metric objects say; tests of the services hold it to running ones too."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bentos.endpoints import schemas
from bentos.endpoints.events import Accepted
from bentos.endpoints.intents import Intents
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.shipping import ShippingStatus
from bentos.recommender.metrics import Metrics as DoorMetrics
from bentos.router.counts import Metrics as RouterMetrics
from bentos.router.routes import STABLE
from components.content.llm.store import Cost
from components.registry import heartbeats
from monitoring.observability import metrics_catalogue
from monitoring.observability.metrics_catalogue import Metric
from pipelines.rollout.metrics import LoopMetrics
from pipelines.rollout.state import ReleaseRef, State
from tests.bentos.conftest import World
from tests.monitoring.observability.exposition import differences, exported


def whole(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


def door_text(folder, release) -> str:
    registry = CollectorRegistry()
    metrics = DoorMetrics(release, registry=registry)
    metrics.answered("/recommend", 200, seconds=0.01)
    metrics.refused_at_door("/recommend", 401)
    metrics.counted(Accepted(release="r", request_id="q", accepted=2, duplicates=1, noted={"a rule": 1}))
    profile = schemas.Profile(
        rung="popular", state_at=None, age_days=3.0, segment=None, degraded=True, reason="store_away"
    )
    metrics.counted(Intents(release="r", request_id="q", intents=[], profile=profile))
    metrics.in_flight.labels("reads").inc()
    metrics.shed.labels("reads").inc()
    metrics.unlogged.inc()
    metrics.beyond("caller", 3)
    metrics.text("template@2", "late")
    metrics.ordered("late", Cost())
    metrics.logs_seen(ShippingStatus(size_bytes=9, sent=2, waiting=1, waiting_since=5.0, failed=True), EventLog(folder))
    return whole(registry)


def router_text() -> str:
    metrics = RouterMetrics()
    metrics.attempt(STABLE, "aaa", 200, endpoint="/recommend", seconds=0.01)
    metrics.side("mirror", "answered")
    metrics.retried("refused")
    metrics.own.labels("503").inc()
    metrics.popular_answered("aaa")
    metrics.popular_asked("confirmed")
    return whole(metrics.registry)


def loop_text() -> str:
    metrics = LoopMetrics("shop")
    began = State(phase="canary", stable=ReleaseRef("1", "aaa"), candidate=ReleaseRef("2", "bbb"), since=1000.0)
    metrics.reconciled(began)
    metrics.reconciled(State(stable=ReleaseRef("1", "aaa"), last={"version": "2", "result": "rolled_back"}))
    metrics.waited()
    lost = {"at": 50, "verdict": "lost", "share": 0.5, "drifted": 2, "lost": ["a"], "compared": 4, "release": "1"}
    metrics.show({heartbeats.DRIFT: lost | {"alarms": ["events.volume"]}})
    metrics.show({heartbeats.SIGNALS: {"at": 50, "starts": "", "figures": {"rewards.rate": [0.5, 9]}}})
    metrics.show(
        {
            heartbeats.DRIFT: lost | {"lost": ["spend"], "class": "data_fault", "alarms": ["events.null.value"]},
            heartbeats.SIGNALS: {"at": 60, "starts": "", "figures": {"labels.ratio.buy": [0.4, 320]}},
            heartbeats.NOTICE: {"at": 60, "problem": "no one listens"},
            heartbeats.QUALITY: {"at": 60, "reason": "none", "figures": {}},
            heartbeats.RETRAINING: {"at": 60, "action": "nothing", "stopped": True},
            "job.train": {"succeeded": 10, "failed": 20, "seconds": 3.5},
        }
    )
    return whole(metrics.registry)


@pytest.fixture
def texts(tmp_path) -> dict[str, str]:
    return {
        "door": door_text(tmp_path / "events", World(tmp_path).release()),
        "router": router_text(),
        "loop": loop_text(),
    }


def test_what_a_process_can_export_is_in_the_catalogue_and_nothing_else_is(texts):
    for source, text in texts.items():
        assert list(differences(text, metrics_catalogue.of(source))) == []
        assert {metric.name for metric in metrics_catalogue.of(source)} == set(exported(text)), source


def test_a_metric_that_is_missing_and_a_label_that_is_wrong_are_named(texts):
    known = [Metric("intentflow_router_own", "counter", "router", "", ("status",))]
    found = list(differences(texts["router"], known))
    assert "intentflow_router_side is not in the catalogue" in found
    assert "intentflow_router_own is a counter by ['code'], in the catalogue counter by ('status',)" in found


def test_labels_of_ours_do_not_collide_with_those_of_a_target_except_the_one_that_monitors_keep():
    targets = {*metrics_catalogue.TARGET, "endpoint"}  # Prometheus Operator adds the port's name as `endpoint`
    ours = {label for source in ("door", "router", "loop") for m in metrics_catalogue.of(source) for label in m.labels}
    assert ours & targets == {"endpoint"}, "k8s/components/monitoring/monitors.yaml keeps it: honorLabels"


def test_a_release_is_a_value_of_a_loops_metric(texts):
    lines = texts["loop"].splitlines()
    assert 'intentflow_rollout_release_info{recommender="shop",release="aaa",role="stable",version="1"} 1.0' in lines
    assert 'intentflow_rollout_ended_total{recommender="shop",result="rolled_back"} 1.0' in lines
    assert 'intentflow_rollout_phase{phase="idle",recommender="shop"} 1.0' in lines
    assert 'intentflow_rollout_phase_since_timestamp_seconds{recommender="shop"} 0.0' in lines
    assert 'intentflow_drift_verdict{recommender="shop",verdict="lost"} 1.0' in lines
    assert 'intentflow_drift_verdict{recommender="shop",verdict="drifted"} 0.0' in lines
    assert [line for line in lines if line.startswith("intentflow_drift_lost{")] == [
        'intentflow_drift_lost{column="spend",recommender="shop"} 1.0'  # and no column of the check before
    ]
    assert [line for line in lines if line.startswith(("intentflow_drift_signal{", "intentflow_signal_"))] == [
        'intentflow_drift_signal{recommender="shop",signal="events.null.value"} 1.0',
        'intentflow_signal_value{recommender="shop",signal="labels.ratio.buy"} 0.4',
        'intentflow_signal_users{recommender="shop",signal="labels.ratio.buy"} 320.0',
    ]
    assert 'intentflow_drift_class{reason="data_fault",recommender="shop"} 1.0' in lines
    assert 'intentflow_drift_class{reason="none",recommender="shop"} 0.0' in lines
    assert 'intentflow_drift_untold{recommender="shop"} 1.0' in lines
    assert 'intentflow_retraining_stopped{recommender="shop"} 1.0' in lines
    assert 'intentflow_job_failed_timestamp_seconds{recommender="shop",task="train"} 20.0' in lines


def test_a_mark_of_0_1_without_enough_data_is_undecided():
    metrics = LoopMetrics("shop")
    old = {"at": 50, "verdict": "no_data", "share": 0.0, "drifted": 0, "compared": 0, "release": "1"}
    metrics.show({heartbeats.DRIFT: old})
    assert 'intentflow_drift_verdict{recommender="shop",verdict="undecided"} 1.0' in whole(metrics.registry)


@pytest.mark.parametrize(
    ("verdict", "reason"), [("drifted", "world"), ("lost", "data_fault"), ("no_data", "undecided"), ("stable", "none")]
)
def test_a_mark_that_names_no_class_has_that_of_its_verdict(verdict, reason):
    metrics = LoopMetrics("shop")
    metrics.show({heartbeats.DRIFT: {"at": 50, "verdict": verdict, "share": 0.0, "drifted": 0, "compared": 0}})
    shown = [line for line in whole(metrics.registry).splitlines() if line.startswith("intentflow_drift_class{")]
    assert [line for line in shown if line.endswith(" 1.0")] == [
        f'intentflow_drift_class{{reason="{reason}",recommender="shop"}} 1.0'
    ]
