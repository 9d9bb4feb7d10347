"""The checkerboard's ranker over items that came after its training, and over withdrawn ones."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.ranking import batch, open_catalogue
from components.ranking.batch import GROUP
from components.ranking.score import Ranker
from components.ranking.scored import Recommended
from feature_repo.documents.changes import ITEM, Newest
from feature_repo.fallback import RUNG, Fallback, ListedItem
from feature_repo.live_items import live
from tests.ranking import board
from tests.ranking.board import ITEMS, Happened, cold_rows, intents, known_row, start, user_rows


def over(ranker: Ranker, **documents: dict[str, Any] | None) -> Ranker:
    newest = [Newest(ITEM, one, n, (n, 0), document) for n, (one, document) in enumerate(documents.items(), 1)]
    return open_catalogue.over(ranker, live(ranker.vocabulary, newest))


def recommended(ranker: Ranker, happened: dict[str, Happened], user: str, k: int = ITEMS + 9) -> list[Recommended]:
    rows = user_rows(known_row(user, happened[user], 21))
    return ranker.recommend(rows, np.asarray(intents(user), np.float32), k=k)


def names(ranker: Ranker, found: list[Recommended]) -> list[str]:
    return [ranker.vocabulary.item_ids[one.item_index] for one in found]


def test_a_new_item_is_recommended_to_whom_its_category_fits_before_any_training(
    ranker: Ranker, happened: dict[str, Happened]
) -> None:
    grown = over(ranker, kale={"title": "Kale", "category": "C0", "brand": "EVEN"})
    for user, fits in (("u00", True), ("u02", True), ("u01", False), ("u03", False)):
        found = recommended(grown, happened, user, k=15)
        assert ("kale" in names(grown, found)) is fits, user
        assert [one.source for one in found if one.item_index == ITEMS] == (["new"] if fits else [])


def test_what_a_new_item_is_like_decides_its_score(ranker: Ranker, happened: dict[str, Happened]) -> None:
    grown = over(ranker, even={"category": "C0"}, odd={"category": "C1"}, blank={"title": "Who knows"})
    rows, chances = user_rows(known_row("u00", happened["u00"], 21)), np.asarray(intents("u00"), np.float32)
    even, odd, blank = grown.score(rows, chances, np.arange(ITEMS, ITEMS + 3)).tolist()
    assert even > odd
    assert even > blank
    mine = list(range(0, ITEMS, 6))  # C0, learnt
    others = grown.score(rows, chances, np.asarray(mine))
    assert others.min() <= even <= others.max(), "a new item stands among its own category's"


def test_the_newest_of_more_than_fit_come_first(ranker: Ranker, happened: dict[str, Happened]) -> None:
    grown = over(ranker, **{f"n{n}": {"category": "C0"} for n in range(40)})
    found = recommended(grown, happened, "u00", k=60)
    brought = {name for name, one in zip(names(grown, found), found, strict=True) if one.source == "new"}
    assert brought >= {f"n{n}" for n in range(20, 40)}


def test_scores_of_a_releases_own_items_do_not_move(ranker: Ranker, happened: dict[str, Happened]) -> None:
    grown = over(ranker, kale={"category": "C0"}, i05={"available": False})
    rows, chances = user_rows(known_row("u00", happened["u00"], 21)), np.asarray(intents("u00"), np.float32)
    everything = np.arange(ITEMS)
    np.testing.assert_array_equal(
        grown.score(rows, chances, everything), ranker.score(rows, chances, everything), strict=True
    )


def test_a_log_that_says_nothing_changes_no_answer(ranker: Ranker, happened: dict[str, Happened]) -> None:
    assert recommended(over(ranker), happened, "u00") == recommended(ranker, happened, "u00")


def test_a_withdrawn_item_is_in_no_answer_however_long(ranker: Ranker, happened: dict[str, Happened]) -> None:
    best = names(ranker, recommended(ranker, happened, "u00"))[0]
    grown = over(ranker, **{best: {"available": False}, "kale": {"category": "C0", "available": False}})
    answer = names(grown, recommended(grown, happened, "u00"))
    assert len(answer) == ITEMS - 1
    assert not {best, "kale"} & {*answer}
    cold = grown.recommend(cold_rows(start(21)), np.asarray(intents("u00"), np.float32), k=ITEMS + 9)
    assert not {best, "kale"} & {*names(grown, cold)}
    back = over(ranker, **{best: {"available": True}})
    assert names(back, recommended(back, happened, "u00"))[0] == best


@pytest.mark.parametrize("rung", ["fresh", "segment", "popular"])
def test_batch_lists_hold_later_items_and_no_withdrawn_one_on_any_rung(
    ranker: Ranker, happened: dict[str, Happened], rung: str
) -> None:
    grown = over(ranker, i00={"available": False}, i29={"available": False}, kale={"category": "C0"})
    listed = [ListedItem(np.asarray(items), np.full(5, 0.2)) for items in (range(5), range(ITEMS - 5, ITEMS))]
    standby = Fallback("d", ("one",), np.zeros((2, 7), np.float32), tuple(listed))
    rows = board.table([known_row("u00", happened["u00"], 21)]).drop(["week", "bought"])
    rows = rows.append_column(RUNG, pa.array([rung])).append_column(GROUP, pa.array([0 if rung == "segment" else 1]))
    (answer,) = batch.recommended(rows, np.asarray([intents("u00")], np.float32), grown, standby, k=ITEMS + 9)
    shown = [grown.vocabulary.item_ids[item] for item, *_ in answer]
    assert sorted(shown) == sorted({*grown.vocabulary.item_ids} - {"i00", "i29"})  # a long list has all the others


def test_an_item_of_another_category_is_scored_by_it(ranker: Ranker, happened: dict[str, Happened]) -> None:
    moved = over(ranker, i01={"category": "C0"})
    rows, chances = user_rows(known_row("u00", happened["u00"], 21)), np.asarray(intents("u00"), np.float32)
    (before,), (after,) = (one.score(rows, chances, np.asarray([1])) for one in (ranker, moved))
    assert after > before


@pytest.mark.parametrize("grown_twice", [False, True])
def test_positions_are_the_same_at_every_version(ranker: Ranker, grown_twice: bool) -> None:
    documents: dict[str, Any] = {"b": {"category": "C1"}, "a": {"category": "C0"}}
    more: dict[str, Any] = {"c": {"category": "C2"}} if grown_twice else {}
    assert over(ranker, **documents, **more).vocabulary.item_ids[ITEMS : ITEMS + 2] == ["b", "a"]


def test_a_new_item_is_scored_at_least_as_a_typical_one_of_its_category(
    ranker: Ranker, happened: dict[str, Happened]
) -> None:
    grown = over(ranker, kale={"category": "C0"}, thing={"category": "C1"})
    rows, chances = user_rows(known_row("u00", happened["u00"], 21)), np.asarray(intents("u00"), np.float32)
    for item, category in ((ITEMS, 0), (ITEMS + 1, 1)):
        known = np.arange(category, ITEMS, 6)
        (score,) = grown.score(rows, chances, np.asarray([item]))
        assert score >= np.median(ranker.score(rows, chances, known)) - 1e-6
    alone = grown.score(rows, chances, np.asarray([ITEMS]))
    together = grown.score(rows, chances, np.asarray([3, ITEMS, ITEMS + 1]))
    assert alone[0] == pytest.approx(together[1], abs=1e-6)
