"""The policy pipeline on a shop that was trained: the first explorer enters by its guard rails, what is learnt by its
value, and what is worse stays out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.policy import reward_table
from components.policy.rewards import Kpi
from feature_repo import columns
from tests.pipelines.conftest import Shop, open_shop
from tests.policy.test_policy_steps import SPEC, lines, rewarded


def _logged(shop: Shop, day: str, answers: list[dict[str, Any]], *, likes_last: bool = True) -> None:
    folder = shop.home / columns.REQUESTS_FOLDER
    folder.mkdir(exist_ok=True)
    (folder / f"{day}.00001.jsonl").write_text("".join(json.dumps(line) + "\n" for line in answers))
    rng = np.random.default_rng(0)
    rows = [rewarded(line, rng, likes_last=likes_last) for line in answers]
    reward_table.write(shop.home, rows, [Kpi("purchase", 3600)])


def _run(shop: Shop) -> dict[str, Any]:
    done = shop.run("run", str(shop.spec), "--pipeline", "policy", "--json", timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow  # trains a shop first
@pytest.mark.process
@pytest.mark.timeout(900)
def test_explore_learn_judge_and_promote(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    shop = open_shop(folder)
    shop.edit(promotion={"gates": [{"metric": "intent.bce", "against": "value", "limit": 100.0}]})
    assert shop.run("run", str(shop.spec), timeout=600).returncode == 0
    first = shop.aliases()["champion"]
    refused = shop.run("run", str(shop.spec), "--pipeline", "policy")
    assert refused.returncode == 2
    assert "policy: is absent, so that nothing is explored" in refused.stderr

    shop.edit(policy=SPEC | {"candidates": 20, "guard": {"share": 0.5}})
    _logged(shop, "2026-11-01", lines(40, greedy=True))
    entered = _run(shop)
    assert "policy passed, version" in entered["page"]
    assert "it enters by its guard rails (50 % of answers at most)" in entered["page"]
    explorer = shop.aliases()["champion"]
    assert explorer not in ("", first)

    _logged(shop, "2026-11-02", lines(1500))
    learnt = _run(shop)
    assert "its lower bound" in learnt["page"]
    champion = shop.aliases()["champion"]
    assert champion == learnt["release_version"] not in (first, explorer)
