"""Logs of an explorer's answers as a door writes them, with what users did, for the steps of the pipeline `policy`."""

import datetime as dt
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.policy import draw, record, reward_table, steps
from components.policy.choice import Ask, Bounds, Policy
from components.policy.guard import Railed
from components.policy.policies.softmax import Softmax
from components.policy.rewards import Kpi, Rewarded
from components.policy.spec import PolicySlice
from feature_repo import columns
from feature_repo.logs import request_log

KPI = Kpi("purchase", 3600, events=frozenset({"purchase"}))


ITEMS = tuple(f"i{n}" for n in range(6))


SCORES = record.rounded(np.linspace(2.0, -2.0, len(ITEMS)))


SPEC = {
    "name": "softmax",
    "temperature": 3.0,
    "candidates": len(ITEMS),
    "rewards": [{"name": "purchase", "event": ["purchase"], "within": "1h"}],
    "learn": {"least_ess": 50},
}


NONE = Bounds()


START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def slice_of(**changes: Any) -> str:
    return PolicySlice.model_validate(SPEC | changes).model_dump_json()


EXPLORER = Softmax(temperature=3.0, candidates=len(ITEMS))


def lines(
    rows: int,
    *,
    share: float = 1.0,
    bounds: Bounds = NONE,
    greedy: bool = False,
    policy: Policy = EXPLORER,
    release: str = "a",
    begins: dt.datetime = START,
    users: int = 97,
) -> list[dict[str, Any]]:
    """Return lines of the request log: two places of six candidates."""
    found = []
    ask = Ask(SCORES, (0, 1), bounds=bounds)
    chances = draw.marginals(policy, ask, 1, draws=2000)
    for row in range(rows):
        choice = draw.choose(policy, ask, row, share=share, draws=16, chances=chances)
        held = record.record(policy, Railed(ask, share), choice, seed=row, items=ITEMS)
        at = begins + dt.timedelta(minutes=row)
        found.append(
            {
                columns.REQUEST_ID: f"r{row}" if release == "a" else f"{release}{row}",
                "endpoint": "recommend",
                "logged_at": at.isoformat(),
                "now": int(at.timestamp()),
                columns.RELEASE: release,
                columns.USER_ID: f"u{row % users}",
                "policy": "greedy@1" if greedy else policy.name,
                "rung": "fresh",
                "asked": {} if greedy else {"choice": held},
                "items": [
                    {columns.ITEM_ID: ITEMS[at_], "position": place, "score": float(SCORES[at_]), "source": "popular",
                     "propensity": 1.0 if greedy else float(choice.propensities[place - 1])}
                    for place, at_ in enumerate(choice.order.tolist(), 1)
                ],
            }
        )  # fmt: skip
    return found


def rewarded(line: dict[str, Any], rng: np.random.Generator, *, likes_last: bool) -> Rewarded:
    """Reward items by their place among the candidates: the last ones, or the first ones."""
    ranks = [ITEMS.index(item[columns.ITEM_ID]) for item in line["items"]]
    chance = [0.1 + 0.12 * (rank if likes_last else len(ITEMS) - 1 - rank) for rank in ranks]
    return Rewarded(line, {"purchase": [float(rng.random() < one) for one in chance]})


def kept(home: Path, logged: list[dict[str, Any]], *, likes_last: bool = True, table: bool = True) -> None:
    folder = home / columns.REQUESTS_FOLDER
    folder.mkdir()
    (folder / "2026-11-01.00001.jsonl").write_text("".join(json.dumps(line) + "\n" for line in logged))
    if table:
        rng = np.random.default_rng(0)
        reward_table.write(home, [rewarded(line, rng, likes_last=likes_last) for line in logged], [KPI])


def shipped(store: Path, logged: list[dict[str, Any]], *, bought: set[str], name: Callable[[str], str] = str) -> None:
    """Ship answers and purchases of the first item of those in `bought` as a door does; it calls who bought `name`."""
    host = store / "recommender-0a1b2c3d4e5f-7d9f8b6c5-x2x9z"
    host.mkdir(parents=True)
    pq.write_table(request_log.table_of(logged), host / "2026-11-01.00000.parquet")
    events = store / "_events" / host.name
    events.mkdir(parents=True)
    with gzip.open(events / "2026-11-01.00000.jsonl.gz", "wt") as stream:
        for line in logged:
            if line[columns.REQUEST_ID] in bought:
                at = line["now"] + 60
                stream.write(json.dumps({
                    "event_id": f"e{line[columns.REQUEST_ID]}", columns.USER_ID: name(line[columns.USER_ID]),
                    "event": "purchase",
                    columns.ITEM_ID: line["items"][0][columns.ITEM_ID], columns.TIMESTAMP: at, "received_at": at,
                    columns.REQUEST_ID: line[columns.REQUEST_ID],
                }) + "\n")  # fmt: skip


def learnt(home: Path, policy: str, *, mode: str = "auto") -> tuple[bool, dict[str, Any], dict[str, Any]]:
    rows, folder, page = home / "rows", home / "learned", home / "page.md"
    steps.gather(policy, "a", folder=str(rows))
    passed = steps.learn(policy, log=str(rows), mode=mode, folder=str(folder), report=str(page))
    return passed, *steps.read_candidate(folder)
