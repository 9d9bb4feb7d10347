"""What segments do: rates and popular items from literal tables, and the document and card of a whole world."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.profiles.segments import card, fallback
from feature_repo import files
from feature_repo.fallback import Fallback, ListedItem
from feature_repo.vocabulary import Vocabulary
from tests.profiles.conftest import Made

pytestmark = pytest.mark.world


def happened(*rows: tuple[int, int, int, int]) -> pa.Table:
    """Return segment, key, user and week of each row."""
    values = np.asarray(rows, dtype=np.int64)
    return pa.table({name: values[:, n] for n, name in enumerate(("segment", "key", "user", "week"))})


def test_rates_are_shares_of_all_members_weeks_drawn_towards_everyones() -> None:
    # Segment 0 has two users, segment 1 has two; over 4 weeks only user 0 did anything: target 0, in all four.
    table = happened(*[(0, 0, 0, week) for week in (1, 2, 3, 4)])
    found = fallback.rates(table, np.array([2, 2]), span=4, n_targets=2)
    everyone = 4 / 16
    drawn = [(4 + fallback.PRIOR * everyone) / (8 + fallback.PRIOR), fallback.PRIOR * everyone / (8 + fallback.PRIOR)]
    np.testing.assert_allclose(found, [[drawn[0], 0], [drawn[1], 0], [everyone, 0]], rtol=1e-6)


def test_popular_items_are_had_by_most_of_the_active_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "PRIOR", 1.0)
    table = happened(
        (0, 3, 0, 1), (0, 3, 0, 2), (0, 3, 1, 1), (0, 5, 1, 1),  # two users of segment 0: 3, 3 again, 3, 5
        (1, 5, 2, 1), (1, 5, 3, 1), (1, 4, 3, 1),  # two of segment 1: 5, 5, 4
    )  # fmt: skip
    first, second, everyone = fallback.popular(table, k=2, n_items=8)
    assert (everyone.items.tolist(), everyone.shares.tolist()) == ([5, 3, 4], [0.75, 0.5, 0.25])
    assert (first.items.tolist(), first.shares.round(4).tolist()) == ([3, 5, 4], [0.8333, 0.5833, 0.0833])
    assert second.items.tolist() == [5, 4, 3]


def test_a_segment_nobody_of_is_active_has_everyones_items() -> None:
    quiet = fallback.popular(happened((0, 1, 0, 1), (0, 2, 1, 1), (0, 2, 2, 1)), k=2, n_items=4)[1]
    assert quiet.items.tolist() == [2, 1]


def test_a_group_lists_its_own_then_everyones_then_the_rest() -> None:
    standby = Fallback("d", ("a",), np.zeros((2, 1)), (ListedItem(np.array([2]), np.array([0.3])),
                       ListedItem(np.array([0, 2]), np.array([0.5, 0.1]))))  # fmt: skip
    found = standby.recommend(0, n_items=4, k=4)
    assert [(one.item_index, one.source, one.score) for one in found] == [
        (2, "segment", 0.3),
        (0, "popular", 0.3),
        (1, "popular", 0.0),
        (3, "popular", 0.0),
    ]
    assert [one.item_index for one in standby.recommend(0, n_items=4, k=2, exclude={2, 1})] == [0, 3]
    assert (standby.group(0.0), standby.group(-1), standby.group(5)) == (0, 1, 1)


def test_the_document_of_a_world_says_what_its_segments_do(made: Made) -> None:
    document = files.read_json(made.profiles / "segments.json")
    vocabulary = Vocabulary.load(made.profiles / "vocabulary")
    standby = Fallback.load(made.profiles)
    assert document["weeks"] == [13, 14, 15, 16], "the last four whole weeks"
    assert document["users"] == [12, 12]
    assert document["vocabulary"] == vocabulary.digest
    assert document["digest"] == vocabulary.segments
    assert document["by_week"]["17"] == {"0": 12, "1": 12}
    for group in (0, 1):
        top = [vocabulary.item_ids[i] for i in standby.listed[group].items[:6]]
        (side,) = {int(item[1:]) % 2 for item in top}
        chances = dict(zip(vocabulary.target_names, standby.rates[group].tolist(), strict=True))
        assert chances["visit"] == pytest.approx(1.0)
        assert min(chances[f"buy:C{side}"], chances[f"buy:C{side + 2}"]) > chances[f"buy:C{1 - side}"]
    assert len(standby.listed[standby.everyone].items) == 12


def test_rows_say_the_vocabulary_that_their_segment_belongs_to(made: Made) -> None:
    import pyarrow.parquet as pq

    marks = pq.read_table(made.profiles / "user_profile.parquet", columns=["vocabulary"])["vocabulary"].unique()
    assert marks.to_pylist() == [Vocabulary.load(made.profiles / "vocabulary").digest]
    assert files.read_json(made.profiles / "profiles.json")["vocabulary"] == marks[0].as_py()


def test_the_document_travels_to_the_rows(made: Made) -> None:
    for name in ("segments.json", "segments.md", "segments.html"):
        assert (made.rows / name).read_bytes() == (made.profiles / name).read_bytes()


def test_the_card_shows_names_sizes_and_what_weighs_more(made: Made) -> None:
    text, page = ((made.profiles / name).read_text() for name in ("segments.md", "segments.html"))
    document = files.read_json(made.profiles / "segments.json")
    for name in document["names"]:
        assert name in text
        assert name in page
    assert "2 segments by K-means on the mix of targets, fitted on training weeks" in text
    assert "PSI of 0.000" in text, "the checkerboard's users stay as they are"
    assert "| 12 | 50.0% | 50.0% |" in text
    assert "C0" in page
    assert "<script" not in page
    assert "://" not in page, "nothing from outside"


def test_a_title_cannot_break_the_page(made: Made, tmp_path: Path) -> None:
    vocabulary = Vocabulary.load(made.profiles / "vocabulary")
    column = vocabulary.items.schema.get_field_index("title")
    titles = pa.array(["<script>alert(1)</script>"] * vocabulary.items.num_rows)
    vandal = Vocabulary(
        vocabulary.targets, vocabulary.items.set_column(column, "title", titles), vocabulary.item_targets
    )
    files.copied(made.profiles, tmp_path, ["segments.json"])
    card.write(tmp_path, vandal, trained=13)
    assert "<script" not in (tmp_path / "segments.html").read_text()


def test_sizes_that_move_are_drift(made: Made) -> None:
    document = files.read_json(made.profiles / "segments.json")
    document["by_week"]["17"] = {"0": 18, "1": 6}
    shares = card.shares_by_week(document)
    assert shares[17] == [0.75, 0.25]
    assert card.drift(shares[13], shares[17]) == pytest.approx(0.2747, abs=1e-4)
