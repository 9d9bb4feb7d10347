import numpy as np
import pytest

from components.ranking.baselines import BASELINES
from components.ranking.catalogue import Catalogue
from components.ranking.neighbours import Neighbours
from feature_repo.rows import UserRows
from tests.ranking.board import VISIT, cold_rows, known_row, start, user_rows

# Item 4 in three old weeks, items 2 and 6 in two of the last: bought before week 21.
HAPPENED = {2: [4], 3: [4], 4: [4], 18: [6], 19: [2, 6], 20: [2]}


@pytest.fixture
def shares() -> dict[int, float]:
    return {7: 0.9, 6: 0.5, 2: 0.1, 8: 0.05}


@pytest.fixture
def shelf(catalogue: Catalogue, shares: dict[int, float]) -> Catalogue:
    """Give the items with known popularity; in the last week alone, item 8 leads and item 6 follows."""
    share, now = np.zeros(len(catalogue)), np.zeros(len(catalogue))
    share[list(shares)] = list(shares.values())
    now[[8, 6]] = [0.4, 0.3]
    return Catalogue(
        catalogue.targets, catalogue.visits, catalogue.n_targets, catalogue.kind, catalogue.brand,
        catalogue.state | {"share_4w": share, "share_1w": now},
    )  # fmt: skip


@pytest.fixture
def near() -> Neighbours:
    """Say that item 8 lies near item 2, item 0 less near item 6, and nothing near item 4."""
    items, similarities = np.zeros((30, 1), np.int32), np.zeros((30, 1), np.float32)
    items[[2, 6], 0], similarities[[2, 6], 0] = [8, 0], [0.8, 0.2]
    return Neighbours(items, similarities, np.zeros((30, 1), np.float32), np.ones(30, np.float32))


@pytest.fixture
def rows() -> UserRows:
    assert VISIT == 6
    return user_rows(known_row("u00", HAPPENED, 21))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("popular", [7, 6, 2, 8, 0]),
        ("popular_now", [8, 6, 7, 2, 0]),  # the last week, then the last four
        ("last_event", [2, 6, 4, 7, 8]),  # weeks 20, 19 and 4, then by popularity
        ("personal_frequency", [4, 2, 6, 7, 8]),  # 3 weeks, then 2 and 2: ties by item; then by popularity
        ("personal_popular", [4, 6, 2, 7, 8]),  # ties by popularity
        ("decayed_personal", [2, 6, 4, 7, 8]),  # the old weeks weigh less
        ("unseen_popular", [7, 8, 0, 1, 3]),  # without 2, 4 and 6
        ("item_knn", [8, 0, 7, 6, 2]),  # near what was had, then popular; not without what was had
    ],
)
def test_a_baseline_ranks_the_known_user_as_expected(
    rows: UserRows, shelf: Catalogue, near: Neighbours, name: str, first: list[int]
) -> None:
    assert BASELINES[name](rows, shelf, near, k=5)[0].tolist() == first


@pytest.mark.parametrize("name", list(BASELINES))
def test_unseen_leaves_out_the_history(rows: UserRows, shelf: Catalogue, near: Neighbours, name: str) -> None:
    expected = {"item_knn": [8, 0, 7], "popular_now": [8, 7, 0]}.get(name, [7, 8, 0])
    assert BASELINES[name](rows, shelf, near, k=3, unseen=True)[0].tolist() == expected


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_cold_user_gets_popular_items_from_every_baseline(shelf: Catalogue, near: Neighbours, name: str) -> None:
    expected = [8, 6, 7, 2] if name == "popular_now" else [7, 6, 2, 8]
    assert BASELINES[name](cold_rows(start(21)), shelf, near, k=4)[0].tolist() == expected


def test_k_past_the_catalogue_leaves_empty_places(rows: UserRows, shelf: Catalogue, near: Neighbours) -> None:
    ranked = BASELINES["popular"](rows, shelf, near, k=40)[0]
    assert sorted(ranked[:30]) == list(range(30))
    assert (ranked[30:] == -1).all()
