"""The rewards table on disk."""

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.policy import reward_table
from components.policy.rewards import Kpi, Rewarded, attributed
from feature_repo.errors import DataError
from tests.policy.test_rewards import HOUR, NOW, WALL, answer, event

BUY, HIDE = Kpi("buy", within_s=HOUR), Kpi("hide", within_s=2 * HOUR, events=frozenset({"hide"}), weight=-1.0)
KPIS = [BUY, HIDE]
ANSWERS = [
    answer("a", "ana", "soup", "bread", release="r1", policy="softmax@1", rung="fresh", sample=0.5),
    answer("b", "bo", "soup", after=60, release="r1", policy="softmax@1", rung="fresh"),
]
ANSWERS[0]["asked"] = {
    "placement": "home",
    "choice": {"share": 0.2, "explored": True, "given": [0.5, 0.25], "errors": [0.0, 0.01]},
}
EVENTS = [event("ana", "bread", after=10), event("ana", "soup", after=20, kind="hide")]


def joined(now_s: float = NOW, events: list = EVENTS) -> list[Rewarded]:
    return attributed(ANSWERS, events, KPIS, now_s=now_s)


def test_a_row_holds_what_was_shown_how_likely_it_was_and_what_it_brought(tmp_path: Path) -> None:
    written = reward_table.write(tmp_path, joined(), KPIS)
    assert written == reward_table.Written(rows=3, corrected=0)
    rows = reward_table.read(tmp_path).to_pylist()
    assert rows[0] == {
        "request_id": "a",
        "logged_at": WALL,
        "now": 1_000_000,
        "release": "r1",
        "policy": "softmax@1",
        "user_id": "ana",
        "placement": "home",
        "item_id": "soup",
        "position": 1,
        "score": None,
        "source": None,
        "rung": "fresh",
        "propensity": 1.0,
        "given": 0.5,
        "error": 0.0,
        "share": 0.2,
        "explored": True,
        "sample": 0.5,
        "buy": 1.0,  # a hide is an event, and BUY takes any
        "hide": -1.0,
        "reward": 0.0,
    }
    assert [(r["item_id"], r["position"], r["given"], r["error"], r["reward"]) for r in rows[1:]] == [
        ("bread", 2, 0.25, 0.01, 1.0),
        ("soup", 1, 1.0, 0.0, 0.0),
    ]
    assert (rows[2]["explored"], rows[2]["share"], rows[2]["sample"], rows[2]["placement"]) == (False, 0.0, 1.0, None)


def test_what_is_open_is_null_and_what_came_late_is_told(tmp_path: Path) -> None:
    between = WALL.timestamp() + HOUR + 90
    reward_table.write(tmp_path, joined(between, EVENTS[:1]), KPIS)
    rows = reward_table.read(tmp_path, ["buy", "hide", "reward"]).to_pylist()
    assert rows[1] == {"buy": 1.0, "hide": None, "reward": None}
    reward_table.write(tmp_path, joined(NOW, EVENTS[:1]), KPIS)
    again = reward_table.write(tmp_path, joined(NOW), KPIS)
    assert again.corrected == 0  # soup: bought by no event before, hidden now: 1 - 1
    late = [*EVENTS, event("bo", "soup", after=90)]
    assert reward_table.write(tmp_path, joined(NOW, late), KPIS).corrected == 1
    assert reward_table.write(tmp_path, joined(NOW, late), KPIS).corrected == 0


def test_nothing_is_written_where_a_propensity_cannot_be_true(tmp_path: Path) -> None:
    reward_table.write(tmp_path, joined(), KPIS)
    before = reward_table.path(tmp_path).read_bytes()
    bad = answer("c", "cy", "tea")
    bad["items"][0]["propensity"] = 0.0
    with pytest.raises(DataError, match=r"request c: propensity 0.0 of item 'tea' at place 1"):
        reward_table.write(tmp_path, attributed([*ANSWERS, bad], EVENTS, KPIS, now_s=NOW), KPIS)
    assert reward_table.path(tmp_path).read_bytes() == before
    assert [path.name for path in reward_table.path(tmp_path).parent.iterdir()] == ["rewards.parquet"]


def test_a_table_without_answers_has_its_columns(tmp_path: Path) -> None:
    assert reward_table.write(tmp_path, [], KPIS).rows == 0
    assert pq.read_schema(reward_table.path(tmp_path)).names[-3:] == ["buy", "hide", "reward"]
    assert reward_table.read(tmp_path).num_rows == 0


def test_times_are_utc(tmp_path: Path) -> None:
    naive = answer("d", "di", "tea") | {"logged_at": dt.datetime(2026, 11, 30)}
    reward_table.write(tmp_path, attributed([naive], [], KPIS, now_s=NOW), KPIS)
    assert reward_table.read(tmp_path, ["logged_at"]).to_pylist() == [{"logged_at": WALL}]
