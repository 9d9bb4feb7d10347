"""What nobody may be shown, at the door and at the router: on every rung, whatever fails."""

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bentos.endpoints import popular
from bentos.endpoints.explain import ExplainRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.release import RANKING, Release
from components.ranking.score import Ranker
from feature_repo import files
from feature_repo.rows import UserRows
from tests.bentos import conftest
from tests.bentos.conftest import DATA_END, IDS, asked
from tests.registry.conftest import ranking_model

AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
FORBID = {"repeat": "forbid"}


def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("weights of another shape")


class WholeRows(conftest.TinyProfiles):
    """Rows with all numbers and lists, as a real ranker reads them."""

    def read(self, user_ids: Sequence[str], *, now: int) -> UserRows:
        found, empty = super().read(user_ids, now=now), UserRows.unknown(user_ids, now=now)
        return dataclasses.replace(
            found, numbers={**empty.numbers, **found.numbers}, lists={**empty.lists, **found.lists}
        )


class Named(conftest.World):
    """The tiny world with a real ranker, where users may be called as items are."""

    ranking: dict[str, Any]

    def release(self, **serving: Any) -> Release:
        document = conftest.release_document(conftest.vocabulary().digest, **serving)
        document["serving"]["ranking"] = self.ranking
        rest = {key: value for key, value in document.items() if key != "id"}
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write_json(self.folder / "release.json", {"id": files.digest(rest), **rest})
        return Release.load(self.folder)


def world(folder: Path, **ranking: Any) -> Named:
    made = Named(folder, profiles=WholeRows())
    made.ranking = ranking
    ranking_model(folder / RANKING, conftest.vocabulary(), seed=1)
    config = files.read_json(folder / RANKING / "config.json")
    kept = {"repeat": ranking["repeat"]} if "repeat" in ranking else {}
    files.write_json(folder / RANKING / "config.json", config | kept)
    made.ranker = Ranker.load(folder / RANKING)
    return made


@pytest.fixture
def new(tmp_path: Path) -> Named:
    (tmp_path / RANKING).mkdir()
    return world(tmp_path, **FORBID)


@pytest.fixture
def friends(tmp_path: Path) -> Named:
    (tmp_path / RANKING).mkdir()
    return world(tmp_path, exclude_self=True)


def items(made: conftest.World, user: str, **ask: Any) -> tuple[str, list[str]]:
    answer = asked(made.door(), RecommendRequest(user_id=user, **{"k": 50} | ask))
    return answer.profile.rung, [item.item_id for item in answer.items]


@pytest.mark.parametrize(
    ("days_ago", "segment", "rung"), [(1, 0, "fresh"), (150, 0, "stale"), (400, 0, "segment"), (400, -1, "popular")]
)
def test_no_rung_shows_a_repeat(new: Named, days_ago: float, segment: int, rung: str) -> None:
    new.knows("ann", 3, 0, days_ago=days_ago, segment=segment)
    found, shown = items(new, "ann")
    assert (found, sorted(shown)) == (rung, ["i1", "i2", "i4", "i5"])
    assert items(new, "ann", k=1)[1][0] not in ("i0", "i3")


def test_a_broken_model_shows_no_repeat_either(new: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    new.knows("ann", 3, 0, segment=0)
    monkeypatch.setattr(Ranker, "recommend", broken)
    assert items(new, "ann") == ("segment", ["i2", "i1", "i4", "i5"])


@pytest.mark.parametrize("days_ago", [1, 400])
def test_who_had_everything_is_shown_nothing(new: Named, days_ago: float) -> None:
    new.knows("ann", *range(6), days_ago=days_ago, segment=0)
    assert items(new, "ann")[1] == []


def test_an_event_is_enough_to_bar_its_item(new: Named) -> None:
    new.knows("ann", 3)
    assert "i0" in items(new, "ann")[1]
    new.profiles.bought[new.hidden("ann")] = (DATA_END, [3, 0])
    assert "i0" not in items(new, "ann")[1]


def test_without_a_row_nothing_is_known_and_the_answer_says_so(new: Named) -> None:
    new.knows("ann", 3, 0, segment=0)
    door, new.profiles.down = new.door(), True
    answer = asked(door, RecommendRequest(user_id="ann", k=50))
    assert (answer.profile.degraded, answer.profile.reason, len(answer.items)) == (True, "store_away", 6)


def test_a_repeat_is_explained_as_no_candidate(new: Named) -> None:
    new.knows("ann", 3)
    found = asked(new.door(), ExplainRequest(user_id="ann", item_id="i3"))
    assert (found.source, found.position) == (None, None)


@pytest.mark.parametrize("days_ago", [1, 400, None])
@pytest.mark.parametrize("user", ["i2", " i2"])
def test_nobody_is_recommended_to_themselves(friends: Named, user: str, days_ago: float | None) -> None:
    if days_ago is not None:
        friends.knows(user, 3, 0, days_ago=days_ago, segment=0)
    assert sorted(items(friends, user)[1]) == [item for item in IDS if item != "i2"]
    assert sorted(items(friends, "nobody of them")[1]) == IDS


def test_nobody_is_recommended_to_themselves_while_something_fails(
    friends: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    friends.knows("i2", 3, segment=0)
    monkeypatch.setattr(Ranker, "recommend", broken)
    assert "i2" not in items(friends, "i2")[1]
    friends.profiles.down = True
    assert "i2" not in items(friends, "i2")[1]


def sealed(made: Named) -> dict[str, Any]:
    return popular.sealed(popular.document(made.door(), auth="none", made_at=AT))


def test_the_router_shows_nobody_themselves(friends: Named) -> None:
    found = popular.unsealed(json.dumps(sealed(friends)).encode())
    for user, missing in (("i2", {"i2"}), ("i2 ", {"i2"}), ("ann", set())):
        answer = popular.answer(found, RecommendRequest(user_id=user, k=50), "r1")
        assert {*IDS} - {item.item_id for item in answer.items} == missing
        assert answer.profile.degraded


def test_a_document_of_other_recommenders_is_as_routers_of_before_read_it(new: Named) -> None:
    assert "exclude_self" not in sealed(new)
