"""Items that are people: candidates, features and baselines of who acted on whom, as known at the time."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.ranking import batch, encode, examples, feature_names, places
from components.ranking.baselines import BASELINES, PEOPLES
from components.ranking.candidates import candidates, given
from components.ranking.catalogue import Catalogue
from components.ranking.cooccurrence import fit
from components.ranking.eligibility import Eligibility
from components.ranking.evaluate import Evaluation, evaluate
from components.ranking.examples import World
from components.ranking.graph import Graph, Ties
from components.ranking.history import History
from components.ranking.score import Ranker
from components.ranking.sources import NAMES, SOURCES, finder
from components.ranking.spec import OF_PEOPLE, Candidates, Ranking
from components.ranking.train import train
from feature_repo import columns, erasure
from feature_repo.calendar import Calendar
from feature_repo.clock import STEPS, Step
from feature_repo.edges import Edges
from feature_repo.release_folder import ReleaseFolder
from feature_repo.rows import Ragged, UserRows
from tests import people_worlds, worlds

SPEC = Ranking(
    people=True,
    exclude_self=True,
    candidates=Candidates(**{"history": 20, "neighbours": 5, "popular": 5} | dict.fromkeys(OF_PEOPLE, 10)),
    train_weeks=10,
    width=16,
    epochs=6,
    batch_size=16,
    learning_rate=1e-2,
)
PLACE = {name: n for n, name in enumerate("abcdefg")}
# a knows b and c; d is known to both, e to b alone, f knows everyone but a.
PAIRS = [("a", "b"), ("c", "a"), ("b", "d"), ("d", "c"), ("b", "e"), ("f", "b"), ("f", "c"), ("f", "d"), ("f", "e")]


def graph(*more: tuple[str, str]) -> Graph:
    one, other = (np.asarray([PLACE[pair[side]] for pair in [*PAIRS, *more]]) for side in (0, 1))
    return Graph.of(one, other, PLACE)


def row(user: str, *, had: str = "", wrote: str = "", at: int = 100, answered: int = 50) -> UserRows:
    """Return the row of somebody who acted on some and on whom others acted."""
    empty = UserRows.unknown([user], now=at + 1)

    def family(names: tuple[str, ...], people: str, last: int) -> dict[str, Ragged]:
        keys = np.asarray([PLACE[p] for p in people], dtype=np.int64)
        ones = np.ones(len(keys))
        values = (keys, ones, ones, ones, ones * last, ones * last)
        return {n: Ragged(v, np.asarray([0, len(keys)])) for n, v in zip(names, values, strict=True)}

    lists = family(columns.HISTORY_LISTS, had, answered) | family(columns.RECEIVED_LISTS, wrote, at)
    return dataclasses.replace(empty, known=np.array([True]), state_at=np.array([at]), lists=empty.lists | lists)


def of(ties: np.ndarray, *people: str) -> list[float]:
    return [round(float(ties[0, PLACE[p]]), 4) for p in people]


def test_a_graph_counts_acquaintances_of_either_direction_once() -> None:
    found = Ties.of(row("a", had="b", wrote="c"), graph(("b", "d"), ("c", "c")))
    assert of(found.common, "d", "e", "f", "g") == [2.0, 1.0, 2.0, 0.0]
    assert of(found.followed, "d", "e", "f") == [1.0, 1.0, 0.0]  # whom b acted on
    b, c = 1 / np.log(4), 1 / np.log(3)  # b knows a, d, e and f; c knows a, d and f
    assert of(found.adamic_adar, "d", "e") == [round(b + c, 4), round(b, 4)]
    assert of(found.received, "b", "c") == [0.0, 1.0]


def test_who_nobody_knows_has_no_ties() -> None:
    nobody = UserRows.unknown(["x"], now=5)
    found = Ties.of(nobody, graph())
    assert not any(np.any(value) for value in vars(found).values())
    empty = Ties.of(row("a", had="b", wrote="c"), Graph.of(np.empty(0, np.int64), np.empty(0, np.int64), PLACE))
    assert not empty.common.any()
    assert of(empty.received, "c") == [1.0]


def test_a_graph_is_saved_without_names(tmp_path: Path) -> None:
    graph().save(tmp_path)
    again = Graph.load(tmp_path, PLACE)
    assert (again.actor.tolist(), again.target.tolist()) == (graph().actor.tolist(), graph().target.tolist())


def found_for(rows: UserRows, limits: Candidates) -> dict[str, str]:
    """Return the source of each candidate by name; nobody is more popular than another."""
    zeros = np.zeros(len(PLACE), np.int64)
    state = {name: np.zeros(len(PLACE)) for name in columns.ITEM_NUMBERS}
    catalogue = Catalogue(zeros[:, None], np.empty(0, np.int64), 1, zeros, zeros, state)
    barred = Eligibility(own=PLACE).dense(rows, len(PLACE))
    made = candidates(History.of(rows, fit(rows, len(PLACE)), graph()), catalogue, limits, barred=barred)
    return {"abcdefg"[item]: NAMES[code] for item, code in zip(made.item, made.source, strict=True)}


def test_sources_bring_people_in_their_order_and_nobody_themselves() -> None:
    off = {"history": 0, "neighbours": 0, "offers": 0, "popular": 1}
    told = found_for(row("a", had="b", wrote="cb"), Candidates(**off | {"reciprocity": 5, "adamic_adar": 1}))
    assert told == {"b": "reciprocity", "c": "reciprocity", "d": "adamic_adar", "e": "popular"}
    told = found_for(row("a", had="b"), Candidates(**off | {"friends_of_friends": 1, "common_neighbours": 5}))
    assert told == {"d": "common_neighbours", "e": "common_neighbours", "f": "common_neighbours", "b": "popular"}
    told = found_for(row("a", had="b"), Candidates(**off | {"friends_of_friends": 5}))
    assert told == {"d": "friends_of_friends", "e": "friends_of_friends", "b": "popular"}


def test_the_latest_of_those_who_wrote_come_first() -> None:
    limits = Candidates(history=0, neighbours=0, offers=0, popular=1, reciprocity=1)
    mine = row("a", wrote="cbd")
    last_at = Ragged(np.asarray([5.0, 9.0, 7.0]), mine.lists["received_last_at"].offsets)
    late = dataclasses.replace(mine, lists={**mine.lists, "received_last_at": last_at})
    assert found_for(late, limits)["b"] == "reciprocity"


def test_the_place_of_a_person_is_that_of_the_latest_contact_either_way() -> None:
    mine = row("a", had="b", wrote="c", answered=5.0, at=9)
    zeros = np.zeros(len(PLACE), np.int64)
    state = {name: np.zeros(len(PLACE)) for name in columns.ITEM_NUMBERS}
    catalogue = Catalogue(zeros[:, None], np.empty(0, np.int64), 1, zeros, zeros, state)
    history = History.of(mine, fit(mine, len(PLACE)), graph())
    everyone = given(history, np.arange(len(PLACE)))
    found = places.places(["latest_contact"], mine, everyone, history=history, catalogue=catalogue)
    assert found["place:latest_contact"].tolist() == [5.0, 2.0, 1.0, 5.0, 5.0, 5.0, 5.0]  # c, then b; the others alike


def test_given_people_are_told_by_the_source_that_would_bring_them() -> None:
    mine = row("a", had="b", wrote="c")
    made = given(History.of(mine, fit(mine, len(PLACE)), graph()), np.arange(len(PLACE)))
    told = {"abcdefg"[item]: NAMES[code] for item, code in zip(made.item, made.source, strict=True)}
    assert told == {
        "a": "adamic_adar",  # of oneself nobody asks
        "b": "history",
        "c": "reciprocity",
        "d": "adamic_adar",
        "e": "adamic_adar",
        "f": "adamic_adar",
        "g": "popular",
    }


def test_batch_lists_lack_a_row_that_names_nobody_any_more(tmp_path: Path) -> None:
    slices = {"ranking": {"people": True, "exclude_self": True}}
    released = ReleaseFolder(tmp_path, {"id": "r", "serving": slices})
    found = batch.eligible_of(released, ["a" * 16, "erased-1", "c" * 16], {})
    assert found.gone == frozenset({1})
    assert found.dense(row("a" * 16), 3).tolist() == [[True, True, False]]


def test_a_world_without_ties_asks_no_source_of_people() -> None:
    mine = row("a", had="b")
    history = History.of(mine, fit(mine, len(PLACE)))
    for source in (s for s in SOURCES if s.for_people):
        assert not finder(source.name).brings(history, np.arange(3)).any()


def facts_of(mine: UserRows, calendar: Calendar) -> dict[str, dict[str, float]]:
    """Return the facts of each person for one row."""
    zeros = np.zeros(len(PLACE), np.int64)
    catalogue = Catalogue(
        zeros[:, None], np.empty(0, np.int64), 1, zeros, zeros, {n: np.zeros(len(PLACE)) for n in columns.ITEM_NUMBERS}
    )
    history = History.of(mine, fit(mine, len(PLACE)), graph())
    found = encode.facts(
        mine,
        given(history, np.arange(len(PLACE))),
        history=history,
        probabilities=np.full((1, 1), 0.5, np.float32),
        catalogue=catalogue,
        calendar=calendar,
    )
    return {person: {name: round(float(values[n]), 4) for name, values in found.items()} for person, n in PLACE.items()}


def test_the_facts_of_people_are_what_happened() -> None:
    calendar = Calendar(worlds.FIRST_DAY)
    tuesday = int((calendar.start(10) + dt.timedelta(days=1)).timestamp())
    found = facts_of(row("a", had="b", wrote="bc", at=tuesday, answered=tuesday - 3 * 86_400), calendar)
    assert found["b"]["unanswered"] == 1.0  # they wrote after the user did
    assert (found["b"]["wrote_weeks"], found["b"]["wrote_since"]) == (1.0, 1.0)
    assert (found["b"]["wrote_days"], found["b"]["acted_days"]) == (0.0, 3.0)
    assert (found["c"]["wrote_weeks"], found["c"]["weeks_bought"]) == (1.0, 0.0)
    assert (found["d"]["wrote_weeks"], found["d"]["wrote_since"], found["d"]["wrote_days"]) == (0.0, 60.0, 420.0)
    assert (found["d"]["common_acquaintances"], found["d"]["friends_of_friends"]) == (2.0, 1.0)
    answered = facts_of(row("a", had="b", wrote="b", at=tuesday, answered=tuesday), calendar)
    assert answered["b"]["unanswered"] == 0.0


@pytest.mark.parametrize("step", STEPS)
def test_what_people_did_to_a_user_decays_as_what_the_user_did(step: Step) -> None:
    calendar = Calendar(worlds.FIRST_DAY, step=step)
    at = int(calendar.start(10).timestamp()) + 60
    mine = row("a", had="b", wrote="b", at=at, answered=at)
    later = dataclasses.replace(mine, now=mine.now + 7 * calendar.pace.seconds)
    found = facts_of(later, calendar)["b"]
    assert found["wrote_slow"] == found["slow"] == round(calendar.pace.slow**7, 4)


# What was known when --------------------------------------------------------------------------------


def edges(*rows: tuple[str, str, int, int]) -> Edges:
    """Make edges of (who, whom, week of it, week in which it became known)."""
    calendar = Calendar(worlds.FIRST_DAY)
    at, known = ([calendar.start(r[n]) + dt.timedelta(days=1) for r in rows] for n in (2, 3))
    table = {"user_id": [r[0] for r in rows], "item_id": [r[1] for r in rows], "event": ["message"] * len(rows)}
    kind = pa.timestamp("us", tz="UTC")
    table |= {"timestamp": pa.array(at, kind), "created_at": pa.array(known, kind)}
    return Edges.of(pa.table(table), list(PLACE), calendar, event="message")


def test_a_tie_is_known_from_the_week_after_its_first_event_was() -> None:
    made = edges(("a", "b", 5, 5), ("a", "b", 3, 3), ("b", "c", 2, 6), ("c", "c", 1, 1), ("x", "a", 1, 1))
    pairs = {week: list(zip(*(part.tolist() for part in made.before(week)), strict=True)) for week in (3, 4, 6, 7)}
    assert pairs == {3: [], 4: [(0, 1)], 6: [(0, 1)], 7: [(0, 1), (1, 2)]}


def test_only_events_of_the_kind_that_counts_are_ties() -> None:
    table = pa.table({"user_id": ["a"], "item_id": ["b"], "event": ["view"]})
    for name in ("timestamp", "created_at"):
        at = pa.array([Calendar(worlds.FIRST_DAY).start(2)], pa.timestamp("us", tz="UTC"))
        table = table.append_column(name, at)
    calendar = Calendar(worlds.FIRST_DAY)
    assert len(Edges.of(table, list(PLACE), calendar, event="message").actor) == 0
    assert len(Edges.of(table, list(PLACE), calendar, event=None).actor) == 1


@pytest.fixture(scope="module")
def replied(tmp_path_factory: pytest.TempPathFactory) -> people_worlds.Made:
    """A world in which people answer who wrote to them."""
    return people_worlds.make(people_worlds.replies(), tmp_path_factory.mktemp("replies"))


@pytest.mark.world
def test_no_row_and_no_graph_knows_what_a_world_without_a_future_does_not(
    replied: people_worlds.Made, tmp_path: Path
) -> None:
    whole, cut, week = replied.world, tmp_path / "cut", 13
    start = Calendar(worlds.FIRST_DAY).start(week)
    # Of what came later another thing is told: who wrote to whom is turned round.
    turned = [
        e if e["timestamp"] < start else e | {"user_id": e["item_id"], "item_id": e["user_id"]} for e in whole.events
    ]
    other = people_worlds.make(dataclasses.replace(whole, events=turned), cut)
    one, two = (examples.load(made.rows, made.intent, SPEC) for made in (replied, other))
    assert one.vocabulary.digest == two.vocabulary.digest
    for at in (10, week):
        mine, theirs = one.graph(at), two.graph(at)
        assert mine is not None
        assert theirs is not None
        assert mine.actor.tolist() == theirs.actor.tolist()
        assert mine.target.tolist() == theirs.target.tolist()
    after = (one.graph(week + 2), two.graph(week + 2))
    assert after[0] is not None
    assert after[1] is not None
    assert after[0].actor.tolist() != after[1].actor.tolist()  # the turn is seen, where it may be
    rows = [pq.read_table(made.profiles / "user_received.parquet") for made in (replied, other)]
    order = [("week", "ascending"), ("user_id", "ascending")]
    before = [table.filter(pc.less_equal(table["week"], week)).sort_by(order) for table in rows]
    assert before[0].num_rows > 100
    assert before[0].equals(before[1])
    assert not rows[0].equals(rows[1])


# Known answers ----------------------------------------------------------------------------------------


def judged(made: people_worlds.Made, spec: Ranking) -> tuple[World, Ranker, Evaluation]:
    world = examples.load(made.rows, made.intent, spec)
    ranker = train(world, spec).ranker
    return world, ranker, evaluate(ranker, world)


@pytest.mark.world
def test_where_people_answer_the_ranker_finds_who_wrote_to_them(replied: people_worlds.Made, tmp_path: Path) -> None:
    world, ranker, found = judged(replied, SPEC)
    simple = {name: values["ndcg_at_10"] for name, values in found.baselines.items()}
    assert set(simple) == set(BASELINES) | set(PEOPLES)
    assert simple["latest_contact"] > 1.5 * max(simple[name] for name in BASELINES)
    assert found.test["ndcg_at_10"] > 0.97 * simple["latest_contact"]  # which is all there is to know here
    assert found.gain["item_knn"][0] > 0
    # A person is asked about alone as with all others, from a folder as from memory.
    (tmp_path / "ranker").mkdir()
    ranker.save(tmp_path / "ranker")
    loaded = Ranker.load(tmp_path / "ranker")
    last = world.examples.of_weeks(world.weeks("test")[-1:])
    scored = [one.rank(last.rows, last.probabilities) for one in (ranker, loaded)]
    np.testing.assert_allclose(scored[0].scores, scored[1].scores)
    me = world.eligible.own
    answers = [loaded.recommend(last.rows.take(np.array([b])), last.probabilities[b], k=5) for b in range(5)]
    assert all(me[str(last.rows.user_id[b])] not in [one.item_index for one in answers[b]] for b in range(5))
    reasons = {name for answer in answers for one in answer for name in one.reasons}
    assert {"wrote_weeks", "wrote_since"} <= reasons


@pytest.mark.world
def test_a_ranker_whose_row_of_somebody_was_emptied_scores_all_others_as_before(
    replied: people_worlds.Made, tmp_path: Path
) -> None:
    spec = SPEC.model_copy(update={"epochs": 1})
    world, folder = examples.load(replied.rows, replied.intent, spec), tmp_path / "release" / "ranking"
    folder.mkdir(parents=True)
    train(world, spec).ranker.save(folder)
    whole, place = Ranker.load(folder), world.vocabulary.index_of_item["p05"]
    assert erasure.erase(folder / "vocabulary", ["p05"], None) >= 1
    emptied = Ranker.load(folder)
    assert emptied.vocabulary.item_ids[place] == f"erased-{place}"
    assert emptied.vocabulary.digest == whole.vocabulary.digest
    last = world.examples.of_weeks(world.weeks("test")[-1:])
    others = np.flatnonzero([str(user) != "p05" for user in last.rows.user_id])
    rows, probabilities = last.rows.take(others), last.probabilities[others]
    scored = [one.rank(rows, probabilities) for one in (whole, emptied)]
    np.testing.assert_array_equal(scored[0].scores, scored[1].scores)
    released = ReleaseFolder(tmp_path, {"id": "r", "serving": {"ranking": {"people": True, "exclude_self": True}}})
    batched = dataclasses.replace(emptied, eligible=batch.eligible_of(released, emptied.vocabulary.item_ids, {}))
    shown = [
        one.item_index
        for b in range(len(rows))
        for one in batched.recommend(rows.take(np.array([b])), probabilities[b], k=len(emptied.catalogue))
    ]
    assert place not in shown
    assert set(shown) == set(range(len(emptied.catalogue))) - {place}


@pytest.mark.world
def test_where_triangles_close_common_acquaintances_beat_all_that_knows_no_graph(tmp_path: Path) -> None:
    new = Ranking.model_validate(SPEC.model_dump() | {"repeat": "forbid"})
    made = people_worlds.make(people_worlds.triangles(), tmp_path, whole_history=True)
    _, _, found = judged(made, new)
    simple = {name: values["ndcg_at_10"] for name, values in found.baselines.items()}
    assert max(simple["common_neighbours"], simple["adamic_adar"]) > 1.2 * max(simple[name] for name in BASELINES)
    assert found.test["ndcg_at_10"] > 1.5 * simple["unseen_popular"]


def test_a_ranker_of_other_items_sees_what_it_saw() -> None:
    assert feature_names.features(people=False) == feature_names.FEATURES
    assert not set(feature_names.PEOPLE) & set(feature_names.FEATURES)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"candidates": {"reciprocity": 5}}, "candidates: reciprocity finds people, and items are none here"),
        ({"people": True}, "exclude_self: false is not allowed where items are users"),
    ],
)
def test_a_slice_that_contradicts_itself_is_refused(said: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Ranking.model_validate(said)


def test_sources_of_people_that_are_off_are_in_no_dump() -> None:
    assert not set(OF_PEOPLE) & set(Ranking().model_dump()["candidates"])
    off = SPEC.model_copy(update={"candidates": Candidates(**{"reciprocity": 0})})
    assert Ranking.model_validate(off.model_dump()) == off  # of people, off is said
    assert Candidates.model_validate(Candidates(**{"reciprocity": 3}).model_dump()).limit("reciprocity") == 3
