"""Rules over a trained toy: batch answers are the door's, a replay finds what breaks a rule, a change has its cost."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bentos.endpoints.recommend import RecommendRequest
from bentos.recommender.clock import DataEndClock
from bentos.recommender.door import Door
from bentos.recommender.logs import requestlog
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.requestlog import RequestLog
from bentos.recommender.service import folding
from bentos.release import INTENT, RANKING, Release
from components.intent.score import IntentScorer
from components.ranking import examples, rule_cost
from components.ranking.batch_rules import BatchRules
from components.ranking.rules import book
from components.ranking.rules.spec import RULES
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.fallback import Fallback
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.release_folder import ReleaseFolder
from pipelines.answers.parity import rules_kept
from tests.bentos import toy
from tests.bentos.conftest import asked

pytestmark = pytest.mark.world
RULED: list[dict[str, Any]] = [
    {"kind": "filter", "name": "no i0", "where": "item_id = 'i0'"},
    {"kind": "cap", "name": "two each", "column": "category", "at_most": 2},
    {"kind": "pin", "name": "first", "item": "i7", "place": 1},
    {"kind": "bought", "name": "not again", "days": 3},
    {"kind": "filter", "name": "at home", "where": "category = 'C1'", "placements": ["home"]},
]


@pytest.fixture(scope="module")
def ruled(trained_toy: toy.Toy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Release, Door]]:
    """The toy's release with rules and placements in its spec, and a door over it."""
    folder = tmp_path_factory.mktemp("ruled")
    document = files.read_json(trained_toy.release / "release.json")
    rest = {name: value for name, value in document.items() if name != "id"}
    rest["serving"] |= {"rules": RULED, "placements": {"home": {"k": 3}, "basket": {"algorithm": "popular"}}}
    for part in (INTENT, RANKING):
        (folder / part).symlink_to(trained_toy.release / part, target_is_directory=True)
    files.write_json(folder / "release.json", {"id": files.digest(rest), **rest})
    release = Release.load(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trained_toy.variables.items():
            patch.setenv(name, value)
        ranker = Ranker.served(folder / RANKING)
        door = Door(
            release,
            IntentScorer.served(folder / INTENT),
            ranker,
            OnlineProfiles.open(release.name, folding(release, ranker.vocabulary)),
            RequestLog(folder / "requests"),
            DataEndClock(release.data_end),
            events=EventLog(folder / "events"),
            fallback=Fallback.load(folder / RANKING),
            key=toy.KEY,
        )
        yield release, door
        door.close()


def table_of(door: Door, release: Release, users: list[str]) -> tuple[Any, np.ndarray]:
    rows = door._profiles.read([pseudonym(user, toy.KEY) for user in users], now=release.data_end)
    return rows, IntentScorer.served(release.folder / INTENT).predict(rows)


def test_batch_answers_are_those_of_the_door(ruled: tuple[Release, Door]) -> None:
    release, door = ruled
    users = [f"u{n:02}" for n in range(8)]
    rows, chances = table_of(door, release, users)
    fallback = Fallback.load(release.folder / RANKING)
    rules = BatchRules.of(ReleaseFolder.read(release.folder), {}, Ranker.served(release.folder / RANKING), fallback)
    assert rules is not None
    for number, user in enumerate(users):
        answer = asked(door, RecommendRequest(user_id=user, k=8))
        assert answer.rules is not None
        assert answer.rules.names == ["no i0", "two each", "first", "not again"], "none of home's"
        mine = rows.take(np.asarray([number]))
        group = fallback.group(mine.numbers["segment"][0])
        listed = rules.listed(mine, chances[number], group, modelled=True, k=8)
        assert listed is not None
        ids = [door.vocabulary.item_ids[item] for item, *_ in listed]
        assert ids == [item.item_id for item in answer.items]
        assert [score for _, score, *_ in listed] == pytest.approx([item.score for item in answer.items], abs=1e-5)
        assert "i0" not in ids
        pinned = any(one.rule == "first" for one in answer.rules.unmet) or ids[0] == "i7"
        assert pinned, "at its place, or it is said"


def test_what_is_logged_replays_and_a_list_that_breaks_a_rule_is_named(ruled: tuple[Release, Door]) -> None:
    release, door = ruled
    ranker = Ranker.served(release.folder / RANKING)
    read = book.read(release.rules, release.placements, book.items_of(ranker.vocabulary))
    names = Fallback.load(release.folder / RANKING).names
    for placement in (None, "home", "basket"):
        asked(door, RecommendRequest(user_id="u03", placement=placement))
    lines = list(requestlog.read(release.folder / "requests"))[-3:]
    for line in lines:
        assert not list(rules_kept(line, read, ranker, names)), line["asked"]
        scores = {item["item_id"]: item["score"] for item in line["items"]}
        by = ranker.by(line["asked"]["placement_algorithm"]) if "placement_algorithm" in line["asked"] else ranker
        places = np.asarray([ranker.vocabulary.index_of_item[item] for item in scores])
        again = by.score(requestlog.rows_of(line), np.asarray(line["probabilities"], dtype=np.float32), places)
        assert list(scores.values()) == pytest.approx(again.tolist(), abs=1e-5), "no filler's score is in the answer"
    wrong = json.loads(json.dumps(lines[0], default=str)) | {"asked": lines[0]["asked"]}
    wrong["items"] = [{"item_id": "i0", "score": 1.0}, *wrong["items"]]
    assert {one.field for one in rules_kept(wrong, read, ranker, names)} >= {"rule no i0"}
    other = lines[0] | {"asked": lines[0]["asked"] | {"rules": ["no i0"]}}
    (found,) = rules_kept(other, read, ranker, names)
    assert (found.field, found.online) == ("rules", "no i0")


def test_a_placement_has_its_own_k_and_rules(ruled: tuple[Release, Door]) -> None:
    _, door = ruled
    answer = asked(door, RecommendRequest(user_id="u01", placement="home"))
    category = dict(zip(door.vocabulary.item_ids, door.vocabulary.items["category"].to_pylist(), strict=True))
    assert len(answer.items) == 3
    assert "C1" not in {category[item.item_id] for item in answer.items}, "though odd users like it"


def test_a_batch_stops_where_a_rule_cannot_be_kept(ruled: tuple[Release, Door]) -> None:
    release, _ = ruled
    wrong = {"serving": {"rules": [RULED[0] | {"where": "colour = 'red'"}]}}
    found = replace(ReleaseFolder.read(release.folder), document=wrong)
    ranker, fallback = Ranker.served(release.folder / RANKING), Fallback.load(release.folder / RANKING)
    with pytest.raises(DataError, match="rule 'no i0': where: items have no column 'colour'"):
        BatchRules.of(found, {}, ranker, fallback)


def test_the_cost_on_the_test_weeks_is_that_of_the_rules(trained_toy: toy.Toy) -> None:
    """Even users buy C0 and C2: to hide both takes all that the ranker finds for them, and to hide nothing costs 0."""
    folder = trained_toy.home.parent
    spec = Ranking.model_validate(toy.RANKING)
    world = examples.load(folder / "rows", trained_toy.release / INTENT, spec)
    ranker = Ranker.load(trained_toy.release / RANKING)
    names = Fallback.load(trained_toy.release / RANKING).names

    def read(*rules: dict[str, Any]) -> book.RuleBook:
        return book.read(RULES.validate_python(list(rules)), {}, book.items_of(ranker.vocabulary))

    nothing = rule_cost.cost(ranker, world, read(), read(), segments=names)
    assert (nothing.before, nothing.ndcg_change) == (nothing.after, [0.0, 0.0, 0.0])
    half = {"kind": "filter", "name": "half", "where": "category in ['C0', 'C2']", "start": "2300-01-01T00:00:00Z"}
    found = rule_cost.cost(ranker, world, read(), read(half), segments=names)
    assert found.ndcg_change[0] < -0.2
    assert found.ndcg_change[2] < 0
    assert found.after["coverage"] <= found.before["coverage"] / 2 + 0.01  # type: ignore[operator]
    assert found.short == 1.0, "fewer than ten items are left"
    assert found.before["ndcg_at_10"] == nothing.before["ndcg_at_10"]


def test_rules_of_a_release_are_in_its_document(ruled: tuple[Release, Door]) -> None:
    release, _ = ruled
    assert [rule.name for rule in release.rules] == [rule["name"] for rule in RULED]
    assert release.placements["home"].k == 3
