"""Texts are encoded once each, within a budget, and what a killed run had done is not done again."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.vectors.cache import Cache
from components.vectors.text import BATCH, Encoded, encoded, require_columns
from feature_repo.errors import DataError
from feature_repo.item_vectors import LONGEST_TEXT, text_digest, text_of


class Counting:
    """Encodes a text as its length and 1, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.asarray([[len(text), 1.0] for text in texts], np.float32)


class Ticking:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def run(texts: Sequence[str], cache: Cache, *, seconds: float = 1e9) -> tuple[Encoded, Counting]:
    encoder = Counting()
    wanted = {text_digest(text): text for text in texts}
    return encoded(wanted, lambda: encoder, cache, seconds=seconds, clock=Ticking()), encoder


def test_a_text_that_several_items_share_is_encoded_once_and_never_again(tmp_path: Path) -> None:
    found, encoder = run(["tea", "milk", "tea"], Cache(tmp_path, "e"))
    assert (encoder.asked, found.computed, found.cached, found.waiting) == (["tea", "milk"], 2, 0, 0)
    assert found.vectors[text_digest("tea")].tolist() == np.asarray([3, 1] / np.sqrt(10), np.float16).tolist()
    again, idle = run(["milk", "tea", "beer"], Cache(tmp_path, "e"))
    assert (idle.asked, again.computed, again.cached) == (["beer"], 1, 2)
    assert again.vectors[text_digest("tea")].tolist() == found.vectors[text_digest("tea")].tolist()
    _, other = run(["tea"], Cache(tmp_path, "another encoder"))
    assert other.asked == ["tea"]


def test_an_encoder_is_not_opened_where_all_is_cached(tmp_path: Path) -> None:
    run(["tea"], Cache(tmp_path, "e"))

    def never() -> Counting:
        raise AssertionError

    done = encoded({text_digest("tea"): "tea"}, never, Cache(tmp_path, "e"), seconds=1, clock=Ticking())
    assert done.cached == 1


def test_the_budget_ends_the_work_and_the_next_run_goes_on(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(4 * BATCH)]
    found, encoder = run(texts, Cache(tmp_path, "e"), seconds=1.5)
    assert encoder.asked == texts[: 2 * BATCH], "those that come first"
    assert (found.computed, found.waiting) == (2 * BATCH, 2 * BATCH)
    again, encoder = run(texts, Cache(tmp_path, "e"), seconds=1.5)
    assert (encoder.asked, again.waiting) == (texts[2 * BATCH :], 0)


def test_a_model_that_is_slow_to_open_leaves_the_budget_whole_and_every_run_goes_on(tmp_path: Path) -> None:
    texts = {text_digest(f"text {n}"): f"text {n}" for n in range(3 * BATCH)}
    clock = Ticking()

    def slow() -> Counting:
        clock.now += 1000
        return Counting()

    found = encoded(texts, slow, Cache(tmp_path, "e"), seconds=1.5, clock=clock)
    assert (found.computed, found.waiting) == (2 * BATCH, BATCH)
    found = encoded(texts, slow, Cache(tmp_path, "e"), seconds=0.0, clock=clock)
    assert (found.computed, found.waiting) == (BATCH, 0), "one batch whatever the budget"


def test_without_a_state_folder_nothing_outlives_the_cache() -> None:
    cache = Cache(None, "e")
    run(["tea"], cache)
    assert run(["tea"], cache)[1].asked == []
    assert run(["tea"], Cache(None, "e"))[1].asked == ["tea"]


@pytest.mark.process
def test_a_run_that_is_killed_keeps_what_it_had_encoded(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from components.vectors.cache import Cache
        from tests.vectors.test_text import BATCH, Counting, run

        class Dying(Counting):
            def encode(self, texts):
                if self.asked:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().encode(texts)

        import tests.vectors.test_text as here
        here.Counting = Dying
        run([f"text {{n}}" for n in range(3 * BATCH)], Cache(Path({str(tmp_path)!r}), "e"))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    texts = [f"text {n}" for n in range(3 * BATCH)]
    found, encoder = run(texts, Cache(tmp_path, "e"))
    assert (found.cached, encoder.asked) == (BATCH, texts[BATCH:])


def test_a_cache_that_is_broken_is_one_line(tmp_path: Path) -> None:
    run(["tea"], Cache(tmp_path, "e"))
    path = tmp_path / "vectors" / "e.sqlite"
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 40)
    with pytest.raises(DataError, match=rf"^{path}: cannot be read or written \(.*\); delete it, it is made again$"):
        run(["tea"], Cache(tmp_path, "e"))
    path.unlink()
    assert run(["tea"], Cache(tmp_path, "e"))[1].asked == ["tea"]


def test_a_cache_holds_no_text(tmp_path: Path) -> None:
    run(["a secret title"], Cache(tmp_path, "e"))
    path = tmp_path / "vectors" / "e.sqlite"
    assert b"secret" not in path.read_bytes()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM vectors").fetchone() == (1,)


def test_an_encoder_that_gives_no_number_is_refused(tmp_path: Path) -> None:
    class Broken:
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return np.full((len(texts), 2), np.nan, np.float32)

    with pytest.raises(DataError, match="a number that is not finite, such as for 'tea'; use another encoder"):
        encoded({"d": "tea"}, Broken, Cache(tmp_path, "e"), seconds=9, clock=Ticking())
    assert Cache(tmp_path, "e").get(["d"]) == {}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"title": "Red  wine\n", "genres": ["dry", "old"]}, "Red wine. dry, old"),
        ({"title": None, "genres": ["dry", None, " "]}, "dry"),
        ({"title": " ", "genres": []}, ""),
        ({"title": None, "genres": None}, ""),
        ({"title": "e\u0301te\u0301"}, "été"),
        ({"title": "x" * 2 * LONGEST_TEXT}, "x" * LONGEST_TEXT),
    ],
)
def test_what_an_items_text_is(row: dict[str, object], text: str) -> None:
    assert text_of(row, ["title", "genres"]) == text
    assert bool(text_digest(text)) is bool(text)


@pytest.mark.parametrize(
    ("column", "line"),
    [
        ("titel", "items have no column 'titel'; have item_id, title, genres; did you mean 'title'?"),
        ("price", "'price' holds double, no text; have item_id, title, genres"),
    ],
)
def test_a_column_without_text_is_one_line(column: str, line: str) -> None:
    items = pa.table({"item_id": ["a"], "title": ["x"], "genres": [["y"]], "price": [1.0]})
    require_columns(items, ["title", "genres"])
    with pytest.raises(DataError) as refused:
        require_columns(items, [column])
    assert str(refused.value) == f"vectors.text.columns: {line}"
