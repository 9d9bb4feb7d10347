from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.ranking.score import Ranker
from components.ranking.scored import Recommended, top
from components.ranking.spec import Candidates
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from tests.ranking.board import ITEMS, Happened, cold_rows, intents, known_row, start, user_rows

EVERYONE = range(40)


@pytest.fixture(scope="module")
def rows(happened: dict[str, Happened]) -> UserRows:
    """Give every user's row after the last week."""
    return user_rows(*(known_row(user, weeks, 21) for user, weeks in happened.items()))


def probabilities(b: int) -> np.ndarray:
    return np.array(intents(f"u{b:02}"), dtype=np.float32)


def ask(ranker: Ranker, rows: UserRows, b: int, **options: object) -> list[Recommended]:
    return ranker.recommend(rows.take(np.array([b])), probabilities(b), **{"k": 10, **options})  # type: ignore[arg-type]


def test_even_users_get_even_items(ranker: Ranker, rows: UserRows) -> None:
    for b in EVERYONE:
        assert all(r.item_index % 2 == b % 2 for r in ask(ranker, rows, b, k=5))


def test_the_first_recommendation_is_a_favourite_of_late(
    ranker: Ranker, rows: UserRows, happened: dict[str, Happened]
) -> None:
    hits = []
    for b, weeks in enumerate(happened.values()):
        late = np.bincount([i for week, items in weeks.items() if week >= 11 for i in items], minlength=ITEMS)
        hits.append(late[ask(ranker, rows, b, k=1)[0].item_index] >= np.sort(late)[-4])
    assert np.mean(hits) > 0.9


def test_scores_fall_and_no_item_comes_twice(ranker: Ranker, rows: UserRows) -> None:
    answer = ask(ranker, rows, 0, k=15)
    assert [r.score for r in answer] == sorted((r.score for r in answer), reverse=True)
    assert len({r.item_index for r in answer}) == 15


