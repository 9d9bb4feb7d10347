"""The nearest of many vectors: by hand, against brute force, and what an approximate index must prove first."""

import numpy as np
import pytest

from components.ranking.nearest import LIMIT, Nearest, tuned


def found(nearest: Nearest, place: int, *, most: int = 9, but: tuple[int, ...] = ()) -> list[tuple[int, float]]:
    allowed = np.ones(len(nearest), dtype=bool)
    allowed[[place, *but]] = False
    places, cosines = nearest.of(place, most=most, allowed=allowed)
    return list(zip(places.tolist(), cosines.tolist(), strict=True))


def test_the_nearest_come_first_whatever_their_length_and_what_is_like_nothing_never() -> None:
    nearest = Nearest(np.array([[1, 0], [9, 0], [1, 1], [0, 2], [-1, 0], [0, 0]], dtype=np.float32))
    assert found(nearest, 0) == [(1, 1.0), (2, 0.70711)], "opposite, square and zero vectors are like nothing"
    assert found(nearest, 0, most=1) == [(1, 1.0)]
    assert found(nearest, 0, but=(1,)) == [(2, 0.70711)]
    assert found(nearest, 5) == [], "a vector of zeros is like nothing"
    assert found(nearest, 2) == [(0, 0.70711), (1, 0.70711), (3, 0.70711)], "ties by position"


def test_a_position_past_the_last_is_like_nothing() -> None:
    places, cosines = Nearest(np.eye(3)).of(3, most=2, allowed=np.ones(3, dtype=bool))
    assert (places.tolist(), cosines.tolist()) == ([], [])


def test_many_vectors_are_ordered_as_by_sorting_them_all() -> None:
    vectors = np.random.default_rng(3).normal(size=(500, 8)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for place in (0, 17, 499):
        cosine = np.round((unit @ unit[place]).astype(np.float64), 5)
        cosine[place] = -1
        order = np.lexsort((np.arange(500), -cosine))[:20]
        assert [at for at, _ in found(Nearest(vectors), place, most=20)] == order.tolist()


class Lists:
    """An inverted file in numpy: vectors lie in lists by their position, and a query looks at the first few lists."""

    def __init__(self, vectors: np.ndarray, nlist: int) -> None:
        self.vectors, self.nlist, self.nprobe, self.asked = vectors, nlist, 1, 0

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked += 1
        inside = np.arange(len(self.vectors)) % self.nlist < self.nprobe
        cosine = np.where(inside, queries @ self.vectors.T, -2.0)
        place = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        value = np.take_along_axis(cosine, place, axis=1)
        return value, np.where(value > -2, place, -1)


def test_an_index_is_used_from_the_probes_on_that_find_what_the_exact_answer_does() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(640, 4))
    vectors[np.arange(640) % 16 >= 2] *= -1
    vectors[np.arange(640) % 16 >= 2, 0] = -9.0  # what is asked of the first two lists has its neighbours there
    vectors[np.arange(640) % 16 < 2, 0] = 9.0
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    asked = unit[np.arange(640) % 16 < 2]
    index = Lists(asked, 2)
    assert tuned(index, asked) is None, "all lists would be exact, and slower than that"
    wide = Lists(asked, 64)
    assert tuned(wide, asked) is None


def test_an_index_that_finds_all_at_once_is_used_with_one_probe() -> None:
    unit = np.eye(32, dtype=np.float32)

    class Whole(Lists):
        def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            cosine = queries @ self.vectors.T
            place = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
            return np.take_along_axis(cosine, place, axis=1), place

    index = Whole(unit, 8)
    assert tuned(index, unit) is index
    assert index.nprobe == 1


def test_below_the_limit_nothing_is_indexed_and_above_it_an_index_that_is_not_there_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    exact, large = Nearest(vectors), Nearest(vectors, limit=50)
    assert LIMIT == 50_000
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)  # as where it is not installed
    large.prepare()
    assert found(large, 3) == found(exact, 3)
    assert not exact._asked


def test_an_index_that_brings_too_few_allowed_ones_is_passed_over() -> None:
    vectors = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    exact, large = Nearest(vectors), Nearest(vectors, limit=50)
    large._asked, large._index = True, Lists(large.vectors, 60)  # one probe: one vector
    assert found(large, 3) == found(exact, 3)


def test_faiss_finds_the_nearest_of_many() -> None:
    pytest.importorskip("faiss", reason="the extra `faiss` is not installed")
    vectors = np.random.default_rng(2).normal(size=(60_000, 16)).astype(np.float32)
    large, exact = Nearest(vectors), Nearest(vectors, limit=10**9)
    large.prepare()
    assert large._index is not None
    hits = [len({p for p, _ in found(large, n, most=10)} & {p for p, _ in found(exact, n, most=10)}) for n in range(50)]
    assert np.mean(hits) >= 9.5
