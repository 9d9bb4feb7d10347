"""Retraining looks for drift first: without any it trains nothing, with some it trains and judges a new release."""

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from feature_repo import files
from feature_repo.errors import Refused
from monitoring.drift.decision import decide
from tests.pipelines.conftest import Shop, open_shop

BUSIER = 4  # visits for each one of before
TRAINED = {"train_intent", "train_ranking", "register"}


@pytest.mark.parametrize(
    ("verdict", "trains"), [("drifted", True), ("stable", False), ("undecided", False), ("no_data", False)]
)
def test_only_drift_asks_for_training(verdict: str, trains: bool, tmp_path: Path) -> None:
    files.write_json(tmp_path / "drift.json", {"verdict": verdict, "reason": "as it is"})
    assert decide(str(tmp_path)) is trains


def test_a_lost_column_is_an_alarm_that_holds_training_back(tmp_path: Path) -> None:
    """Most columns have drifted as well, which alone would train."""
    found = {"verdict": "lost", "lost": ["log_value_7d"], "reason": "9 of 11 columns drifted: log_value_7d lost 97 %"}
    files.write_json(tmp_path / "drift.json", found)
    with pytest.raises(Refused, match=r"^monitoring: the column log_value_7d lost its values .* nothing is trained"):
        decide(str(tmp_path))


def _busier(shop: Shop, *, days: int) -> None:
    """Let every customer come several times on the days that they came, in the last `days`."""
    path = shop.folder / "orders.csv"
    with path.open() as stream:
        orders = list(csv.DictReader(stream))
    end = max(dt.datetime.fromisoformat(order["bought_at"]) for order in orders)
    late = [o for o in orders if end - dt.datetime.fromisoformat(o["bought_at"]) < dt.timedelta(days=days)]
    assert 0 < len(late) < len(orders) / 2
    for visit in range(1, BUSIER):
        for order in late:
            at = dt.datetime.fromisoformat(order["bought_at"]) - dt.timedelta(minutes=30 * visit)
            basket = f"{order['basket']}-{visit}"
            orders.append(order | {"bought_at": at.isoformat(), "basket": basket})
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(orders[0]))
        writer.writeheader()
        writer.writerows(orders)


def _retrained(shop: Shop) -> dict[str, Any]:
    """Run the retraining pipeline; a machine that does other work beside it takes minutes."""
    done = shop.run("run", str(shop.spec), "--pipeline", "retrain", "--json", timeout=900)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _watched(folder: Path) -> Shop:
    """Open a shop whose few customers are enough for a verdict, and whose gates any model passes."""
    folder.mkdir()
    shop = open_shop(folder)
    easy = {"gates": [{"metric": "intent.bce", "against": "value", "limit": 100.0}]}
    shop.edit(monitoring={"min_rows": 40, "share": 0.1}, promotion=easy)
    return shop


@pytest.mark.slow
@pytest.mark.timeout(960)
def test_without_drift_nothing_is_trained(tmp_path: Path) -> None:
    shop = _watched(tmp_path / "quiet")
    done = _retrained(shop)
    assert done["drifted"] is False
    assert done["page"].startswith("shop: nothing trained\n\nNothing was trained, because no drift asks for it:")
    assert "gate" not in done["page"]
    assert {step["step"] for step in done["steps"]} == {
        *("admit", "ingest", "validate", "profiles", "training_set", "watch", "decide")
    }
    assert not (shop.home / "mlflow").exists()  # nothing was registered
    assert not (shop.home / "run.json").exists()  # nor does a run count that trained nothing


@pytest.mark.slow
@pytest.mark.timeout(960)
def test_customers_who_have_changed_are_learnt_anew(tmp_path: Path) -> None:
    shop = _watched(tmp_path / "busy")
    _busier(shop, days=14)
    done = _retrained(shop)
    assert done["drifted"] is True
    assert done["page"].startswith("shop: version 1 passed and serves\n")
    assert {step["step"] for step in done["steps"]} >= TRAINED | {"materialise", "promote"}
    assert done["passed"] is True
    assert shop.json("status", str(shop.spec))["aliases"]["champion"] == done["release_version"] == "1"
    assert files.read_json(shop.home / "run.json")["release_version"] == "1"
