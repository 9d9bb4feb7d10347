"""What a coupon changes, from a shop's files over contract, profiles, training, gates and a release to POST /intents.

By lot, coupons bring even users 12 more in the week after. In another shop they go to who is flush, which nobody
measures, and bring nothing: the placebo says so, and the gate holds that release back.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.client import Recommender
from pipelines.environment import place as find_place
from pipelines.releases import release as releases
from pipelines.releases import serving
from tests import worlds
from tests.pipelines.conftest import RAW, Shop, write_files

USERS, WEEKS, EFFECT, LIMIT = 200, 26, 12.0, 3.0
LIFT = {"name": "lift", "kind": "uplift", "offer": "coupon", "event": "purchase", "value": "value", "unit": "EUR",
        "horizon": "7d"}  # fmt: skip
GATES = [
    {"metric": "intent.bce", "against": "value", "limit": 100.0},
    {"metric": "forecast.placebo", "intent": "lift", "limit": LIMIT},
    {"metric": "forecast.uncompared", "intent": "lift", "limit": 0.5},
]
SMALL = {
    "intent": {"architecture": "cnn", "width": 16, "epochs": 1},
    "ranking": {"event": "purchase", "train_weeks": 4, "epochs": 1},
}


def world(*, hidden: bool) -> worlds.World:
    """Return users who spend some 20 every week, and coupons in a third of their weeks."""
    rng = np.random.default_rng(4)
    first = dt.datetime(2024, 1, 2, 10, tzinfo=dt.UTC)
    events: list[dict[str, object]] = []
    flush, had, even = np.zeros(USERS), np.zeros(USERS, dtype=bool), np.arange(USERS) % 2 == 0
    for week in range(WEEKS):
        flush = 0.9 * flush + rng.normal(scale=5.0, size=USERS)
        spent = 40.0 + (flush if hidden else EFFECT * (had & even)) + rng.normal(scale=2.0, size=USERS)
        had = rng.random(USERS) < (np.where(flush > 0, 0.5, 0.1) if hidden else 0.3)
        for user in range(USERS):
            at = first + dt.timedelta(weeks=week, minutes=user)
            item = f"i{(user % 2) + 2 * int(rng.integers(4))}"
            line = {"user_id": f"u{user:03}", "item_id": item, "session_id": week, "quantity": 1.0}
            events.append(
                line | {"event": "purchase", "timestamp": at, "value": round(max(float(spent[user]), 0.1), 2)}
            )
            if had[user]:
                later = at + dt.timedelta(hours=3)
                events.append(line | {"event": "coupon", "timestamp": later, "value": None, "quantity": None})
    items: list[dict[str, object]] = [
        {"item_id": f"i{n}", "title": f"item {n}", "category": "even" if n % 2 == 0 else "odd"} for n in range(8)
    ]
    return worlds.World(events, items, [f"u{user:03}" for user in range(USERS)], WEEKS)


def opened(folder: Path, *, hidden: bool) -> Shop:
    folder.mkdir(parents=True)
    shop = Shop(folder)
    write_files(folder, world(hidden=hidden))
    tables = (str(folder / "orders.csv"), "--items", str(folder / "products.csv"))
    mapping = ("--map", "timestamp=bought_at", "--map", "user_id=customer", "--map", "value=paid")
    done = shop.here("init", *tables, "--name", "shop", *mapping, "--output", str(shop.spec))
    assert done.returncode == 0, done.stderr
    intents = [{"name": "visit", "event": "purchase", "horizon": "7d"}, LIFT]
    shop.edit(intents=intents, models=SMALL, promotion={"gates": GATES})
    return shop


@pytest.mark.slow  # trains a shop, and starts a door
@pytest.mark.process
@pytest.mark.timeout(1500)
def test_what_a_coupon_changes_is_learnt_gated_released_and_answered(tmp_path: Path) -> None:
    shop = opened(tmp_path / "shop", hidden=False)
    done = shop.run("run", str(shop.spec), timeout=600)
    assert done.returncode == 0, done.stderr
    with asked(shop) as door:
        said = {user: door.intents(f"{RAW}u{user:03}").model_dump(mode="json") for user in (0, 1, 2, 3)}
        nobody = door.intents("somebody new").model_dump(mode="json")
    lifts = {user: _lift(one) for user, one in said.items()}
    for user, lift in lifts.items():
        assert (lift["kind"], lift["basis"], lift["unit"], lift["believed"]) == ("uplift", "model", "EUR", True), lift
        truth = EFFECT if user % 2 == 0 else 0.0
        assert lift["low"] - 1 < truth < lift["high"] + 1, f"u{user:03}: {lift}"
    assert lifts[0]["group"] > lifts[1]["group"]
    mean = _lift(nobody)
    assert mean["group"] is None
    assert mean["low"] < EFFECT / 2 < mean["high"]


@pytest.mark.slow  # trains a shop, and starts a door
@pytest.mark.process
@pytest.mark.timeout(1500)
def test_an_effect_whose_placebo_shows_something_is_told_to_nobody(tmp_path: Path) -> None:
    """The rest of the release passed, so a baseline of it serves, without forecasts."""
    shop = opened(tmp_path / "shop", hidden=True)
    done = shop.run("run", str(shop.spec), timeout=600)
    assert done.returncode == 0, done.stderr
    require_held_back(shop, done.stdout)


def require_held_back(shop: Shop, said: str) -> None:
    assert "version 1 refused by its gates; the baseline, version 2, serves" in said
    assert "- forecast.placebo:lift" in said
    written = [path.read_text() for path in (shop.home / "runs").rglob("train-forecasts/forecasts/**/*.json")]
    assert any("a placebo shows +" in text for text in written)
    with asked(shop) as door:
        assert door.intents(f"{RAW}u000").model_dump(mode="json").get("forecasts") in (None, [])


@contextmanager
def asked(shop: Shop) -> Iterator[Recommender]:
    """Give a client of a door that serves the champion."""
    where = find_place(shop.spec, "local", variables=shop.environment())
    with serving.asked(where, releases.release(where)) as url, Recommender(url, timeout_s=60) as door:
        yield door


def _lift(answer: dict[str, Any]) -> dict[str, Any]:
    (found,) = [one for one in answer["forecasts"] if one["name"] == "lift"]
    return dict(found)
