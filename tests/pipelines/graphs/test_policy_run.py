"""The policy pipeline on a shop that is trained, over HTTP: the first explorer enters by its guard rails, what is
learnt from its log by its value, a worse policy stays out. What users like is written (benchmarks/simulated_users.py);
whoever learns reads the door's log alone.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.simulated_users import Round, SimulatedUsers
from components.policy import record
from feature_repo import columns
from feature_repo.logs import request_log
from pipelines.environment import place as find_place
from pipelines.releases import release as releases
from pipelines.releases import serving
from tests import worlds
from tests.pipelines.conftest import RAW, Shop, write_files

WORLD = worlds.checkerboard(users=80, items=16)
POLICY = {
    "name": "softmax",
    "temperature": 5.0,
    "candidates": 16,
    "guard": {"share": 0.6},
    "rewards": [{"name": "bought", "event": ["purchase"], "within": "1m"}],
    "learn": {"least_ess": 100, "temperature": 0.8},
}
GATES = [{"metric": "intent.bce", "against": "value", "limit": 100.0}]


def likes(user: str, item: str) -> float:
    """Even users like even items, as they did before: the ranker knows, and an explorer shows the others too."""
    return 0.7 if (int(user.removeprefix(f"{RAW}u")) - int(item.removeprefix("i"))) % 2 == 0 else 0.05


USERS = SimulatedUsers([f"{RAW}{user}" for user in WORLD.users], [str(i["item_id"]) for i in WORLD.items], likes)


def opened(folder: Path) -> Shop:
    """Train a shop with enough users to judge by, and promote."""
    shop = Shop(folder)
    write_files(folder, WORLD)
    files = (str(folder / "orders.csv"), "--items", str(folder / "products.csv"))
    mapping = ("--map", "timestamp=bought_at", "--map", "user_id=customer")
    done = shop.here("init", *files, "--name", "shop", *mapping, "--output", str(shop.spec))
    assert done.returncode == 0, done.stderr
    shop.edit(promotion={"gates": GATES})
    done = shop.run("run", str(shop.spec), timeout=600)
    assert done.returncode == 0, done.stderr
    return shop


@contextmanager
def served(shop: Shop) -> Iterator[str]:
    """Serve the champion by a door of its own."""
    place = find_place(shop.spec, "local", variables=shop.environment())
    with serving.asked(place, releases.release(place)) as url:
        yield url


def played(shop: Shop, seed: int, *, rounds: int) -> tuple[Round, list[dict[str, Any]]]:
    """Have users meet the champion; return what came of it and its lines in the log."""
    before = len(logged(shop))
    with served(shop) as url:
        found = USERS.play(url, np.random.default_rng(seed), rounds=rounds)
    return found, logged(shop)[before:]


def logged(shop: Shop) -> list[dict[str, Any]]:
    lines = request_log.read(shop.home / columns.REQUESTS_FOLDER)
    return [line for line in lines if line["endpoint"] == "recommend"]


def learnt(shop: Shop, *, table: bool = True) -> dict[str, Any]:
    """Make the rewards table once the last answer's minute is over, and run the pipeline."""
    if table:
        time.sleep(61)
        done = shop.run("rewards", str(shop.spec))
        assert done.returncode == 0, done.stderr
    done = shop.run("run", str(shop.spec), "--pipeline", "policy", "--json", timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow  # trains a shop, starts three doors, and waits for the rewards of two
@pytest.mark.process
@pytest.mark.timeout(1500)
def test_explore_learn_judge_and_promote(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    shop = opened(folder)
    first = shop.aliases()["champion"]
    refused = shop.run("run", str(shop.spec), "--pipeline", "policy")
    assert refused.returncode == 2
    assert "policy: is absent, so that nothing is explored" in refused.stderr

    shop.edit(policy=POLICY)
    unheard = shop.run("run", str(shop.spec), "--pipeline", "policy")
    assert unheard.returncode == 2
    assert "holds no answer; a policy is learnt from what was shown" in unheard.stderr
    greedy, lines = played(shop, 1, rounds=1)
    assert {line["policy"] for line in lines} == {"greedy@1"}
    entered = learnt(shop, table=False)
    assert "it enters by its guard rails (60 % of answers at most)" in entered["page"]
    explorer = shop.aliases()["champion"]
    assert explorer not in ("", first)

    explored, lines = played(shop, 2, rounds=12)
    assert {line["policy"] for line in lines} == {"softmax@1"}
    assert explored.regret > greedy.regret + 0.1, "it shows what nobody likes, to learn"
    found = learnt(shop)
    assert "its lower bound" in found["page"], found["page"]
    champion = shop.aliases()["champion"]
    assert champion == found["release_version"] not in (first, explorer)

    better, lines = played(shop, 3, rounds=12)
    assert better.regret < explored.regret - 0.05
    for line in lines[::50]:
        choice = line["asked"][record.CHOICE]
        assert (line["policy"], choice["policy"]) == ("learned@1", "learned@1")
        again = record.probability(line)
        assert again.given.tolist() == pytest.approx(choice["given"], rel=1e-12)
        assert again.propensities.tolist() == pytest.approx([i["propensity"] for i in line["items"]], rel=1e-12)

    shop.edit(policy=POLICY | {"learn": POLICY["learn"] | {"temperature": 100.0}})  # lists at random
    worse = learnt(shop)
    assert "policy refused" in worse["page"], worse["page"]
    assert shop.aliases()["champion"] == champion
