"""The step in its frame: what it reads, what it leaves, and what it says."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.intent.sessions.score import SessionScorer, held
from components.intent.sessions.spec import SessionModel, SessionRule
from components.intent.sessions.steps import run_train_session
from components.step import PROGRESS_FILE
from feature_repo import files
from tests.session_worlds import BUY, CALENDAR, LEAVE, SPLIT, shop


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress.jsonl"))
    return tmp_path / "progress.jsonl"


def last(said: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(said.read_text().splitlines()[-1])
    return found


def test_a_model_its_figures_and_a_line_that_says_how_visits_are_told(tmp_path: Path, said: Path) -> None:
    clean, rows, made = (tmp_path / name for name in ("clean", "rows", "made"))
    world = shop(tmp_path / "raw", users=400)
    for folder in (clean, rows):
        folder.mkdir()
    pq.write_table(world.events, clean / "events.parquet")
    pq.write_table(world.items, clean / "items.parquet")
    files.write_json(rows / "split.json", SPLIT | {"horizon": 1})
    files.write_json(rows / "calendar.json", CALENDAR.document())
    rule = SessionRule(intents=(BUY, LEAVE), gap="30m", model=SessionModel(epochs=2, width=8))
    run_train_session(rule.model_dump_json(), clean=clean, rows=rows, destination=made)
    scorer = SessionScorer.load(made / "model")
    assert scorer.names == ["buy", "leave"]
    assert scorer.codes.gap_s == scorer.codes.quiet_s == 1800
    assert len(scorer.codes.categories) == 10
    figures = files.read_json(made / "evaluation" / "metrics.json")
    assert set(figures["baselines"]) == {"last_event", "markov_1", "markov_2"}
    assert (made / "evaluation" / "card.md").read_text().startswith("# Session intents\n")
    line = last(said)
    assert line["visits"] == "by session_id, and cut where a user is silent for more than 30 minutes"
    assert line["asked"] is True
    assert line["auroc"] == figures["test"]["auroc"]


def test_without_such_an_intent_nothing_is_read_and_the_folder_says_so(tmp_path: Path, said: Path) -> None:
    run_train_session("", clean=tmp_path / "nowhere", rows=tmp_path / "nowhere", destination=tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["none.json"]
    assert not held(tmp_path / "made" / "model")
    assert last(said)["asked"] is False
