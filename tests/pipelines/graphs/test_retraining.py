"""Retraining that stops itself, by the whole pipeline: a broken feed, a world that changed, and no gain twice.

Slow: it trains twice, and looks at two more states of the data.
"""

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines import spec as specs
from pipelines.graphs import admission, index
from tests import worlds
from tests.pipelines.conftest import Shop, open_shop, write_files

HEAD = {"apiVersion": "intentflow/v1", "kind": "Recommender", "name": "shop"}
DATA = {"source": {"type": "csv", "events": {"path": "events.csv"}}}
STEPS = {"decide_retraining", "weigh", "promote_retrained"}
BEFORE, AFTER = 16, 12  # weeks of the shop, and weeks after its customers changed


def made(retrain: dict[str, Any] | None) -> Any:
    monitoring = {} if retrain is None else {"monitoring": {"retrain": retrain}}
    return specs.parse(HEAD | {"data": DATA, "intents": [{"name": "visit"}]} | monitoring, place="test")


def names(pipeline: str, retrain: dict[str, Any] | None) -> set[str]:
    return {node.step.name for node in index.pipeline(pipeline).graph(made(retrain)).nodes}


def test_the_steps_hang_where_a_spec_asks_for_them_and_nowhere_else() -> None:
    assert names("retrain", {}) >= STEPS
    assert "decide" not in names("retrain", {})
    for pipeline in ("train", "batch"):
        assert not names(pipeline, {}) & STEPS
    assert not names("retrain", None) & STEPS
    assert "decide" in names("retrain", None)


def test_what_is_promoted_hangs_on_the_weighing() -> None:
    nodes = {node.step.name: node for node in index.pipeline("retrain").graph(made({})).nodes}
    assert nodes["weigh"].inputs["passed"].node is nodes["register"]
    assert nodes["weigh"] in nodes["promote_retrained"].upstream
    assert nodes["weigh"] in nodes["register_refit"].upstream


def test_a_form_that_asks_for_it_of_a_pipeline_without_the_steps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    document = made({}).model_dump(mode="json", exclude_none=True)
    with pytest.raises(SpecError, match=r"monitoring\.retrain: needs steps that this pipeline was not compiled with"):
        admission.admit("shop", document, mode="", which="", k=0, note="", retrains=False)
    plain = index.pipeline("retrain").graph(made(None)).first.inputs
    assert plain["retrains"] is False
    assert "retrains" not in index.pipeline("retrain").graph(made({})).first.inputs
    assert "retrains" not in index.pipeline("train").graph(made(None)).first.inputs


def test_a_spec_without_it_says_what_it_said_before() -> None:
    assert "retrain" not in made(None).model_dump(mode="json")["monitoring"]
    assert made({}).model_dump(mode="json")["monitoring"]["retrain"]["after_failures"] == 2
    assert made(None).digest != made({}).digest


def _changed(world: worlds.World) -> worlds.World:
    """Let even customers buy what odd ones bought, and the other way round, after the first weeks."""
    start = world.calendar.start(BEFORE + 1)
    other = {item["item_id"]: f"i{int(str(item['item_id'])[1:]) ^ 1}" for item in world.items}
    events = [
        event | ({"item_id": other[event["item_id"]]} if event["timestamp"] >= start else {})  # type: ignore[operator]
        for event in world.events
    ]
    return worlds.World(events, world.items, world.users, world.weeks)


def _without_money(folder: Path, *, days: int) -> None:
    """Lose what was paid in the last days, as a feed does whose column was renamed."""
    path = folder / "orders.csv"
    with path.open() as stream:
        orders = list(csv.DictReader(stream))
    end = max(dt.datetime.fromisoformat(order["bought_at"]) for order in orders)
    for order in orders:
        if end - dt.datetime.fromisoformat(order["bought_at"]) < dt.timedelta(days=days):
            order["paid"] = ""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(orders[0]))
        writer.writeheader()
        writer.writerows(orders)


def _fell(shop: Shop, period: int) -> None:
    """Say that realised quality fell, as the job `quality` does."""
    mark = {"reason": "performance", "why": "map fell", "since": "", "period": period, "release": "r"}
    files.write_json(shop.home / "marks" / "quality.json", mark)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.timeout(1500)
def test_a_fault_trains_nothing_a_changed_world_once_and_no_gain_twice_stops_it(tmp_path: Path) -> None:
    shop = open_shop(tmp_path)
    easy = {"gates": [{"metric": "intent.bce", "against": "value", "limit": 100.0}]}
    watched = {"min_rows": 40, "min_users": 10, "retrain": {"cooldown_days": 0, "budget": 9}}
    data = yaml.safe_load(shop.spec.read_text())["data"]
    # Known when it happened: else what a later file brings was known only now, years after.
    read = {"value": "paid", "quantity": "pieces", "created_at": "bought_at"}
    data["source"]["events"]["columns"] |= read
    shop.edit(data=data, monitoring=watched, promotion=easy)

    def retrain(*, code: int = 0) -> dict[str, Any]:
        done = shop.run("run", str(shop.spec), "--pipeline", "retrain", "--json", timeout=600)
        assert done.returncode == code, done.stderr
        return dict(json.loads(done.stdout)) if code == 0 else {"said": done.stderr}

    assert shop.json("run", str(shop.spec))["champion"] == "1"

    # A fault: nothing is trained, also where quality fell by it.
    _without_money(shop.folder, days=28)
    _fell(shop, 1)
    refused = retrain(code=3)["said"]
    assert "nothing is trained on this data" in refused, refused
    assert shop.json("retraining", str(shop.spec))["attempts"] == []
    assert "retraining  hold (data_fault)" in shop.here("status", str(shop.spec)).stdout

    # The world changed: one training, and it is better on the same rows.
    write_files(shop.folder, _changed(worlds.checkerboard(users=40, items=16, weeks=BEFORE + AFTER)))
    _fell(shop, 2)
    done = retrain()
    assert done["champion"] == "2", done["page"]
    assert "The champion was judged on the same rows, and the candidate is better" in done["page"]
    (attempt,) = shop.json("retraining", str(shop.spec))["attempts"]
    assert (attempt["result"], attempt["version"], attempt["action"]) == ("gain", "2", "shadow")

    # The same data again, and quality is said to fall: no gain, twice.
    _fell(shop, 3)
    done = retrain()
    assert "the champion was trained and judged on this data already; it is not promoted" in done["page"]
    _fell(shop, 4)
    assert "2 trainings in a row brought no gain" in retrain(code=3)["said"]
    status = shop.json("status", str(shop.spec))
    assert (status["aliases"]["champion"], status["retraining"]["stopped"]) == ("2", True)
    assert shop.json("retraining", str(shop.spec), "--resume")["stopped"] is False
    done = shop.here("retraining", str(shop.spec), "--resume")
    assert (done.returncode, "it has not stopped" in done.stderr) == (2, True)
