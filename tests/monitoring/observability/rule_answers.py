"""Worlds of series with the alerts that the rules give of them, by hand."""

from typing import Any


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    """One input series, a value a minute: "0+60x120" grows by 60 for two hours."""
    inside = ",".join(f'{key}="{value}"' for key, value in {"namespace": "shop", **labels}.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


def world(about: str, *inputs: dict[str, str], **asked: dict[str, object]) -> dict[str, object]:
    """One test: what is seen, and at which time ("at_90m") which alerts fire, with their value of `by`."""
    expected = []
    for at, firing in asked.items():
        names = "|".join(firing["of"])
        by = firing.get("by", "alertname")
        expected.append(
            {
                "expr": f'sum by ({by}) (ALERTS{{alertname=~"{names}",alertstate="firing"}})',
                "eval_time": at.removeprefix("at_"),
                "exp_samples": [{"labels": f'{{{by}="{value}"}}', "value": 1} for value in firing["fire"]],
            }
        )
    return {"name": about, "interval": "1m", "input_series": list(inputs), "promql_expr_test": expected}


def burns(*fire: str) -> dict[str, object]:
    return {"of": ["IntentFlowAvailabilityBurn"], "by": "long", "fire": list(fire)}


def fires(*names: str, of: tuple[str, ...] = ()) -> dict[str, object]:
    return {"of": list(of or names), "fire": list(names)}


def answered(per_minute: float, minutes: int, code: str = "200", **more: str) -> dict[str, str]:
    labels = {"arm": "stable", "release": "aaa", "code": code, "endpoint": "/recommend"} | more
    return series("intentflow_router_requests_total", f"0+{per_minute}x{minutes}", **labels)


FINE = series("intentflow_router_routes_broken", "0x600", pod="r")


SINCE = "intentflow_rollout_phase_since_timestamp_seconds"


GOOD_AT, BAD_AT = "intentflow_job_succeeded_timestamp_seconds", "intentflow_job_failed_timestamp_seconds"


def timed(namespace: str) -> list[dict[str, str]]:
    """An hour and a half of answers, of which a third takes .25 to .5 s."""
    counts = {"count": ("0+60x90", {}), "bucket": ("0+40x90", {"le": "0.25"}), "bucket ": ("0+60x90", {"le": "0.5"})}
    return [
        series(f"intentflow_request_seconds_{name.strip()}", values, endpoint="/rank", namespace=namespace, **bound)
        for name, (values, bound) in counts.items()
    ]


def feed(about: str, events: str, *, reads: str = "0+10x1560", labels: dict[str, str] | None = None, **asked: Any):
    """One test of a day and two hours in which users are answered and events of theirs come, or do not."""
    return world(
        about,
        series("intentflow_release_info", "1x1560", release="aaa"),
        series("intentflow_requests_total", reads, endpoint="/recommend", code="200", release="aaa"),
        series("intentflow_events_total", events, **(labels or {"outcome": "accepted"})),
        **asked,
    )


SILENCE = ("IntentFlowEventsQuiet", "IntentFlowRewardZero", "IntentFlowLabelsFew", "IntentFlowEventsUnwelcome")


DRIFTS = ("IntentFlowDataFault", "IntentFlowDrift", "IntentFlowPerformance", "IntentFlowColumnLost")


def judged(reason: str, verdict: str) -> list[dict[str, str]]:
    """Return what the loop exports of a check."""
    classes = ("data_fault", "world", "performance", "none", "undecided")
    return [
        series("intentflow_drift_verdict", "1x20", recommender="a", verdict=verdict),
        *(series("intentflow_drift_class", f"{int(one == reason)}x20", recommender="a", reason=one) for one in classes),
    ]


def valued(signal: str, value: float, users: int) -> list[dict[str, str]]:
    """Return what the loop exports of a signal."""
    return [
        series("intentflow_signal_value", f"{value}x20", recommender="a", signal=signal),
        series("intentflow_signal_users", f"{users}x20", recommender="a", signal=signal),
    ]


FEEDS = {
    "rule_files": ["rules.yml"],
    "evaluation_interval": "5m",  # a day and more: every minute of it takes minutes
    "tests": [
        feed(
            "events end after a day while people are answered",
            "0+5x1440 7200x120",
            at_24h=fires(of=SILENCE), at_26h=fires("IntentFlowEventsQuiet", of=SILENCE),
        ),
        feed(
            "a night: both are a twentieth of the day's",
            "0+40x1440 57600+2x120", reads="0+80x1440 115200+4x120",
            at_26h=fires(of=SILENCE),
        ),
        feed(
            "the shop's events come from files: none was ever sent",
            "0+3x1560", labels={"outcome": "duplicate"},
            at_26h=fires(of=SILENCE),
        ),
        feed(
            "forty reads in the last hour: too few to say",
            "0+5x1440 7200x120", reads="0+10x1440 14400+0.5x120",
            at_26h=fires(of=SILENCE),
        ),
    ],
}  # fmt: skip


SILENT = {
    "rule_files": ["rules.yml"],
    "evaluation_interval": "1m",
    "tests": [
        world(
            "one call in ten is refused as malformed; elsewhere three calls an hour are",
            series("intentflow_release_info", "1x60", release="aaa"),
            series("intentflow_requests_total", "0+18x60", endpoint="/events", code="200", release="aaa"),
            series("intentflow_requests_total", "0+2x60", endpoint="/events", code="422", release="aaa"),
            series("intentflow_requests_total", "0+0.05x60", endpoint="/events", code="401", namespace="other"),
            at_9m=fires(of=SILENCE), at_20m=fires("IntentFlowEventsUnwelcome", of=SILENCE),
        ),
        world(
            "nobody acted on any answer, and a third of the labels came",
            *valued("rewards.rate", 0, 400), *valued("labels.ratio.buy", 0.33, 400),
            at_10m=fires("IntentFlowLabelsFew", "IntentFlowRewardZero", of=SILENCE),
        ),
        world(
            "the same on a cluster, where realised quality says it",
            *valued("quality.ctr", 0, 400), *valued("quality.came", 0.33, 400),
            at_10m=fires("IntentFlowLabelsFew", "IntentFlowRewardZero", of=SILENCE),
        ),
        world(
            "the same of thirty users: too few to say",
            *valued("rewards.rate", 0, 30), *valued("labels.ratio.buy", 0.33, 30),
            at_10m=fires(of=SILENCE),
        ),
        world(
            "rewards and labels as predicted",
            *valued("rewards.rate", 0.02, 400), *valued("labels.ratio.buy", 1.04, 400),
            at_10m=fires(of=SILENCE),
        ),
        world("a fault of the data", *judged("data_fault", "faulty"), at_10m=fires("IntentFlowDataFault", of=DRIFTS)),
        world("the world moved", *judged("world", "drifted"), at_10m=fires("IntentFlowDrift", of=DRIFTS)),
        world("models do worse", *judged("performance", "drifted"), at_10m=fires("IntentFlowPerformance", of=DRIFTS)),
        world(
            "realised quality fell while the signals are calm",
            *judged("none", "stable"), series("intentflow_quality_fell", "1x20", recommender="a"),
            at_10m=fires("IntentFlowPerformance", of=DRIFTS),
        ),
        world("all is calm", *judged("none", "stable"), at_10m=fires(of=DRIFTS)),
        world(
            "a lost column is told by its name alone",
            *judged("data_fault", "lost"), series("intentflow_drift_lost", "1x20", recommender="a", column="spend"),
            at_10m=fires("IntentFlowColumnLost", of=DRIFTS),
        ),
        world(
            "a verdict did not reach its address, and retraining stopped; another recommender's did neither",
            series("intentflow_drift_untold", "1x20", recommender="a"),
            series("intentflow_retraining_stopped", "1x20", recommender="a"),
            series("intentflow_drift_untold", "0x20", recommender="b", namespace="other"),
            series("intentflow_retraining_stopped", "0x20", recommender="b", namespace="other"),
            at_10m=fires("IntentFlowDriftUntold", "IntentFlowRetrainingStopped"),
        ),
    ],
}  # fmt: skip


OWN_BOUND = {
    "rule_files": ["rules.yml"],
    "evaluation_interval": "1m",
    "tests": [
        world(
            "two shops answer alike and only one has rules; the door of the other is no door of that one",
            *timed("shop"), *timed("other"),
            series("intentflow_release_info", "1x90", release="aaa", namespace="other"),
            at_59m=fires("IntentFlowDown"),
            at_1h={"of": ["IntentFlowLatencyBurn"], "by": "long", "fire": ["1h", "6h", "1d", "3d"]},
        ),
    ],
}  # fmt: skip


CASES = {
    "rule_files": ["rules.yml"],
    "evaluation_interval": "1m",
    "tests": [
        world(
            "2 % of the answers fail: every speed of burning",
            FINE, answered(980, 300), answered(20, 300, "500"),
            at_2h=burns("1h", "6h", "1d", "3d"),
        ),
        world(
            "0.4 % fail: too fast for a month, not for a pager",
            FINE, answered(996, 300), answered(4, 300, "503"),
            at_4h=burns("1d", "3d"),
        ),
        world(
            "0.05 % fail: half of the budget",
            FINE, answered(9995, 300), answered(5, 300, "500"),
            at_4h=burns(),
        ),
        world(
            "an outage of ten minutes that is over: the short windows let go one after the other",
            FINE, answered(900, 300),
            series("intentflow_router_own_total", "0x60 100+100x10 1100x240", code="503"),
            at_71m=burns("1h", "6h", "1d", "3d"),
            at_77m=burns("6h", "1d", "3d"),
            at_102m=burns("1d", "3d"),
        ),
        world(
            "three requests an hour, and all fail: too few to say",
            FINE, answered(0.05, 300, "500"),
            at_4h=burns(),
        ),
        world(
            "a candidate fails and stable answers instead: no user sees it",
            FINE, answered(1000, 300), answered(100, 300, "500", arm="candidate"),
            series("intentflow_router_retries_total", "0+100x300", reason="500"),
            at_2h=burns(),
        ),
        world(
            "every door is away for an hour, one says 503, and the router answers: degraded, and no read failed",
            FINE, answered(0, 60), answered(50, 60, "503"),
            series("intentflow_router_retries_total", "0+50x60", reason="503"),
            series("intentflow_router_popular_answers_total", "0+500x60", release="aaa"),
            series("intentflow_release_info", "1x60", release="aaa"),
            at_1m=fires(of=("IntentFlowDoorsAway",)),
            at_5m=fires("IntentFlowDoorsAway", of=("IntentFlowDoorsAway", "IntentFlowDegraded")),
            at_50m=fires("IntentFlowDoorsAway", "IntentFlowDegraded", of=("IntentFlowDoorsAway", "IntentFlowDegraded")),
            at_58m=burns(),
        ),
        world(
            "doors without a router count themselves",
            series("intentflow_release_info", "1x300", release="aaa"),
            series("intentflow_requests_total", "0+980x300", endpoint="/rank", code="200", release="aaa"),
            series("intentflow_requests_total", "0+20x300", endpoint="/rank", code="500", release="aaa"),
            at_2h=burns("1h", "6h", "1d", "3d"),
        ),
        world(
            "a mirrored request that fails is no user's, where a router stands",
            FINE, answered(1000, 300),
            series("intentflow_release_info", "1x300", release="bbb"),
            series("intentflow_requests_total", "0+500x300", endpoint="/rank", code="500", release="bbb"),
            at_2h=burns(),
        ),
        world(
            "one answer in twenty takes longer than half a second",
            series("intentflow_router_door_seconds_count", "0+1000x300", arm="stable", endpoint="/recommend"),
            series("intentflow_router_door_seconds_bucket", "0+950x300", arm="stable", endpoint="/recommend", le="0.5"),
            at_3h={"of": ["IntentFlowLatencyBurn"], "by": "long", "fire": ["1d", "3d"]},
        ),
        world(
            "the profile store is away: answers are degraded, events refused",
            series("intentflow_release_info", "1x60", release="aaa"),
            series("intentflow_profile_rung_total", "0+60x60", rung="popular"),
            series("intentflow_degraded_total", "0+60x60", reason="store_away"),
            series("intentflow_requests_total", "0+9x60", endpoint="/events", code="200", release="aaa"),
            series("intentflow_requests_total", "0+1x60", endpoint="/events", code="503", release="aaa"),
            at_9m=fires("IntentFlowEventsRefused", of=("IntentFlowDegraded", "IntentFlowEventsRefused")),
            at_20m=fires("IntentFlowDegraded", "IntentFlowEventsRefused"),
        ),
        world(
            "half of the profiles are stale for more than an hour",
            series("intentflow_release_info", "1x120", release="aaa"),
            series("intentflow_profile_rung_total", "0+60x120", rung="stale"),
            series("intentflow_profile_rung_total", "0+60x120", rung="fresh"),
            at_50m=fires(of=("IntentFlowStaleProfiles",)),
            at_90m=fires("IntentFlowStaleProfiles"),
        ),
        world(
            "a rollout in one phase for 30 minutes and more; one that is idle",
            series(SINCE, "600x120", recommender="a"),
            series(SINCE, "0x120", recommender="b", namespace="other"),
            series("intentflow_rollout_turn_timestamp_seconds", "0+60x60 3600x60", recommender="a"),
            at_30m=fires(of=("IntentFlowRolloutStuck", "IntentFlowLoopStopped")),
            at_50m=fires("IntentFlowRolloutStuck", of=("IntentFlowRolloutStuck", "IntentFlowLoopStopped")),
            at_80m=fires("IntentFlowRolloutStuck", "IntentFlowLoopStopped"),
        ),
        world(
            "drift, and a check that did not come for nine days",
            series("intentflow_drift_verdict", "0x10 1x20", recommender="a", verdict="drifted"),
            series("intentflow_drift_checked_timestamp_seconds", f"{-9 * 86400}x40", recommender="a"),
            at_5m=fires(of=("IntentFlowDrift",)),
            at_15m=fires("IntentFlowDrift", "IntentFlowDriftUnchecked"),
        ),
        world(
            "one column that lost its values, beside one that did not",
            series("intentflow_drift_lost", "_x5 1x20", recommender="a", column="spend"),
            series("intentflow_drift_verdict", "0x5 1x20", recommender="a", verdict="lost"),
            at_2m=fires(of=("IntentFlowDrift", "IntentFlowColumnLost")),
            at_10m=fires("IntentFlowColumnLost", of=("IntentFlowDrift", "IntentFlowColumnLost")),
        ),
        world(
            "a job that failed after it had succeeded, one that never succeeded, one that failed and was mended",
            *(series(BAD_AT, "100x20", recommender="a", task=task) for task in ("train", "score", "batch")),
            series(GOOD_AT, "50x20", recommender="a", task="train"),
            series(GOOD_AT, "150x20", recommender="a", task="batch"),
            at_10m={"of": ["IntentFlowJobFailed"], "by": "task", "fire": ["score", "train"]},
        ),
        world(
            "the request log waits for its store for an hour; another door's does not wait",
            series("intentflow_requestlog_waiting_since_timestamp_seconds", "60x120", pod="a"),
            series("intentflow_requestlog_waiting_since_timestamp_seconds", "0x120", pod="b"),
            series("intentflow_release_info", "1x120", pod="a"),
            at_55m=fires(of=("IntentFlowRequestLogBehind",)),
            at_80m=fires("IntentFlowRequestLogBehind"),
        ),
        world(
            "nothing is there",
            at_10m=fires("IntentFlowDown"),
        ),
        world(
            "a pod is missing, another starts again and again",
            series("kube_deployment_spec_replicas", "3x60", deployment="recommender-aaa"),
            series("kube_deployment_status_replicas_available", "2x60", deployment="recommender-aaa"),
            series("kube_pod_container_status_restarts_total", "0+1x60", pod="r", container="router"),
            series("up", "0x60", job="router", instance="r"),
            at_30m=fires("IntentFlowPodsNotReady", "IntentFlowPodsRestart", "IntentFlowTargetDown"),
        ),
    ],
}  # fmt: skip
