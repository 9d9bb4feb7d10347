"""`intentflow rewards` on a state folder whose logs are a few lines."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.policy import reward_table
from feature_repo import columns
from feature_repo.checkout import ROOT
from feature_repo.errors import DataError, SpecError
from feature_repo.privacy.pseudonyms import pseudonym
from pipelines import rewards
from pipelines.environment import FOLDER, Installation, place
from tests.pipelines.jobs.conftest import closed

SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"
KPIS = [{"name": "buy", "event": ["purchase"], "within": "1h"}, {"name": "money", "amount": "value", "within": "7d"}]
CLOCK = 1_000_000


def wall() -> dt.datetime:
    """Return when what is logged here was: long enough ago that its rewards are in."""
    return dt.datetime.now(dt.UTC) - dt.timedelta(hours=3)


def at(folder: Path, kpis: Sequence[Any] = KPIS) -> Installation:
    """Return an installation whose spec declares rewards."""
    spec = folder / "shop.yaml"
    spec.write_text(yaml.safe_dump(yaml.safe_load(SPEC.read_text()) | {"policy": {"rewards": [*kpis]}}))
    return place(spec, "local", variables={"INTENTFLOW_STATE": str(folder / "state")})


def answer(number: int, user: str, *items: str, **more: Any) -> dict[str, Any]:
    shown = [
        {"item_id": i, "position": n, "score": 1.0, "source": "popular", "propensity": 1.0}
        for n, i in enumerate(items, 1)
    ]
    line = {
        "request_id": f"r{number}",
        "logged_at": wall().isoformat(),
        "endpoint": "recommend",
        "release": "r",
    }
    line |= {"policy": "greedy@1", "user_id": user, "now": CLOCK, "rung": "fresh", "asked": {"k": 1}, "items": shown}
    return line | {"numbers": {"events_total": 2.0}, "lists": {"a": [1.0]}, "mirrored": False, "sample": 1.0} | more


def logs(home: Path, answers: Sequence[Any], events: Sequence[Any]) -> None:
    """Write the logs of a state folder as doors do: a closed file of answers, an open one of events."""
    closed(home / columns.REQUESTS_FOLDER, "2026-11-29.00000.parquet", [*answers])
    (home / columns.EVENTS_FOLDER).mkdir(parents=True, exist_ok=True)
    lines = [*events, {"folded": [event["key"] for event in events]}]
    (home / columns.EVENTS_FOLDER / "2026-11-29.00000.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))


def event(key: str, user: str, item: str, after: float, **more: Any) -> dict[str, Any]:
    at = CLOCK + after
    return {"key": key, "user_id": user, "item_id": item, "event": "purchase", "timestamp": at, "created_at": at} | more


def test_the_table_is_made_from_both_logs_and_made_anew_as_time_passes(tmp_path: Path) -> None:
    where = at(tmp_path)
    answers = [answer(1, "ana", "soup", "tea"), answer(2, "bo", "soup"), answer(3, "cy", "tea", mirrored=True)]
    events = [event("k1", "ana", "tea", 60, value=2.5), event("k2", "bo", "soup", 7200, value=4.0)]
    logs(where.home, answers, events)
    made = rewards.rewards(where)
    assert (made.rows, made.answers, made.ripe, made.explored) == (3, 2, 0, 0)  # a week is not over
    assert made.kept_out == {"copies": 1}
    assert made.events == 2
    assert made.kpis == {"buy": {"mean": 1 / 3, "items": 3.0}, "money": {"mean": 0.0, "items": 0.0}}
    assert "buy        0.33333 an item, over 3" in made.text()
    table = reward_table.read(where.home, ["request_id", "item_id", "buy", "money", "reward"]).to_pylist()
    assert [tuple(row.values()) for row in table] == [
        ("r1", "soup", 0.0, None, None),
        ("r1", "tea", 1.0, None, None),
        ("r2", "soup", 0.0, None, None),
    ]
    assert rewards.rewards(where).document()["corrected"] == 0
    quick = at(tmp_path, KPIS[:1])
    rewards.rewards(quick)
    logs(where.home, answers, [*events, event("k3", "bo", "soup", 30)])
    again = rewards.rewards(quick)
    assert (again.corrected, again.ripe) == (1, 2)


def test_a_table_without_an_event_says_so(tmp_path: Path) -> None:
    where = at(tmp_path, KPIS[:1])
    logs(where.home, [answer(1, "ana", "soup")], [])
    made = rewards.rewards(where)
    assert (made.events, made.ripe) == (0, 1)
    assert "Events     0: none was read, so each known reward is 0" in made.text()


def test_what_doors_ship_later_may_still_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour after the answer its hour is over, and events of its end may still be on their way to the store."""
    store = tmp_path / "store"
    for url, ripe in (("", 1), (str(store), 0)):
        where = at(tmp_path, KPIS[:1])
        where = replace(
            where,
            environment=where.environment.model_copy(
                update={"requests": where.environment.requests.model_copy(update={"url": url})}
            ),
        )
        monkeypatch.setattr(rewards.time, "time", lambda: wall().timestamp() + 3700)
        logs(store if url else where.home, [answer(1, "ana", "soup")], [event("k1", "ana", "soup", 3500)])
        assert rewards.rewards(where).ripe == ripe


def test_what_cannot_be_a_table_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"policy.rewards: none is declared"):
        rewards.rewards(at(tmp_path, []))
    where = at(tmp_path)
    with pytest.raises(DataError, match="no answer of /recommend is logged yet"):
        rewards.rewards(where)
    logs(where.home, [answer(1, "ana", "soup")], [event("k1", "ana", "tea", 60)])
    with pytest.raises(
        DataError, match=r"policy.rewards\[0\].event: no event of the log is of kind follow; have purch"
    ):
        rewards.rewards(at(tmp_path, [{"name": "follow", "event": ["follow"]}]))
    bad = answer(2, "bo", "soup")
    bad["items"][0]["propensity"] = 0.0
    logs(where.home, [bad], [event("k1", "ana", "tea", 60)])
    with pytest.raises(DataError, match=r"request r2: propensity 0.0 of item 'soup' at place 1"):
        rewards.rewards(where)
    assert not reward_table.path(where.home).exists()


def test_an_answer_before_a_change_of_the_key_is_rewarded_by_an_event_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = "11" * 16, "22" * 16
    where = at(tmp_path)
    before, after = pseudonym("ana", old), pseudonym("ana", new)
    logs(where.home, [answer(1, before, "soup")], [event("k1", after, "soup", 60)])
    assert rewards.rewards(where).kpis["buy"]["mean"] == 0.0, "two names are two people"

    monkeypatch.setattr("components.data.new_names.everyone", lambda data, base: ["ana"])
    (tmp_path / "old.key").write_text(old)
    (tmp_path / "new.key").write_text(new)
    document = yaml.safe_load((FOLDER / "local.yaml").read_text())
    document["pseudonyms"] = {"key_file": str(tmp_path / "new.key"), "previous_key_file": str(tmp_path / "old.key")}
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(document))
    changed = place(
        where.spec_path, str(tmp_path / "changed.yaml"), variables={"INTENTFLOW_STATE": str(where.home.parent)}
    )
    assert changed.home == where.home
    assert rewards.rewards(changed).kpis["buy"]["mean"] == 1.0
    assert reward_table.read(changed.home, ["user_id"])["user_id"].to_pylist() == [after]
