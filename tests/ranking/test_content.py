"""Texts of items as candidates and features: by value, the same for one row as for many, and for items nobody chose."""

import dataclasses
import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from components.ranking import batch, encode, examples, feature_names, open_catalogue
from components.ranking.candidates import candidates, given
from components.ranking.content import Content
from components.ranking.evaluate import evaluate
from components.ranking.examples import World
from components.ranking.history import History
from components.ranking.score import Ranker
from components.ranking.sources import NAMES
from components.ranking.spec import OF_VECTORS, Candidates, Ranking
from components.ranking.train import train
from components.vectors.build import Work, encoded
from feature_repo import env_names
from feature_repo.documents import opened
from feature_repo.documents.changes import ITEM, VECTOR, Newest
from feature_repo.documents.log import DocumentLog, Snapshot
from feature_repo.documents.sqlite import SqliteShelf
from feature_repo.errors import DataError
from feature_repo.item_vectors import FOLDER, document, text_digest
from feature_repo.live_items import declared, live
from feature_repo.release_folder import ReleaseFolder
from tests.ranking import content_worlds as worlds
from tests.ranking.board import ITEMS, SPEC, Happened, cold_rows, intents, known_row, start, user_rows

NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
SPEC_VECTORS = worlds.SPEC.slice()
LIMITS = Candidates(history=10, neighbours=5, popular=5, content=6)
CONTENT = SPEC.model_copy(update={"vectors": SPEC_VECTORS, "candidates": LIMITS})


@pytest.fixture(scope="module")
def board(world: World, folders: tuple[Path, Path]) -> World:
    """Give the checkerboard with titles, encoded."""
    vocabulary = worlds.titled(world.vocabulary)
    return dataclasses.replace(world, vocabulary=vocabulary, vectors=worlds.hashed(vocabulary))


@pytest.fixture(scope="module")
def ranker(board: World) -> Ranker:
    """Give a ranker that was trained with content."""
    return train(board, CONTENT).ranker


