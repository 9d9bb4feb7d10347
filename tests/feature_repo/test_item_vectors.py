"""Vectors of items as arrays: whole vectors by value, what the log lays over them, and what a folder must hold."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.errors import DataError
from feature_repo.item_vectors import (
    ABOUT,
    ItemVectors,
    Part,
    document,
    image_digest,
    packed,
    text_digest,
    text_of,
    unpacked,
)

IDS = ["a", "b", "c", "d"]
TITLES = ["tea", "tea", None, "milk"]
PICTURES = [[1.0, 0.0, 0.0], None, [0.0, 1.0, 0.0], None]


def items(titles: list[str | None] = TITLES) -> pa.Table:
    ids = [*IDS, *(f"later{n}" for n in range(len(titles) - len(IDS)))]
    pictures = PICTURES + [None] * (len(titles) - len(IDS))
    return pa.table({"item_id": ids, "title": titles, "picture": pa.array(pictures, pa.list_(pa.float64()))})


def both() -> ItemVectors:
    """Two items share a text, one has an image alone, one both, one a text alone."""
    spec = {"text": {"columns": ["title"]}, "image": {"column": "picture"}}
    text = Part(np.asarray([[1.0, 0.0], [0.0, 1.0]], np.float16), np.asarray([0, 0, -1, 1], np.int32))
    image = Part(np.asarray(PICTURES[::2], np.float16), np.asarray([0, -1, 1, -1], np.int32))
    digests = {
        "text": tuple(text_digest(title or "") for title in TITLES),
        "image": tuple(image_digest(one) for one in PICTURES),
    }
    return ItemVectors({"digest": "e", "spec": spec}, text, image, digests)


def test_a_whole_vector_is_its_parts_side_by_side_of_length_one() -> None:
    half = 0.5**0.5
    expected = [[half, 0, half, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]
    np.testing.assert_allclose(both().whole, expected, atol=1e-6)
    assert both().known.tolist() == [True] * 4
    nothing = ItemVectors(
        {"digest": "e", "spec": {}}, Part.none(2), Part.none(2), {"text": ("",) * 2, "image": ("",) * 2}
    )
    assert nothing.whole.shape == (2, 0)
    assert not nothing.known.any()


def test_a_folder_is_read_as_it_was_written_and_only_for_its_own_items(tmp_path: Path) -> None:
    both().save(tmp_path, IDS)
    again = ItemVectors.load(tmp_path, IDS)
    np.testing.assert_array_equal(again.whole, both().whole)
    assert again.digests == both().digests
    assert (again.encoder, again.columns_of_text, again.column_of_image) == ("e", ("title",), "picture")
    with pytest.raises(DataError, match="its 4 items are not the vocabulary's 3; run again"):
        ItemVectors.load(tmp_path, IDS[:3])
    np.save(tmp_path / "text.npy", np.full((2, 2), np.nan, np.float16))
    with pytest.raises(DataError, match=r"text\.npy: holds a number that is not finite"):
        ItemVectors.load(tmp_path, IDS)
    np.save(tmp_path / "text.npy", np.ones((1, 2), np.float16))
    with pytest.raises(DataError, match=r"text\.npy: has 1 vectors, and an item names another"):
        ItemVectors.load(tmp_path, IDS)
    assert (tmp_path / ABOUT).is_file()


def said(title: str, *vector: float, encoder: str = "e") -> dict[str, object]:
    return document({encoder: {"text": (text_digest(title), np.asarray(vector))}})


def test_the_log_adds_vectors_of_later_items_and_moves_no_other() -> None:
    table = items([*TITLES, "beer", "wine"])
    found = both().over(table, {4: said("beer", 0.0, -1.0)})
    np.testing.assert_array_equal(found.whole[:4], both().whole)
    assert found.whole[4].tolist() == [0.0, -1.0, 0.0, 0.0, 0.0]
    assert found.known.tolist() == [True] * 5 + [False]
    assert found.digests["text"][4:] == (text_digest("beer"), "")


def test_a_vector_of_another_text_or_encoder_changes_no_item_that_has_one() -> None:
    changed = items(["green tea", "tea", None, "milk"])
    before = both().whole
    for stale in (said("black tea", 0.0, 1.0), said("green tea", 0.0, 1.0, encoder="other")):
        np.testing.assert_array_equal(both().over(changed, {0: stale}).whole, before)
    found = both().over(changed, {0: said("green tea", 0.0, 1.0)})
    assert found.whole[1].tolist() == before[1].tolist(), "who shared the text keeps it"
    np.testing.assert_allclose(found.whole[0], [0, 0.5**0.5, 0.5**0.5, 0, 0], atol=1e-3)


def test_what_the_log_takes_from_an_item_is_in_no_vector_of_it() -> None:
    blank = items([None, "tea", None, "milk", None])
    before = both().whole
    stale = {4: said("beer", 0.0, -1.0)}
    found = both().over(blank, stale, changed={0, 4})
    assert found.whole[0].tolist() == [0, 0, 1, 0, 0], "its picture is left"
    assert found.digests["text"][:2] == ("", text_digest("tea"))
    assert not found.known[4], "a later item whose text was taken away"
    np.testing.assert_array_equal(found.whole[1:4], before[1:])


def test_a_vector_of_another_thing_under_the_id_does_not_stand_until_the_job_runs() -> None:
    other = items(["hammer", "tea", None, "milk", "nail"])
    stale = {4: said("beer", 0.0, -1.0)}
    kept = both().over(other, stale, changed={0, 4})
    assert kept.known[[0, 4]].tolist() == [True, True], "a text that was changed keeps its former vector"
    found = both().over(other, stale, changed={0, 4}, anew={0, 4})
    assert found.whole[0].tolist() == [0, 0, 1, 0, 0], "the picture is the very one that it was"
    assert not found.known[4]
    again = both().over(other, {0: said("hammer", 0.0, 1.0)}, changed={0}, anew={0})
    np.testing.assert_allclose(again.whole[0], [0, 0.5**0.5, 0.5**0.5, 0, 0], atol=1e-3)


def test_a_vector_of_another_width_is_refused() -> None:
    with pytest.raises(DataError, match="a vector of 3 numbers where 2 finite ones are expected"):
        both().over(items([*TITLES, "beer"]), {4: said("beer", 1.0, 0.0, 0.0)})
    plain = dataclasses.replace(both(), text=Part.none(4), digests={**both().digests, "text": ("",) * 4})
    assert not plain.over(items([*TITLES, "beer"]), {4: said("beer", 1.0, 0.0)}).known[4], "no text was ever read"
    with pytest.raises(DataError, match="finite ones are expected"):
        unpacked(packed(np.asarray([np.inf])), width=1)


def test_what_an_item_wants_follows_its_columns() -> None:
    row = {"title": "tea", "picture": [1.0, 0.0, 0.0]}
    assert both().wanted(row) == {"text": text_digest("tea"), "image": both().digests["image"][0]}
    assert both().wanted({}) == {"text": "", "image": ""}
    assert text_of({"title": "tea"}, ("title",)) == "tea"
