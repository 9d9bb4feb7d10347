"""Batch scoring gives every user what the door would give them, and its files say from which release."""

import datetime as dt
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bentos.endpoints.intents import IntentsRequest
from bentos.endpoints.recommend import RecommendRequest
from feature_repo import env_names, files
from feature_repo.documents.changes import ITEM
from feature_repo.documents.log import DocumentLog, Snapshot
from feature_repo.documents.opened import document_log
from feature_repo.privacy.pseudonyms import KEY, pseudonym
from tests.bentos.conftest import asked
from tests.pipelines.conftest import RAW, Shop

K = 12  # of 16 items: more than some users have candidates


@dataclass(frozen=True)
class Scored:
    """The files of a batch, and what the door says to the same users at the same time."""

    recommendations: list[dict[str, Any]]
    intents: list[dict[str, Any]]
    names: list[str]
    release: str
    key: str
    answers: dict[str, Any]  # by pseudonym

    def of(self, user: str) -> list[dict[str, Any]]:
        """Return a user's lines, in the file's order."""
        return [line for line in self.recommendations if line["user_id"] == user]


def _released(shop: Shop) -> Path:
    report = json.loads((shop.home / "report.json").read_text())
    return shop.home / "releases" / str(report["release"]["id"]) / "models"


def _batch(shop: Shop, release: Path, folder: Path, *, now: str = "") -> None:
    """Run the steps of batch scoring as the components run them."""
    from components.intent.steps import run_predict_intents
    from components.profiles.steps import run_newest_rows
    from components.ranking.steps import run_recommend
    from pipelines.runs import local

    last = local.last_run(shop.home)
    assert last is not None
    rows, intents, listed = (folder / name for name in ("rows", "intents", "recommendations"))
    clean, split = last.folders["clean"], last.parameters["split"]
    run_newest_rows(split, clean=clean, release=release, now=now, destination=rows)
    run_predict_intents(rows=str(rows), release=str(release), intents=str(intents))
    run_recommend(rows=str(rows), intents=str(intents), release=str(release), k=K, recommendations=str(listed))