def test_a_profile_is_the_mean_of_the_history_what_is_recent_weighing_most() -> None:
    east, north = [1.0, 0.0], [0.0, 1.0]
    vectors = worlds.of_rows([east, north, [0.0, 0.0], *[north] * (ITEMS - 3)])
    rows = user_rows(known_row("u00", {20: [0], 10: [1], 18: [2]}, 21), known_row("u02", {20: [2]}, 21))
    found = Content.of(rows, vectors)
    old, new = 0.80**11, 0.80**1  # 0.001 * .96^11 is less than the fast weight
    length = np.hypot(old, new)
    np.testing.assert_allclose(found.profile, [[new / length, old / length], [0.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(found.near[:, :3], [[new / length, old / length, 0.0], [0.0, 0.0, 0.0]], atol=1e-5)
    assert found.known.tolist() == [True, False]
    assert found.of_candidates(np.asarray([0, 1]), np.asarray([0, 0])).tolist() == [pytest.approx(new / length), 0.0]


def test_a_history_whose_fast_weight_has_faded_still_has_a_direction() -> None:
    vectors = worlds.of_rows([[1.0, 0.0]] + [[0.0, 1.0]] * (ITEMS - 1))
    row = known_row("u00", {1: [0]}, 21)
    rows = user_rows(row | {"history_fast": [0.0]})
    assert Content.of(rows, vectors).profile.tolist() == [[1.0, 0.0]]


def test_nobodys_history_is_like_nothing(board: World) -> None:
    assert board.vectors is not None
    found = Content.of(cold_rows(start(21)), board.vectors)
    assert not found.near.any()
    assert not found.known.any()


def test_the_features_are_the_cosine_and_whether_there_is_one(ranker: Ranker, happened: dict[str, Happened]) -> None:
    rows = user_rows(known_row("u00", happened["u00"], 21))
    history = History.of(rows, ranker.neighbours, None, ranker.vectors)
    facts = encode.facts(
        rows,
        given(history, np.asarray([0, 1])),
        history=history,
        probabilities=np.asarray([intents("u00")], np.float32),
        catalogue=ranker.catalogue,
        calendar=ranker.calendar,
    )
    even, odd = facts["content"]
    assert even > 0.5 > 0.2 > abs(odd)
    assert facts["content_known"].tolist() == [1.0, 1.0]
    seen = encode.matrix(facts, feature_names.CONTENT)
    np.testing.assert_allclose(seen[:, 0], facts["content"], atol=1e-6)
    assert ranker.features[-2:] == feature_names.CONTENT
    assert set(feature_names.features()) & set(feature_names.CONTENT) == set(), (
        "a ranker without vectors sees none of it"
    )


def test_content_brings_what_is_like_the_history_and_was_never_had(
    board: World, ranker: Ranker, happened: dict[str, Happened]
) -> None:
    rows = user_rows(known_row("u00", {20: [0, 2]}, 21), known_row("u01", {20: [1]}, 21))
    history = History.of(rows, ranker.neighbours, None, board.vectors)
    limits = Candidates(history=0, neighbours=0, offers=0, popular=1, content=3)
    found = candidates(history, ranker.catalogue, limits)
    brought = [
        (int(r), int(i)) for r, i, s in zip(found.row, found.item, found.source, strict=True) if NAMES[s] == "content"
    ]
    assert {i % 2 for r, i in brought if r == 0} == {0}
    assert {i % 2 for r, i in brought if r == 1} == {1}
    assert len(brought) == 6
    assert not {(0, 0), (0, 2), (1, 1)} & set(brought)


def test_one_row_is_encoded_as_in_a_batch_and_as_loaded(
    board: World, ranker: Ranker, tmp_path: Path, happened: dict[str, Happened]
) -> None:
    ranker.save(tmp_path)
    loaded = Ranker.load(tmp_path)
    assert (tmp_path / FOLDER / "text.npy").is_file()
    users = list(happened)[:8]
    rows = user_rows(*(known_row(user, happened[user], 21) for user in users))
    chances = np.asarray([intents(user) for user in users], np.float32)
    together = ranker.rank(rows, chances)
    for b, user in enumerate(users):
        alone = loaded.rank(rows.take(np.array([b])), chances[b : b + 1])
        mine = together.found.row == b
        assert alone.found.item.tolist() == together.found.item[mine].tolist(), user
        assert alone.found.source.tolist() == together.found.source[mine].tolist(), user
        assert alone.facts["content"].tolist() == together.facts["content"][mine].tolist(), user
        np.testing.assert_allclose(alone.scores, together.scores[mine], atol=1e-5)


def over(ranker: Ranker, vectors: dict[str, Any], **documents: dict[str, Any]) -> Ranker:
    said = [Newest(ITEM, one, n, (n, 0), document) for n, (one, document) in enumerate(documents.items(), 1)]
    said += [Newest(VECTOR, one, 99, (99, n), vector) for n, (one, vector) in enumerate(vectors.items())]
    return open_catalogue.over(ranker, live(ranker.vocabulary, said))


def vector_of(ranker: Ranker, title: str) -> dict[str, Any]:
    """Encode a title as the job does."""
    assert ranker.vectors is not None
    made = encoded({text_digest(title): title}, worlds.SPEC, Work(Path(), None, lambda: 0.0)).vectors
    return document({ranker.vectors.encoder: {"text": (text_digest(title), made[text_digest(title)])}})


def test_content_finds_new_items_that_popularity_and_categories_cannot(
    ranker: Ranker, happened: dict[str, Happened]
) -> None:
    # Items that came later, without a category: who is to like them, their titles alone say.
    later = {f"wine{n}": f"fine red wine number {n}" for n in range(3)} | {
        f"oil{n}": f"fine motor oil number {n}" for n in range(3)
    }
    items = {name: {"title": title} for name, title in later.items()}
    grown = {
        "vectors": over(ranker, {name: vector_of(ranker, title) for name, title in later.items()}, **items),
        "none yet": over(ranker, {}, **items),
    }
    recall = dict.fromkeys(grown, 0.0)
    wrong = 0
    for user in ("u00", "u01", "u02", "u03", "u04", "u05"):
        rows, chances = user_rows(known_row(user, happened[user], 21)), np.asarray(intents(user), np.float32)
        fits = "oil" if int(user[1:]) % 2 else "wine"
        for name, one in grown.items():
            found = one.rank(rows, chances[None]).found
            brought = {one.vocabulary.item_ids[i] for i in found.item[found.item >= ITEMS]}
            recall[name] += len([item for item in brought if item.startswith(fits)]) / 3 / 6
            wrong += len([item for item in brought if not item.startswith(fits)])
    assert recall == {"vectors": pytest.approx(1.0), "none yet": 0.0}
    assert wrong == 0
    rows, chances = user_rows(known_row("u00", happened["u00"], 21)), np.asarray(intents("u00"), np.float32)
    wine, oil = grown["vectors"].score(rows, chances, np.asarray([ITEMS, ITEMS + 3]))
    assert wine > oil, "a new item is scored by its text"
    shown = [one for one in grown["vectors"].recommend(rows, chances, k=ITEMS) if one.item_index == ITEMS]
    assert (shown[0].source, shown[0].reasons["content"] > 0.4) == ("content", True)


def test_a_batch_ranks_a_later_item_by_its_text_as_the_door_does(
    ranker: Ranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: dict[str, Happened]
) -> None:
    log = DocumentLog(SqliteShelf(str(tmp_path / "online.db"), "shop"))
    title, vector = {"title": "fine red wine"}, vector_of(ranker, "fine red wine")
    log.put(ITEM, [("wine", title)], who="key", at=NOW, after=log.refreshed(Snapshot()))
    log.put(VECTOR, [("wine", vector)], who="job", at=NOW, after=log.refreshed(Snapshot()))
    monkeypatch.setattr(opened, "document_log_if_any", lambda name: log)
    released = cast(ReleaseFolder, SimpleNamespace(name="shop", key="", slices={"ranking": {}}))
    listed, version, _ = batch.live_ranker(ranker, released, {env_names.FEAST: "{}"})
    rows, chances = user_rows(known_row("u00", happened["u00"], 21)), np.asarray(intents("u00"), np.float32)
    answer = listed.recommend(rows, chances, k=ITEMS)
    assert (version, answer) == (2, over(ranker, {"wine": vector}, wine=title).recommend(rows, chances, k=ITEMS))
    assert [one.source for one in answer if one.item_index == ITEMS] == ["content"]


def test_a_text_that_the_log_changes_keeps_its_vector_until_it_is_encoded_again(
    ranker: Ranker, happened: dict[str, Happened]
) -> None:
    changed = {"i00": {"title": "motor oil"}}
    rows = user_rows(known_row("u01", happened["u01"], 21))

    def near(one: Ranker) -> float:
        assert one.vectors is not None
        return float(Content.of(rows, one.vectors).near[0, 0])

    before = near(ranker)
    assert near(over(ranker, {}, **changed)) == before
    assert near(over(ranker, {"i00": vector_of(ranker, "motor oil")}, **changed)) > 0.5 > before
    assert near(over(ranker, {"i00": vector_of(ranker, "motor oil")})) == before, "the change was taken back"


def test_an_id_that_another_thing_was_given_is_like_nothing_until_it_is_encoded(
    ranker: Ranker, happened: dict[str, Happened]
) -> None:
    other = dict.fromkeys(declared(ranker.vocabulary)) | {"title": "motor oil"}  # as `replaces: true` has it
    for documents in ({"i00": other}, {"i00": dict.fromkeys(other)}):
        found = over(ranker, {}, **documents).vectors
        assert found is not None
        assert not found.known[0]
        assert found.known[2], "who shared its text"


def test_rows_without_vectors_are_refused_where_the_spec_declares_them(folders: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"^rows: hold no vectors, and the spec declares `vectors`; .*intentflow apply"):
        examples.load(*folders, CONTENT)


def test_a_ranker_with_vectors_is_judged_as_any_other(board: World, ranker: Ranker) -> None:
    found = evaluate(ranker, board)
    assert found.test["ndcg_at_10"] > 0.5


def test_a_source_of_vectors_without_vectors_is_one_line() -> None:
    with pytest.raises(ValueError, match="candidates: content compares vectors of items, and none are declared"):
        Ranking.model_validate({"candidates": {"content": 5}})
    assert not set(OF_VECTORS) & set(Ranking().model_dump()["candidates"])
    off = CONTENT.model_copy(update={"candidates": Candidates(content=0)})
    assert Ranking.model_validate(off.model_dump()) == off, "where there are vectors, off is said"
