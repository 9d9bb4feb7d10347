"""A change of the pseudonyms' key while a canary or an experiment runs: people are people, and nothing counts twice.

A release that was made under the old key goes on under it, beside one that was made under the new key.
"""

import datetime as dt
import functools
import gzip
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from components.registry.experiment_spec import Kpi
from feature_repo import columns
from pipelines.environment import Installation
from pipelines.rollout import outcomes, people, rewards
from pipelines.rollout.actuator import Rewarded
from tests.pipelines.jobs.conftest import closed
from tests.pipelines.key_changes import changing, new, old

PEOPLE = ["ana", "bo", "cy"]
CLOCK, HOUR = 1_000_000, 3600
ARMS = {"old": "control", "new": "treated"}  # by release
KPI = Kpi(event="purchase", measure="count", within_hours=1)
PURCHASE = {"event": "purchase", "item_id": "soup", "session_id": "s"}


@functools.cache
def wall() -> dt.datetime:
    """Return an instant five hours ago, the same for all tests."""
    return dt.datetime.now(dt.UTC) - dt.timedelta(hours=5)


def since() -> float:
    return wall().timestamp() - 60


def answer(number: int, user: str, release: str) -> dict[str, Any]:
    shown = [{"item_id": "soup", "position": 1, "score": 1.0, "source": "popular", "propensity": 1.0}]
    line: dict[str, Any] = {
        "request_id": f"r{number}",
        "logged_at": wall().isoformat(),
        "endpoint": "recommend",
        "release": release,
    }
    line |= {"policy": "greedy@1", "user_id": user, "now": CLOCK, "rung": "fresh", "asked": {"k": 1}, "items": shown}
    return line | {"numbers": {"events_total": 2.0}, "lists": {"a": [1.0]}, "mirrored": False, "sample": 1.0}


def event(key: str, user: str, after: float, under: str) -> dict[str, Any]:
    at = CLOCK + after
    return {"key": key, "user_id": user, "timestamp": at, "created_at": at, columns.HASHED_UNDER: under} | PURCHASE


ANSWERS = [
    answer(1, old("ana"), "old"),  # the old release answered, the new one's door took the purchase
    answer(2, old("bo"), "old"),  # bought while both doors were down for a moment, and said so to both
    answer(3, new("cy"), "new"),  # bought nothing
    answer(4, new("ana"), "new"),  # the router moved her
]
EVENTS = [
    event("k1", new("ana"), 50, "new"),
    event("k2", old("bo"), 55, "old"),
    event("k3", new("bo"), 55, "new"),  # the same purchase
    event("k4", new("bo"), 58, "new"),  # another one
]


def here(home: Path, answers: Sequence[Any] = ANSWERS) -> None:
    closed(home / columns.REQUESTS_FOLDER, "2026-11-29.00000.parquet", [*answers])
    (home / columns.EVENTS_FOLDER).mkdir(parents=True)
    lines = "".join(json.dumps(one) + "\n" for one in EVENTS)
    (home / columns.EVENTS_FOLDER / "2026-11-29.00000.jsonl").write_text(lines)


def in_store(store: Path) -> None:
    closed(store / "door-1", "2026-11-29.00000.parquet", [*ANSWERS])
    (store / "_events" / "door-1").mkdir(parents=True)
    with gzip.open(store / "_events" / "door-1" / "2026-11-29.00000.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(one) + "\n" for one in EVENTS)


def counted(found: outcomes.Outcomes) -> dict[str, tuple[int, list[float]]]:
    return {name: (arm.users, arm.kpi.tolist()) for name, arm in found.arms.items()}


def test_an_experiment_counts_a_person_once_under_both_keys(
    place: Callable[..., Installation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = place()
    here(where.home)
    blind = outcomes.measured(where, ARMS, KPI, (), since_s=since())
    assert counted(blind) == {"control": (2, [0.0, 1.0]), "treated": (2, [0.0, 1.0])}, "two names are two people"
    assert blind.crossed == 0
    changed = changing(where, tmp_path, PEOPLE, monkeypatch)
    found = outcomes.measured(changed, ARMS, KPI, (), since_s=since())
    assert found.crossed == 1, "both arms answered ana"
    assert counted(found) == {"control": (2, [2.0]), "treated": (1, [0.0])}, "bo bought twice, and said one of it twice"
    assert found.events == 3

    in_store(tmp_path / "store")
    monkeypatch.setattr("feature_repo.logs.shipped_log.SHIPPED_S", 0.0)
    shipped = changing(where, tmp_path, PEOPLE, monkeypatch, url=str(tmp_path / "store"))
    assert counted(outcomes.measured_in_store(shipped, ARMS, KPI, (), since_s=since())) == counted(found)


def test_a_canary_is_rewarded_by_what_people_did_under_the_other_key(
    place: Callable[..., Installation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = place()
    here(where.home, ANSWERS[:3])
    assert rewards.rewarded(where, [*ARMS], since_s=since()) == {"old": Rewarded(2, 1), "new": Rewarded(1, 0)}
    changed = changing(where, tmp_path, PEOPLE, monkeypatch)
    assert rewards.rewarded(changed, [*ARMS], since_s=since()) == {"old": Rewarded(2, 2), "new": Rewarded(1, 0)}

    asked: list[str] = []

    def pushed(project: str, folders: Any, users: Sequence[str]) -> Any:
        asked.extend(users)
        return [one for one in EVENTS if one["user_id"] in users]

    in_store(tmp_path / "store")
    monkeypatch.setattr(rewards, "_pushed", pushed)
    shipped = changing(where, tmp_path, PEOPLE, monkeypatch, url=str(tmp_path / "store"))
    found = rewards.rewarded_of_store(shipped, {"old": tmp_path, "new": tmp_path}, since_s=since())
    assert sorted(asked) == sorted(name(one) for one in PEOPLE for name in (old, new)), "rows lie under either name"
    assert found == {"old": Rewarded(2, 2), "new": Rewarded(2, 1)}


def test_the_source_is_read_once_while_it_stays_as_it_is(
    place: Callable[..., Installation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = changing(place(), tmp_path, PEOPLE, monkeypatch)
    reads: list[float] = []

    def everyone(data: Any, base: Path) -> list[str]:
        reads.append(time.time())
        return ["dee"]

    monkeypatch.setattr("components.data.new_names.everyone", everyone)
    monkeypatch.setattr("components.data.new_names.source_digest", lambda data, base: f"{tmp_path}")
    for _ in range(3):
        assert people.names_of(changed).by_old == {old("dee"): new("dee")}
    assert len(reads) == 1