@pytest.fixture(scope="module")
def scored(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    from pipelines.environment import place
    from pipelines.releases.release import variables

    folder, release = tmp_path_factory.mktemp("batch"), _released(shop)
    at = place(shop.spec, "local", variables=shop.environment())
    with variables(at):
        _batch(shop, release, folder)
        key = at.variables[KEY]
        answers = _asked(release, key, folder)
    return Scored(
        recommendations=pq.read_table(folder / "recommendations" / "recommendations.parquet").to_pylist(),
        intents=pq.read_table(folder / "intents" / "intents.parquet").to_pylist(),
        names=files.read_json(folder / "intents" / "intents.json"),
        release=str(files.read_json(release / "release.json")["id"]),
        key=key,
        answers=answers,
    )


def _asked(release: Path, key: str, folder: Path) -> dict[str, Any]:
    """Ask a real door, on the shop's own online store, about every user; return answers by pseudonym."""
    from bentos.recommender.clock import make_clock
    from bentos.recommender.door import Door
    from bentos.recommender.logs.eventlog import EventLog
    from bentos.recommender.logs.requestlog import RequestLog
    from bentos.recommender.service import folding
    from bentos.release import Release
    from components.intent.score import IntentScorer
    from components.ranking.score import Ranker
    from feature_repo.fallback import Fallback
    from feature_repo.online.profiles import OnlineProfiles

    found = Release.load(release)
    scorer, ranker = IntentScorer.served(release / "intent"), Ranker.served(release / "ranking")
    door = Door(
        found,
        scorer,
        ranker,
        OnlineProfiles.open(found.name, folding(found, ranker.vocabulary)),
        RequestLog(folder / "requests", sample=0.0),
        make_clock("data_end", found.data_end),
        events=EventLog(folder / "events"),
        fallback=Fallback.load(release / "ranking"),
        key=key,
    )
    users = [f"{RAW}u{n:02d}" for n in range(40)]
    answers = {
        pseudonym(user, key): (
            asked(door, RecommendRequest(user_id=user, k=K)),
            asked(door, IntentsRequest(user_id=user)),
        )
        for user in users
    }
    door.close()
    return answers


def test_every_user_gets_the_items_that_the_door_gives(scored: Scored) -> None:
    assert {line["user_id"] for line in scored.recommendations} == set(scored.answers)
    for user, (answer, _) in scored.answers.items():
        lines = scored.of(user)
        assert [line["rank"] for line in lines] == list(range(1, K + 1))
        assert [(line["item_id"], line["source"]) for line in lines] == [(i.item_id, i.source) for i in answer.items]
        assert [line["score"] for line in lines] == pytest.approx([i.score for i in answer.items], abs=1e-4)
        assert [line["propensity"] for line in lines] == [i.propensity for i in answer.items]
        assert {line["rung"] for line in lines} == {answer.profile.rung} == {"fresh"}


def test_every_user_gets_the_intents_that_the_door_gives(scored: Scored) -> None:
    assert len(scored.intents) == 40
    for line in scored.intents:
        _, answer = scored.answers[line["user_id"]]
        assert [intent.name for intent in answer.intents] == scored.names
        assert line["probabilities"] == pytest.approx([i.probability for i in answer.intents], abs=1e-5)
        assert line["state_at"] == answer.profile.state_at.replace(tzinfo=dt.UTC)


def test_files_name_the_release_and_no_raw_user(scored: Scored) -> None:
    for lines in (scored.recommendations, scored.intents):
        assert {line["release"] for line in lines} == {scored.release}
        assert not [line for line in lines if RAW in line["user_id"]]


def test_years_later_a_users_segment_answers(shop: Shop, scored: Scored, tmp_path: Path) -> None:
    late = str(int(dt.datetime(2034, 1, 1, tzinfo=dt.UTC).timestamp()))
    _batch(shop, _released(shop), tmp_path, now=late)
    lines = pq.read_table(tmp_path / "recommendations" / "recommendations.parquet").to_pylist()
    assert {line["rung"] for line in lines} == {"segment"}
    assert {line["source"] for line in lines} <= {"segment", "popular"}
    first = files.read_json(_released(shop) / "ranking" / "segments.json")["rates"]["segment"]
    intents = pq.read_table(tmp_path / "intents" / "intents.parquet").to_pylist()
    for line in intents:
        assert any(line["probabilities"] == pytest.approx(rates, abs=1e-6) for rates in first)


@pytest.fixture
def documents(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DocumentLog:
    """A document log beside the shop's own store, which the environment names for this test."""
    settings = json.loads(shop_feast(shop))
    settings["online_store"] = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    monkeypatch.setenv(env_names.FEAST, json.dumps(settings))
    return document_log("shop")


def shop_feast(shop: Shop) -> str:
    """Return how the shop's environment names its stores."""
    from pipelines.environment import place
    from pipelines.releases.release import variables

    with variables(place(shop.spec, "local", variables=shop.environment())):
        return os.environ[env_names.FEAST]


@pytest.mark.parametrize("now", ["", str(int(dt.datetime(2034, 1, 1, tzinfo=dt.UTC).timestamp()))])  # fresh, segment
def test_no_list_holds_what_was_withdrawn_and_later_items_may_be_in_them(
    shop: Shop, scored: Scored, documents: DocumentLog, tmp_path: Path, now: str
) -> None:
    best = scored.recommendations[0]["item_id"]
    category = {row["item_id"]: row["category"] for row in _items(shop)}[best]
    said = [(best, {"available": False}), ("later", {"title": "Later", "category": category})]
    documents.put(ITEM, said, who="test", at=dt.datetime.now(dt.UTC), after=Snapshot())
    _batch(shop, _released(shop), tmp_path, now=now)
    lines = pq.read_table(tmp_path / "recommendations" / "recommendations.parquet").to_pylist()
    shown = {line["item_id"] for line in lines}
    assert best not in shown
    assert {line["catalogue_version"] for line in lines} == {1}
    assert ("later" in shown) is (not now)  # a segment's list is of what was bought
    assert {line["user_id"] for line in lines} == set(scored.answers)


def _items(shop: Shop) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(
        _released(shop) / "ranking" / "vocabulary" / "items.parquet"
    ).to_pylist()
    return table


def test_an_environment_without_a_store_is_said_and_the_lists_say_that_no_log_was_read(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(env_names.FEAST, raising=False)
    _batch(shop, _released(shop), tmp_path)
    lines = pq.read_table(tmp_path / "recommendations" / "recommendations.parquet").to_pylist()
    assert {line["catalogue_version"] for line in lines} == {None}
    assert "INTENTFLOW_FEAST is not set: batch answers may hold withdrawn items" in caplog.text


def test_users_come_in_groups_that_bound_memory(
    shop: Shop, scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.profiles.online import scoring_rows

    monkeypatch.setattr(scoring_rows, "USERS", 7)
    _batch(shop, _released(shop), tmp_path)
    path = tmp_path / "recommendations" / "recommendations.parquet"
    assert pq.ParquetFile(tmp_path / "rows" / "rows.parquet").num_row_groups == 6  # of 40 users
    assert pq.ParquetFile(path).num_row_groups == 6
    keyed = {(line["user_id"], line["rank"]): line for line in scored.recommendations}
    for line in pq.read_table(path).to_pylist():
        same = keyed[line["user_id"], line["rank"]]
        assert line["item_id"] == same["item_id"]
        assert line["score"] == pytest.approx(same["score"], abs=1e-4)


@pytest.mark.slow
def test_the_command_line_scores_all_users_and_says_where_the_files_are(shop: Shop) -> None:
    last = (shop.home / "run.json").read_bytes()
    done = shop.run("run", str(shop.spec), "--pipeline", "batch")
    assert done.returncode == 0, done.stderr
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.endswith(".parquet"))
    assert done.stdout.startswith(("shop: scored 40 users\n", "shop: scored before\n"))  # a job may have been first
    assert pq.read_table(said["recommendations"]).num_rows == 40 * 10  # the spec's k
    assert pq.read_table(said["intents"]).num_rows == 40
    assert (shop.home / "run.json").read_bytes() == last  # what `plan` and `why` go by is the training run


@pytest.mark.slow
def test_a_pipeline_that_is_not_there_is_one_line_with_exit_code_2(shop: Shop) -> None:
    done = shop.run("run", str(shop.spec), "--pipeline", "scores")
    assert done.returncode == 2
    assert "--pipeline: no pipeline 'scores'; have train, batch, retrain" in done.stderr
