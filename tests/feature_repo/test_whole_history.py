"""Whole histories: where repeats are forbidden, rows keep every item that a user ever had."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.profiles.online import materialise
from components.profiles.steps import run_profiles
from feature_repo import columns
from feature_repo.update import Event
from feature_repo.vocabulary import Vocabulary
from tests import worlds


def built(folder: Path, **more: object) -> Path:
    """Build the profiles of the checkerboard, whose users each buy six items."""
    clean = worlds.checkerboard().write(folder / "clean")
    profiles = json.dumps({"windows_days": [7, 28, 91], "segments": {"method": "kmeans", "k": 2}})
    vocabulary = json.dumps(worlds.VOCABULARY | more)
    run_profiles(profiles, json.dumps(worlds.SPLIT), vocabulary, clean=clean, destination=folder / "profiles")
    return folder / "profiles"


def lengths(profiles: Path) -> set[int]:
    rows = pq.read_table(profiles / "user_history.parquet", columns=["history_items", columns.WEEK]).to_pylist()
    last = max(row[columns.WEEK] for row in rows)
    return {len(row["history_items"]) for row in rows if row[columns.WEEK] == last}


def test_rows_keep_all_items_in_the_batch_and_by_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "HISTORY_LIMIT", 2)
    cut, whole = built(tmp_path / "cut"), built(tmp_path / "whole", whole_history=True)
    assert (lengths(cut), lengths(whole)) == ({2}, {6})
    for profiles, kept in ((cut, 2), (whole, 5)):
        folding = materialise.folding(profiles)
        events = [Event(f"i{n}", "purchase", at=1_704_100_000 + n, session_id="s") for n in range(5)]
        assert len(folding.fold(folding.empty(), events)["history_items"]) == kept


def test_whole_histories_lie_apart_from_cut_ones(tmp_path: Path) -> None:
    cut, whole = (Vocabulary.load(built(tmp_path / name, **more) / "vocabulary")
                  for name, more in (("cut", {}), ("whole", {"whole_history": True})))  # fmt: skip
    assert (cut.history_limit, whole.history_limit) == (512, None)
    assert cut.digest != whole.digest
    assert cut.item_ids == whole.item_ids
    meaning = json.loads((tmp_path / "cut/profiles/vocabulary/meaning.json").read_text())
    assert meaning.keys() == {"segments", "attributes"}  # as before there were whole histories
