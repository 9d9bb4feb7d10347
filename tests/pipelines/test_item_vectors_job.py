"""What the job `materialise` puts into the document log of vectors: new items, changed texts, what a budget left."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.vectors import build
from components.vectors.build import Work
from components.vectors.spec import Image, Vectors
from feature_repo.documents.changes import ITEM, VECTOR, Document
from feature_repo.documents.log import DocumentLog, Snapshot
from feature_repo.documents.sqlite import SqliteShelf
from feature_repo.errors import DataError
from feature_repo.item_vectors import BY_ENCODER, FOLDER, ItemVectors, Part, image_digest, text_digest
from feature_repo.live_items import live
from feature_repo.vocabulary import Vocabulary
from pipelines.jobs import item_vectors
from pipelines.jobs.item_vectors import bring
from tests.ranking import board, content_worlds

NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
SPEC = content_worlds.SPEC


@pytest.fixture
def log(tmp_path: Path) -> DocumentLog:
    return DocumentLog(SqliteShelf(str(tmp_path / "online.db"), "shop"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path, tmp_path / "home", lambda: 0.0)


def ranking(folder: Path, work: Work, spec: Vectors = SPEC, *, left: int = 0) -> Path:
    """Write what the job reads of a ranker; the last `left` items have no vector yet."""
    import pyarrow.parquet as pq

    pictures = [[1.0, float(n)] for n in range(board.ITEMS)]
    vocabulary = content_worlds.titled(board.vocabulary(), {"picture": pictures})
    vocabulary.save(folder / "vocabulary")
    pq.write_table(board.item_state(board.checkerboard(), [21]), folder / "item_state.parquet")
    made = build.build(vocabulary.items, np.zeros(board.ITEMS), spec, work)
    place, digests = made.text.place.copy(), list(made.digests["text"])
    for item in range(board.ITEMS - left, board.ITEMS):
        place[item], digests[item] = -1, ""
    made = replace(made, text=replace(made.text, place=place), digests=dict(made.digests) | {"text": tuple(digests)})
    made.save(folder / FOLDER, vocabulary.item_ids)
    return folder


def put(log: DocumentLog, **documents: Document) -> None:
    log.put(ITEM, list(documents.items()), who="key", at=NOW, after=log.refreshed(Snapshot()))


def held(log: DocumentLog) -> Mapping[str, Any]:
    return {name: one.document for name, one in log.refreshed(Snapshot()).of(VECTOR).items()}


def shown(folder: Path, log: DocumentLog) -> ItemVectors:
    """Return the vectors that a door has."""
    vocabulary = Vocabulary.load(folder / "vocabulary")
    found = log.refreshed(Snapshot())
    items = live(vocabulary, [*found.of(ITEM).values(), *found.of(VECTOR).values()])
    loaded = ItemVectors.load(folder / FOLDER, vocabulary.item_ids)
    return loaded.over(items.vocabulary.items, items.vectors, changed=items.changed, anew=items.anew)


def test_a_new_item_and_a_changed_text_get_vectors_and_nothing_is_done_twice(
    tmp_path: Path, log: DocumentLog, work: Work
) -> None:
    folder = ranking(tmp_path / "r", work)
    assert bring(log, [folder], work, at=NOW) == {"item_vectors": 0, "item_vectors_waiting": 0}
    put(
        log,
        kale={"title": "fine red wine"},
        i00={"title": "winter motor oil"},
        i03={"brand": "X"},
        blank={"category": "C0"},
    )
    assert bring(log, [folder], work, at=NOW) == {"item_vectors": 2, "item_vectors_waiting": 0}
    change = log.changes()[-1]
    assert (change.kind, change.who, {entry.id for entry in change.entries}) == (
        VECTOR,
        "job materialise",
        {"kale", "i00"},
    )
    assert bring(log, [folder], work, at=NOW)["item_vectors"] == 0
    now = shown(folder, log).whole
    place = {name: n for n, name in enumerate([*Vocabulary.load(folder / "vocabulary").item_ids, "kale"])}
    assert now[place["kale"]] @ now[place["i02"]] > 0.5 > now[place["kale"]] @ now[place["i01"]]
    np.testing.assert_allclose(now[place["i00"]], now[place["i03"]], atol=1e-3)  # both "winter motor oil"
    put(log, kale={"title": "cheap motor oil"})
    assert bring(log, [folder], work, at=NOW)["item_vectors"] == 1
    assert held(log)["kale"][BY_ENCODER].popitem()[1]["text"]["of"] == text_digest("cheap motor oil")


def test_withdrawn_items_wait_and_releases_without_vectors_ask_for_none(
    tmp_path: Path, log: DocumentLog, work: Work
) -> None:
    folder = ranking(tmp_path / "r", work)
    put(log, kale={"title": "fine red wine", "available": False})
    assert bring(log, [folder], work, at=NOW)["item_vectors"] == 0
    board.vocabulary().save(tmp_path / "plain" / "vocabulary")
    put(log, beet={"title": "beet"})
    assert bring(log, [tmp_path / "plain"], work, at=NOW)["item_vectors"] == 0


def test_what_the_budget_of_a_training_left_is_brought_the_most_popular_first(
    tmp_path: Path, log: DocumentLog, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ranking(tmp_path / "r", work, left=10)
    monkeypatch.setattr(item_vectors, "MOST_ENTRIES", 4)
    assert bring(log, [folder], work, at=NOW) == {"item_vectors": 4, "item_vectors_waiting": 6}
    release = item_vectors.Release.load(folder)
    assert release is not None
    rank = release.popularity[20:]
    assert {int(name[1:]) for name in held(log)} == {20 + int(n) for n in np.argsort(-rank, kind="stable")[:4]}
    assert bring(log, [folder], work, at=NOW)["item_vectors"] == 4
    assert bring(log, [folder], work, at=NOW) == {"item_vectors": 2, "item_vectors_waiting": 0}
    assert shown(folder, log).known.all()


def test_two_releases_in_use_have_their_own_vectors_of_an_item_and_old_ones_go(
    tmp_path: Path, log: DocumentLog, work: Work
) -> None:
    one = ranking(tmp_path / "one", work)
    two = ranking(tmp_path / "two", work, Vectors.model_validate({"text": {"columns": ["title", "brand"]}}))
    put(log, kale={"title": "fine red wine", "brand": "EVEN"})
    assert bring(log, [one, two], work, at=NOW)["item_vectors"] == 1
    assert len(held(log)["kale"][BY_ENCODER]) == 2
    for folder in (one, two):
        assert shown(folder, log).known[-1]
    put(log, kale={"title": "white wine", "brand": "EVEN"})
    bring(log, [two], work, at=NOW)
    assert len(held(log)["kale"][BY_ENCODER]) == 1


def test_another_encoder_than_a_releases_leaves_its_new_items_to_a_training(
    tmp_path: Path, log: DocumentLog, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = ranking(tmp_path / "r", work)
    put(log, kale={"title": "fine red wine"})
    monkeypatch.setattr(build.encoders, "identity", lambda encoder, base: "newer")
    assert bring(log, [folder], work, at=NOW)["item_vectors"] == 0
    assert "the encoder of a release in use is another one here" in caplog.text


def test_an_image_of_a_new_item_comes_from_its_own_column(tmp_path: Path, log: DocumentLog, work: Work) -> None:
    folder = ranking(tmp_path / "r", work, Vectors(image=Image(column="picture")))
    put(log, kale={"picture": [0.0, 2.0]})
    assert bring(log, [folder], work, at=NOW)["item_vectors"] == 1
    assert shown(folder, log).whole[-1].tolist() == [0.0, 1.0]
    put(log, beet={"picture": [1.0, 2.0, 3.0]})
    with pytest.raises(DataError, match="item 'beet' has 3 numbers; the release's have 2"):
        bring(log, [folder], work, at=NOW)


BOTH = Vectors.model_validate({"text": {"columns": ["title"]}, "image": {"column": "picture"}})


def parts_of(log: DocumentLog, item: str) -> Mapping[str, Any]:
    (mine,) = held(log)[item][BY_ENCODER].values()
    return {part: one["of"] for part, one in mine.items()}


def test_a_text_and_an_image_leave_each_other_and_a_second_run_brings_nothing(
    tmp_path: Path, log: DocumentLog, work: Work
) -> None:
    folder = ranking(tmp_path / "r", work, BOTH)
    put(log, kale={"title": "fine red wine"})
    assert bring(log, [folder], work, at=NOW)["item_vectors"] == 1
    for title, picture in (("fine red wine", [0.0, 2.0]), ("motor oil", [0.0, 2.0]), ("motor oil", [3.0, 0.0])):
        put(log, kale={"title": title, "picture": picture})
        assert bring(log, [folder], work, at=NOW)["item_vectors"] == 1
        assert parts_of(log, "kale") == {"text": text_digest(title), "image": image_digest(picture)}
        assert bring(log, [folder], work, at=NOW) == {"item_vectors": 0, "item_vectors_waiting": 0}
    put(log, kale={"title": "cheap motor oil"})
    bring(log, [folder], work, at=NOW)
    assert set(parts_of(log, "kale")) == {"text"}, "the picture was taken away"


def test_every_release_in_use_gets_its_vectors_also_where_two_share_an_encoder(
    tmp_path: Path, log: DocumentLog, work: Work
) -> None:
    lacking, whole = ranking(tmp_path / "one", work, left=5), ranking(tmp_path / "two", work)
    assert bring(log, [lacking, whole], work, at=NOW) == {"item_vectors": 5, "item_vectors_waiting": 0}
    assert shown(lacking, log).known.all()
    assert bring(log, [lacking, whole], work, at=NOW) == {"item_vectors": 0, "item_vectors_waiting": 0}


def test_releases_that_read_different_texts_of_an_item_do_not_take_turns(
    tmp_path: Path, log: DocumentLog, work: Work
) -> None:
    learnt, other = ranking(tmp_path / "one", work, left=1), ranking(tmp_path / "two", work, left=1)
    words = Vocabulary.load(other / "vocabulary")
    at = words.items.schema.get_field_index("title")
    names = [*words.items["title"].to_pylist()[:-1], "another title"]
    replace(words, items=words.items.set_column(at, "title", [names])).save(other / "vocabulary")
    assert bring(log, [learnt, other], work, at=NOW)["item_vectors"] == 1
    before = held(log)
    assert bring(log, [learnt, other], work, at=NOW) == {"item_vectors": 0, "item_vectors_waiting": 0}
    assert held(log) == before


def test_what_can_have_no_vector_neither_waits_nor_keeps_others_waiting(
    tmp_path: Path, log: DocumentLog, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ranking(tmp_path / "r", work, BOTH)
    put(log, kale={"picture": [0.0, 0.0]}, beet={"title": "dry red wine"})
    monkeypatch.setattr(item_vectors, "MOST_ENTRIES", 1)
    assert bring(log, [folder], work, at=NOW) == {"item_vectors": 1, "item_vectors_waiting": 0}
    assert set(held(log)) == {"beet"}
    found = ItemVectors.load(folder / FOLDER, Vocabulary.load(folder / "vocabulary").item_ids)
    none = replace(found, image=Part.none(board.ITEMS), digests={**found.digests, "image": ("",) * board.ITEMS})
    none.save(folder / FOLDER, Vocabulary.load(folder / "vocabulary").item_ids)  # a release that saw no picture
    put(log, kale={"picture": [0.0, 1.0]})
    assert bring(log, [folder], work, at=NOW) == {"item_vectors": 0, "item_vectors_waiting": 0}


def test_a_full_log_still_takes_new_vectors_of_the_items_that_it_knows(
    tmp_path: Path, log: DocumentLog, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ranking(tmp_path / "r", work)
    put(log, kale={"title": "fine red wine"})
    bring(log, [folder], work, at=NOW)
    monkeypatch.setattr(item_vectors, "MOST_DOCUMENTS", 1)
    put(log, kale={"title": "motor oil"}, beet={"title": "dry red wine"})
    assert bring(log, [folder], work, at=NOW) == {"item_vectors": 1, "item_vectors_waiting": 1}
    assert parts_of(log, "kale") == {"text": text_digest("motor oil")}


def test_an_undo_of_vectors_is_brought_again(tmp_path: Path, log: DocumentLog, work: Work) -> None:
    folder = ranking(tmp_path / "r", work)
    put(log, kale={"title": "fine red wine"})
    bring(log, [folder], work, at=NOW)
    log.undo(2, who="key", at=NOW, after=log.refreshed(Snapshot()))
    assert not shown(folder, log).known[-1]
    assert bring(log, [folder], work, at=NOW)["item_vectors"] == 1
