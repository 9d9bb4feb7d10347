"""The step: rows in, the same rows with vectors beside them out, popular items first, by value."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.ranking import examples
from components.ranking.spec import Ranking
from components.vectors.spec import Vectors
from components.vectors.steps import MADE_BY, popularity, run_item_vectors
from feature_repo import env_names
from feature_repo.errors import DataError
from feature_repo.item_vectors import FOLDER, ItemVectors
from feature_repo.vocabulary import Vocabulary
from tests.ranking import content_worlds
from tests.ranking.board import ITEMS, checkerboard, write

PICTURES = [[float(n), 1.0] if n % 3 else None for n in range(ITEMS)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkerboard's rows, titled, pictured; item 4 has no title, and 6 one of blanks."""
    found, _ = write(tmp_path_factory.mktemp("board"), checkerboard())
    vocabulary = Vocabulary.load(found / "vocabulary")
    titles: list[Any] = content_worlds.titles(vocabulary)
    titles[4], titles[6] = None, "  "
    content_worlds.titled(vocabulary, {"title": titles, "picture": PICTURES}).save(found / "vocabulary")
    (found / "intent.parquet").write_text("of the intent model")
    return found


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(env_names.HOME, str(tmp_path / "home"))
    monkeypatch.setenv(env_names.SPEC_DIR, str(tmp_path))


def run(rows: Path, out: Path, said: dict[str, Any] | None) -> dict[str, Any]:
    asked = None if said is None else Vectors.model_validate(said).slice() | {MADE_BY: "e"}
    run_item_vectors(json.dumps({"vectors": asked} if asked else {}), rows=str(rows), vector_rows=str(out))
    found: dict[str, Any] = json.loads((out / FOLDER / "vectors.json").read_text()) if said else {}
    return found.get("counts", {})


def test_without_vectors_the_rows_are_handed_on(rows: Path, tmp_path: Path) -> None:
    run(rows, tmp_path / "out", None)
    assert not (tmp_path / "out" / FOLDER).exists()
    names = {str(p.relative_to(rows)) for p in rows.rglob("*") if p.is_file()}
    assert "intent.parquet" in names, "a pipeline that was compiled with titles trains the intent model on them"
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()} == names


def test_rows_have_vectors_of_texts_and_images_beside_them(rows: Path, tmp_path: Path) -> None:
    said = {"text": {"columns": ["title"]}, "image": {"column": "picture"}}
    counts = run(rows, tmp_path / "out", said)
    assert counts == {"texts": 10, "encoded": 10, "cached": 0, "waiting": 0, "images": 20, "without": 1}
    vocabulary = Vocabulary.load(tmp_path / "out" / "vocabulary")
    found = ItemVectors.load(tmp_path / "out" / FOLDER, vocabulary.item_ids)
    assert found.text.vectors.shape == (10, 512), "thirty items have ten titles"
    assert found.text.vectors.dtype == np.float16
    assert np.flatnonzero(found.text.place < 0).tolist() == [4, 6]
    assert np.flatnonzero(found.image.place < 0).tolist() == list(range(0, ITEMS, 3))
    assert np.flatnonzero(~found.known).tolist() == [6], "4 has a picture"
    np.testing.assert_allclose(found.image.vectors[found.image.place[2]], np.asarray([2, 1]) / np.sqrt(5), atol=1e-3)
    again = run(rows, tmp_path / "again", said)
    assert (again["encoded"], again["cached"]) == (0, 10)
    for name in ("text.npy", "image.npy", "items.parquet"):
        assert (tmp_path / "again" / FOLDER / name).read_bytes() == (tmp_path / "out" / FOLDER / name).read_bytes()


def test_the_ranker_reads_them(rows: Path, tmp_path: Path) -> None:
    run(rows, tmp_path / "out", {"text": {}})
    spec = Ranking(vectors=Vectors.model_validate({"text": {}}).slice())
    world = examples.load(tmp_path / "out", rows.parent / "intent", spec)
    assert world.vectors is not None
    assert world.features[-2:] == ("content", "content_known")


def test_popular_items_are_encoded_first(rows: Path) -> None:
    state = pq.read_table(rows / "item_state.parquet")
    share = popularity(state, ITEMS)
    last = state.filter(state["week"].to_numpy() == 21)
    assert share.tolist() == last["share_4w"].to_pylist()
    assert popularity(state.slice(0, 0), 3).tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"text": {"columns": ["titel"]}}, "vectors.text.columns: items have no column 'titel'"),
        ({"image": {"column": "brand"}}, "vectors.image.column: 'brand' holds string, no lists of numbers"),
    ],
)
def test_a_column_that_is_not_there_ends_the_step_in_one_line(
    rows: Path, tmp_path: Path, said: dict[str, Any], line: str
) -> None:
    with pytest.raises(DataError) as refused:
        run(rows, tmp_path / "out", said)
    assert str(refused.value).startswith(line)
    assert not (tmp_path / "out").exists()