def test_a_saved_ranker_recommends_the_same_when_loaded(ranker: Ranker, rows: UserRows, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    again = Ranker.load(tmp_path)
    assert [ask(again, rows, b) for b in EVERYONE] == [ask(ranker, rows, b) for b in EVERYONE]
    assert not list(tmp_path.rglob("*.pkl")) + list(tmp_path.rglob("*.pt"))


def test_users_together_get_the_scores_that_each_gets_alone(ranker: Ranker, rows: UserRows) -> None:
    scored = ranker.rank(rows, np.stack([probabilities(b) for b in EVERYONE]))
    for b in EVERYONE:
        mine = slice(scored.found.offsets[b], scored.found.offsets[b + 1])
        alone = ranker.rank(rows.take(np.array([b])), probabilities(b)[None])
        assert alone.found.item.tolist() == scored.found.item[mine].tolist()
        assert np.allclose(alone.scores, scored.scores[mine], atol=1e-6)


def test_score_agrees_with_recommend(ranker: Ranker, rows: UserRows) -> None:
    answer = ask(ranker, rows, 3)
    items = np.array([r.item_index for r in answer])
    scores = ranker.score(rows.take(np.array([3])), probabilities(3), items)
    assert np.allclose(scores, [r.score for r in answer], atol=1e-6)


def test_k_larger_than_the_catalogue_gives_the_whole_catalogue_once(ranker: Ranker, rows: UserRows) -> None:
    answer = ask(ranker, rows, 1, k=10 * ITEMS)
    assert sorted(r.item_index for r in answer) == list(range(ITEMS))
    assert [r.score for r in answer] == sorted((r.score for r in answer), reverse=True)


def test_a_longer_answer_begins_with_the_shorter_one(ranker: Ranker, rows: UserRows) -> None:
    longest = ask(ranker, rows, 1, k=ITEMS)
    assert all(ask(ranker, rows, 1, k=k) == longest[:k] for k in (1, 5, 12, 20, 25))


def test_past_the_candidates_popular_items_follow_in_order(ranker: Ranker, rows: UserRows) -> None:
    few = replace(ranker, spec=Candidates(history=1, neighbours=0, popular=1))
    answer = ask(few, rows, 0, k=6)
    first = {r.item_index for r in answer[:2]}
    expected = [i for i in ranker.catalogue.by_popularity if i not in first][:4]
    assert [r.item_index for r in answer[2:]] == expected


def test_a_cold_user_gets_popular_items(ranker: Ranker) -> None:
    likely = np.full(7, 0.1, dtype=np.float32)
    answer = ranker.recommend(cold_rows(start(21)), likely, k=5)
    assert {r.source for r in answer} == {"popular"}
    assert {r.item_index for r in answer} == set(ranker.catalogue.by_popularity[:5].tolist())
    assert all(np.isfinite(r.score) and r.reasons["popular_share"] > 0 for r in answer)


def test_excluded_items_never_come_back_even_to_fill_the_answer(ranker: Ranker, rows: UserRows) -> None:
    unwanted = frozenset(r.item_index for r in ask(ranker, rows, 0, k=5))
    answer = ask(ranker, rows, 0, k=ITEMS, exclude=unwanted)
    assert sorted(r.item_index for r in answer) == sorted(set(range(ITEMS)) - unwanted)


def test_excluding_everything_gives_an_empty_answer(ranker: Ranker, rows: UserRows) -> None:
    assert ask(ranker, rows, 0, exclude=frozenset(range(ITEMS))) == []


def test_reasons_are_what_happened(ranker: Ranker, rows: UserRows, happened: dict[str, Happened]) -> None:
    found = [r for r in ask(ranker, rows, 2) if r.source == "history"]
    assert found
    for r in found:
        weeks = [w for w, items in happened["u02"].items() if r.item_index in items]
        assert r.reasons["weeks_bought"] == len(weeks)
        assert r.reasons["weeks_since"] == 21 - max(weeks)
        assert r.reasons["intent"] == pytest.approx(0.6)


def test_intent_moves_the_order(ranker: Ranker) -> None:
    likely = np.full(7, 0.05, dtype=np.float32)
    wanted = ranker.catalogue.by_popularity[4]
    target = int(ranker.catalogue.targets[wanted, 0])
    raised = likely.copy()
    raised[target] = 0.9
    calm, keen = (ranker.score(cold_rows(start(21)), p, np.array([wanted]))[0] for p in (likely, raised))
    assert keen > calm


def test_equal_scores_stand_in_order_of_the_items(ranker: Ranker, rows: UserRows) -> None:
    blank = replace(ranker, net=type(ranker.net)(ranker.net.n_features, width=8, dropout=0.0))
    for weights in blank.net.parameters():
        weights.data.zero_()
    items = [r.item_index for r in ask(blank, rows, 0)]
    assert items == sorted(items)


def test_an_item_outside_the_vocabulary_is_refused(ranker: Ranker, rows: UserRows) -> None:
    with pytest.raises(DataError, match=r"item_indexes: .*0\.\.29"):
        ranker.score(rows.take(np.array([0])), probabilities(0), np.array([ITEMS]))


def test_a_model_of_other_features_is_refused(ranker: Ranker, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    config = files.read_json(tmp_path / "config.json")
    files.write_json(tmp_path / "config.json", config | {"features": [*config["features"], "moon_phase"]})
    with pytest.raises(DataError, match="moon_phase"):
        Ranker.load(tmp_path)


def test_the_last_bits_of_a_network_s_scores_order_nothing(ranker: Ranker, rows: UserRows) -> None:
    """Scores that are alike but for rounding: the smaller item comes first, as where they are equal."""
    scored = ranker.rank(rows.take(np.array([0])), probabilities(0)[None])
    n = len(scored.found.item)
    alike = (1 + 1.2e-7 * (np.arange(n) % 3)).astype(np.float32)
    assert len(set(alike.tolist())) == 3
    assert top(replace(scored, scores=alike), n)[0].tolist() == np.argsort(scored.found.item).tolist()
    apart = 1 + 1e-7 * np.arange(n)  # float64, a baseline's: these it tells apart
    assert top(replace(scored, scores=apart), n)[0].tolist() == list(range(n))[::-1]


def test_the_best_of_one_row_are_those_it_has_among_others(ranker: Ranker, rows: UserRows) -> None:
    chances = np.array([probabilities(b) for b in EVERYONE])
    together = ranker.rank(rows, chances)
    steps = np.round(together.scores * 4).astype(np.float32) / 4  # many are tied
    together = replace(together, scores=steps)
    for b in EVERYONE:
        mine = slice(together.found.offsets[b], together.found.offsets[b + 1])
        alone = replace(ranker.rank(rows.take(np.array([b])), chances[[b]]), scores=steps[mine])
        odd = together.found.item % 2 == 1
        for k in (0, 1, 3, 10_000):
            for allowed in (None, odd):
                best = top(together, k, allowed=allowed)[b]
                own = top(alone, k, allowed=None if allowed is None else allowed[mine])[0]
                assert own.tolist() == np.where(best >= 0, best - mine.start, -1).tolist()
