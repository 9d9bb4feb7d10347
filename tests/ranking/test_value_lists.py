"""Values of attributes: tables and scores by hand, and the checkerboard, where a user's brand is their colour."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.ranking import train as training
from components.ranking import value_lists
from components.ranking.candidates import CandidateSet
from components.ranking.examples import World
from components.ranking.levels import Facts
from components.ranking.score import Ranker
from components.ranking.scored import Scored
from components.ranking.spec import Ranking
from components.ranking.train import Trained
from components.ranking.value_lists import Parts, ValueTable
from feature_repo.errors import DataError, SpecError
from feature_repo.rows import Ragged
from tests.ranking import board
from tests.ranking.board import ITEMS, Happened, cold_rows, intents, known_row, start, user_rows


def table() -> ValueTable:
    """Items 0 to 3: rock; rock and jazz; none; jazz."""
    vocabulary = board.vocabulary()
    genres = [["rock"], ["rock", "jazz"], None, ["jazz", "jazz"], *([None] * (ITEMS - 4))]
    items = vocabulary.items.append_column("genres", pa.array(genres, pa.list_(pa.string())))
    return ValueTable.of(replace(vocabulary, items=items), "genres")


def test_a_table_pairs_items_with_each_value_once() -> None:
    found = table()
    assert found.values == ("jazz", "rock")
    assert list(zip(found.item.tolist(), found.value.tolist(), strict=True)) == [(0, 1), (1, 0), (1, 1), (3, 0)]


def test_items_weights_are_summed_over_their_values() -> None:
    weight = np.zeros((2, ITEMS))
    weight[0, :4] = [1, 2, 4, 8]
    weight[1, 3] = 1
    assert table().spread(weight).tolist() == [[10, 3], [1, 0]]


def test_wanted_values_are_those_of_wanted_items_each_once() -> None:
    items = Ragged(np.array([0, 1, 2, 3]), np.array([0, 2, 3, 3, 4]))
    found = table().wanted(items)
    assert (found.values.tolist(), found.offsets.tolist()) == ([0, 1, 0], [0, 2, 2, 2, 3])


def test_a_softmax_is_over_each_rows_own_candidates_and_a_formulas_scores_are_shared_out() -> None:
    found = CandidateSet(np.array([4, 7, 4]), np.zeros(3, np.int8), np.array([0, 2, 3]))
    scored = Scored(found, Facts({}, {}), np.log(np.array([1.0, 3.0, 5.0])))
    assert value_lists.shares(scored, formula=False) == pytest.approx([0.25, 0.75, 1.0])
    counted = replace(scored, scores=np.array([1.0, 4.0, -1.0]))
    assert value_lists.shares(counted, formula=True) == pytest.approx([0.2, 0.8, 0.0])


def test_a_mix_is_of_shares_and_what_may_not_be_shown_is_last() -> None:
    one = np.array([[0.6, 0.4, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0, 0.0]]), np.array([[0.1, 0.1, 0.2, 0.9]])
    known = Parts(*one, allowed=np.array([[True, True, True, False]]))
    assert value_lists.best(known.mixed(1.0), 4).tolist() == [[0, 1, 2, -1]]
    assert value_lists.best(known.mixed(0.0), 4).tolist() == [[1, 2, 0, -1]], "what the history lacks by popularity"
    assert known.mixed(0.5)[0, :2] == pytest.approx([0.3, 0.7], abs=1e-5)


@pytest.fixture(scope="module")
def valued(trained: Trained, world: World) -> Ranker:
    return value_lists.fitted(trained.ranker, world, world.weeks("validate"), ("brand", "category"))


def brands(ranker: Ranker, happened: dict[str, Happened], user: str, **ask: object) -> list[str]:
    rows = user_rows(known_row(user, happened[user], 21))
    chances = np.asarray(intents(user), np.float32)
    return [one.value for one in ranker.values(rows, chances, attribute="brand", k=9, **ask)]  # type: ignore[arg-type]


def test_a_users_brand_is_their_colour(valued: Ranker, happened: dict[str, Happened]) -> None:
    for user in ("u00", "u02", "u01", "u13"):
        mine = "ODD" if int(user[1:]) % 2 else "EVEN"
        assert brands(valued, happened, user)[0] == mine
        assert len(brands(valued, happened, user)) == 2


def test_an_answer_says_why_and_by_which_items(valued: Ranker, happened: dict[str, Happened]) -> None:
    rows = user_rows(known_row("u00", happened["u00"], 21))
    first = valued.values(rows, np.asarray(intents("u00"), np.float32), attribute="brand", k=1)[0]
    assert {item % 2 for item in first.items} == {0}
    assert len(first.items) == 3
    assert first.source == "history"
    assert first.reasons["share_of_history"] == pytest.approx(1.0, abs=1e-3)
    assert 0.5 < first.score <= 1.01


def test_a_cold_user_gets_all_values_and_no_history(valued: Ranker) -> None:
    found = valued.values(cold_rows(start(21)), np.asarray(intents("u00"), np.float32), attribute="category", k=9)
    assert len(found) == 6
    assert all("share_of_history" not in one.reasons for one in found)


def test_a_value_of_which_nothing_may_be_shown_is_not_listed(valued: Ranker, happened: dict[str, Happened]) -> None:
    even = frozenset(range(0, ITEMS, 2))
    assert brands(valued, happened, "u00", exclude=even) == ["ODD"]
    hidden = np.zeros(ITEMS, dtype=bool)
    hidden[list(even)] = True
    withdrawn = replace(valued, catalogue=replace(valued.catalogue, hidden=hidden))
    assert brands(withdrawn, happened, "u00") == ["ODD"]


def test_many_rows_at_once_say_what_one_alone_does(valued: Ranker, world: World) -> None:
    examples = world.examples.of_weeks(world.weeks("test"))
    examples = examples.take(np.arange(12))
    scored = valued.rank(examples.rows, examples.probabilities)
    known = value_lists.of_chunk(valued, examples, scored, valued.value_table("category"))
    together = value_lists.best(known.mixed(valued.recommends["category"]), 6)
    names = valued.value_table("category").values
    for row in range(12):
        alone = valued.values(
            examples.rows.take(np.array([row])), examples.probabilities[row], attribute="category", k=6
        )
        assert [one.value for one in alone] == [names[v] for v in together[row]]


def test_the_mix_is_the_best_of_validation_and_no_worse_there_than_either_end(
    trained: Trained, world: World, valued: Ranker
) -> None:
    def ndcg(share: float) -> float:
        ranker = replace(trained.ranker, recommends={"category": share})
        found = value_lists.report(ranker, world, part="validate")["category"]
        return float(found["model"]["ndcg_at_10"])  # type: ignore[index]

    every = {share: ndcg(share) for share in value_lists.SHARES}
    assert every[valued.recommends["category"]] == pytest.approx(max(every.values()), abs=1e-4)


def test_a_report_compares_with_what_is_popular_and_with_the_history(valued: Ranker, world: World) -> None:
    found = value_lists.report(valued, world)
    assert set(found) == {"brand", "category"}
    one = found["brand"]
    assert one["model"]["ndcg_at_10"] > 0.95, "a colour is known after one week"  # type: ignore[index]
    assert one["popular"]["ndcg_at_10"] < 0.9  # type: ignore[index]
    assert one["values"] == 2
    assert len(one["gain"]) == 2  # type: ignore[arg-type]


def test_without_the_field_nothing_is_fitted_reported_or_written(
    trained: Trained, world: World, tmp_path: Path
) -> None:
    assert trained.ranker.recommends == {}
    assert value_lists.report(trained.ranker, world) == {}
    trained.ranker.save(tmp_path)
    assert "recommend" not in json.loads((tmp_path / "config.json").read_text())
    assert "recommend" not in Ranking().model_dump()


def test_a_saved_ranker_says_the_same(valued: Ranker, happened: dict[str, Happened], tmp_path: Path) -> None:
    valued.save(tmp_path)
    again = Ranker.served(tmp_path)
    assert again.recommends == valued.recommends
    assert brands(again, happened, "u07") == brands(valued, happened, "u07")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("brnd", "models.ranking.recommend[0]: 'brnd' is no text attribute of the items; have "),
        ("item_id", "models.ranking.recommend[0]: 'item_id' is no text attribute of the items; have "),
        ("price", "models.ranking.recommend[0]: 'price' is no text attribute of the items; have "),
    ],
)
def test_an_attribute_that_is_none_is_refused_before_training(world: World, name: str, error: str) -> None:
    with pytest.raises(SpecError) as refusal:
        training.train(world, board.SPEC.model_copy(update={"recommend": (name,)}))
    assert str(refusal.value).startswith(error)
    if name == "brnd":
        assert "did you mean 'brand'" in str(refusal.value) or "brand" in str(refusal.value)


def test_an_attribute_that_was_not_declared_is_refused(valued: Ranker, happened: dict[str, Happened]) -> None:
    rows = user_rows(known_row("u00", happened["u00"], 21))
    with pytest.raises(DataError, match=r"attribute: 'title' is not in models.ranking.recommend; have brand, category"):
        valued.values(rows, np.asarray(intents("u00"), np.float32), attribute="title", k=3)


def on_offer(ranker: Ranker) -> Ranker:
    """Put items 2 and 5 into the flyer, and give 5 a coupon."""
    state = {name: np.zeros(ITEMS) for name in ("offer_flyer", "offer_display", "offer_coupon")}
    state["offer_flyer"][[2, 5]], state["offer_coupon"][5] = [0.5, 1.0], 0.25
    catalogue = replace(ranker.catalogue, state=ranker.catalogue.state | state)
    return replace(ranker, catalogue=catalogue, recommends={"offers": 1.0})


def test_offers_are_the_items_on_offer_and_say_how(ranker: Ranker, happened: dict[str, Happened]) -> None:
    row, chances = user_rows(known_row("u00", happened["u00"], 21)), np.asarray(intents("u00"), np.float32)
    found = on_offer(ranker).values(row, chances, attribute="offers", k=9)
    assert [one.value for one in found] == [ranker.vocabulary.item_ids[n] for n in (2, 5)], "even users, even items"
    by_item = {one.value: one for one in found}
    coupon = by_item[ranker.vocabulary.item_ids[5]].reasons
    assert (coupon["offer_flyer"], coupon["offer_coupon"]) == (1.0, 0.25)
    assert "offer_display" not in coupon
    hidden = on_offer(ranker).values(row, chances, attribute="offers", k=9, exclude={2})
    assert [one.value for one in hidden] == [ranker.vocabulary.item_ids[5]]


def test_wanted_offers_are_those_whose_items_were_had(ranker: Ranker) -> None:
    table = on_offer(ranker).value_table("offers")
    found = table.wanted(Ragged(np.array([5, 9, 7]), np.array([0, 2, 3])))
    assert (found.values.tolist(), found.offsets.tolist()) == ([1], [0, 1, 1])


def test_offers_that_no_step_has_are_refused_before_training(world: World) -> None:
    with pytest.raises(SpecError, match=r"models\.ranking\.recommend\[0\]: the source has no offers of these items"):
        training.train(world, board.SPEC.model_copy(update={"recommend": ("offers",)}))


def test_a_column_of_that_name_is_an_attribute_as_others_are(ranker: Ranker) -> None:
    items = ranker.vocabulary.items.append_column("offers", pa.array(["a"] * ITEMS))
    assert replace(ranker, vocabulary=replace(ranker.vocabulary, items=items)).value_table("offers").values == ("a",)


def test_an_attribute_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'brand' is named twice; name each attribute once"):
        Ranking(recommend=("brand", "brand"))
