"""Servers that go away while customers come: Redis for half a minute, MLflow for as long as it likes."""

import time

import pytest

from tests.chaos.load import EVENTS, RECOMMEND, customers
from tests.chaos.plants import registered
from tests.chaos.stage import Stage, report
from tests.pipelines.rollout.laptop import tail, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
AWAY_S = 30.0


def test_redis_may_be_away_for_half_a_minute(stage: Stage) -> None:
    """Answers go on from a lower rung; events are refused, and taken when their sender repeats them."""
    assert stage.redis is not None
    with customers(stage.url) as load:
        time.sleep(3)
        with stage.redis.away():
            time.sleep(AWAY_S)
        back = time.monotonic()
        until(
            lambda: any(t.ok and t.at > back and t.path == EVENTS for t in load.told)
            and any(t.ok and not t.degraded and t.at > back and t.path == RECOMMEND for t in load.told),
            seconds=60, what="whole answers", tell=stage.tell,
        )  # fmt: skip
        whole = time.monotonic() - back
        time.sleep(3)
    stage.materialised()
    lost = stage.lost(load)
    report("Redis away for 30 s", load, recovery_s=round(whole, 1), lost=len(lost))
    assert lost == []
    assert load.failed(RECOMMEND) == []
    assert any(one.degraded for one in load.told)
    assert {one.status for one in load.failed(EVENTS)} == {503}
    assert whole < 30


def test_mlflow_may_be_away_while_doors_and_the_loop_run(stage: Stage) -> None:
    """Nothing is decided meanwhile; an alias that moved before is followed once the server is back."""
    assert stage.mlflow is not None
    version = registered(stage, k=9)
    with customers(stage.url) as load:
        time.sleep(1)
        stage.champion(version)
        stage.phase("canary")
        with stage.mlflow.away():
            time.sleep(15)
            assert stage.watching is not None
            assert stage.watching.poll() is None
            assert "waiting: " in tail(stage.log)
        back = time.monotonic()
        now = stage.settled(version, "promoted", seconds=240)
        followed = time.monotonic() - back
        time.sleep(2)
    stage.materialised()
    lost = stage.lost(load)
    report("MLflow away for 15 s in a canary", load, promoted_s=round(followed, 1), lost=len(lost))
    assert lost == []
    assert load.failed() == []
    assert now["stable"]["version"] == version
