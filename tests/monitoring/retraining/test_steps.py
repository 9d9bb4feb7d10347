"""The loop of retraining over planted worlds, by its real steps, a real registry, folders as the pipeline leaves them.

The weeks of a world pass by: each has a verdict of drift, the rows that it is about, and what a training would come to.
"""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.registry import client as mlflow_client
from components.registry import heartbeats
from components.registry import retraining as kept
from components.registry.refit import TWIN
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError, Refused
from feature_repo.vocabulary import Target, Vocabulary
from monitoring.retraining import steps
from monitoring.spec import Monitoring, Quality, Retrain
from tests.monitoring.retraining.test_gain import written
from tests.patience import patient

CALENDAR = Calendar("2024-01-01")
SPEC = Monitoring(retrain=Retrain(), quality=Quality(label_delay_days=0)).model_dump_json()
FAULT = {"verdict": "lost", "lost": ["log_value_7d"], "reason": "log_value_7d lost 97 % of its values"}
STILL = {"verdict": "stable", "reason": "nothing moved"}
MOVED = {"verdict": "drifted", "reason": "4 of 11 columns drifted"}


@dataclass
class Shop:
    """A recommender's state folder and registry, week by week."""

    folder: Path
    week: int = 30
    mode: str = "auto"

    def passes(self, weeks: int = 1) -> "Shop":
        """Let weeks pass."""
        self.week += weeks
        return self

    def rows(self) -> Path:
        """Write what `rows` says of time in this week."""
        folder = self.folder / f"rows-{self.week}"
        if not folder.is_dir():
            items = pa.table({"item_index": pa.array([], pa.int64()), "item_id": pa.array([], pa.string())})
            links = pa.table({"item_id": pa.array([], pa.string()), "target_id": pa.array([], pa.int64())})
            Vocabulary((Target("visit", None, None, None),), items, links).save(folder / "vocabulary")
            files.write_json(folder / "calendar.json", CALENDAR.document())
            week = self.week
            split = {"train": [week - 12], "validate": [week - 5], "test": [week - 1]}
            files.write_json(folder / "split.json", split)
        return folder

    def decide(self, found: dict[str, Any], *, spec: str = SPEC, refit: bool = True) -> bool:
        """Take the step `decide_retraining` on a verdict."""
        folder = self.folder / "verdict"
        files.write_json(folder / "drift.json", found | {"at": str(self.week), "current": {"weeks": [self.week - 1]}})
        return steps.decide("shop", spec, mode=self.mode, refit=refit, verdict=str(folder), rows=str(self.rows()))

    def weigh(self, *, better: bool, passed: bool = True, version: str = "2", spec: str = SPEC) -> bool:
        """Take the step `weigh` on a candidate that is better than the champion on the same rows, or like it."""
        place = self.folder / f"evaluations-{self.week}"
        mine = written(place / "candidate", 0.35 if better else 0.30, 0.2)
        theirs = written(place / "champion", 0.30, 0.2)
        return steps.weigh(
            *("shop", spec),
            mode=self.mode,
            passed=passed,
            version=version,
            candidate=[str(mine[part]) for part in ("intent", "ranking")],
            champion=[str(theirs[part]) for part in ("intent", "ranking")],
        )

    @property
    def state(self) -> dict[str, Any]:
        return kept.read("shop")

    @property
    def mark(self) -> Any:
        return heartbeats.read("shop").get(heartbeats.RETRAINING, {})


def release(version_of: str, *, gates: str = "passed") -> str:
    """Register a version of the shop's release; the first is the champion."""
    with mlflow_client.connected() as client:
        if mlflow_client.registered_model(client, "shop-release") is None:
            client.create_registered_model("shop-release")
        made = client.create_model_version(
            "shop-release", f"/nowhere/{version_of}", tags={"gates": gates, "id": version_of}
        )
        if str(made.version) == "1":
            client.set_registered_model_alias("shop-release", "champion", "1")
    return str(made.version)


def logged() -> list[dict[str, str]]:
    """Return the decisions in MLflow, oldest first."""
    with mlflow_client.connected() as client:
        runs = client.search_runs([mlflow_client.experiment_id(client, "shop")], f"tags.`{kept.DECISION}` != ''")
    ordered = sorted(runs, key=lambda run: (int(run.data.params["at"]), run.info.start_time))
    told = ("action", "reason", "why", "result", "gain", "version")
    return [
        {key: run.data.tags[f"retraining.{key}"] for key in told if f"retraining.{key}" in run.data.tags}
        for run in ordered
    ]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database that is there already: to make one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    before = os.environ.get(mlflow_client.TRACKING_URI)
    os.environ[mlflow_client.TRACKING_URI] = f"sqlite:///{path}"
    try:
        release("champion")
    finally:
        os.environ.pop(mlflow_client.TRACKING_URI)
        if before is not None:
            os.environ[mlflow_client.TRACKING_URI] = before
    return path


@pytest.fixture
def shop(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    copy = tmp_path / "mlflow.db"
    copy.write_bytes(database.read_bytes())
    monkeypatch.setenv(mlflow_client.TRACKING_URI, f"sqlite:///{copy}")
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path / "home"))
    return Shop(tmp_path)


def test_a_fault_trains_nothing_and_somebody_is_told(shop: Shop) -> None:
    with pytest.raises(
        Refused, match=r"a data fault never trains: log_value_7d lost 97 % .* nothing is trained on this"
    ):
        shop.decide(FAULT)
    assert (shop.state["attempts"], shop.mark["action"], shop.mark["reason"]) == ([], "hold", "data_fault")
    (one,) = logged()
    assert (one["action"], one["reason"]) == ("hold", "data_fault")
    mark = {"reason": "performance", "why": "map fell", "period": 1, "release": "r"}
    heartbeats.leave("shop", heartbeats.QUALITY, mark)
    shop.passes()
    with pytest.raises(Refused):  # also where quality fell by it
        shop.decide(FAULT)
    assert shop.state["attempts"] == []


def test_a_world_that_changed_is_trained_on_once_and_the_better_model_serves(shop: Shop) -> None:
    assert shop.decide(MOVED) is True
    assert shop.weigh(better=True, version=release("two")) is True
    assert steps.promote("shop", "2", SPEC, mode="auto", why="passed its gates") == "2"
    (attempt,) = shop.state["attempts"]
    assert (attempt["result"], attempt["version"], attempt["action"]) == ("gain", "2", "shadow")
    assert shop.decide(MOVED) is False  # the same evidence
    assert shop.mark["action"] == "wait"
    assert shop.passes(4).decide(STILL) is False
    assert len(shop.state["attempts"]) == 1
    trained = logged()[0]
    assert (trained["action"], trained["result"], trained["version"]) == ("shadow", "gain", "2")
    assert trained["gain"].startswith("intent.map +0.05")


def test_what_has_half_as_much_again_to_learn_from_is_trained_and_its_gates_are_enough(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion learnt from weeks 1 to 12: 18 are half as many again, and 17 are not."""
    monkeypatch.chdir(shop.folder)  # where artifacts of a registry in a file go
    spec = Monitoring(retrain=Retrain(grown=1.5), quality=Quality(label_delay_days=0)).model_dump_json()
    assert shop.decide(STILL, spec=spec) is False, "nobody knows what the champion learnt from"
    learnt(list(range(1, 13)))
    rows = shop.passes().rows()
    split = files.read_json(rows / "split.json")
    for last, trains in ((17, False), (18, True)):
        files.write_json(rows / "split.json", split | {"train": list(range(1, last + 1))})
        assert shop.decide(STILL, spec=spec) is trains
    assert shop.decide(STILL) is False, "a spec that does not ask"
    version = release("more")
    assert shop.weigh(better=False, version=version, spec=spec) is True
    assert steps.promote("shop", version, spec, mode="auto", why="passed its gates") == version
    (attempt,) = shop.state["attempts"]
    assert (attempt["reason"], attempt["action"], attempt["result"]) == ("grown", "train", "no_gain")
    assert attempt["why"] == "grown: there are 18 steps to learn from, and version 1 learnt from 12"
    assert (shop.state["failures"], shop.state["stopped"]) == (0, "")


def learnt(weeks: list[int]) -> None:
    """Say which weeks the champion learnt from, as its training left it."""
    with mlflow_client.connected() as client:
        run = client.create_run(mlflow_client.experiment_id(client, "shop")).info.run_id
        client.log_dict(run, {"weeks": {"full": weeks}}, "intent/training.json")
        made = client.create_model_version("shop-release", "/nowhere/learnt", run_id=run)
        client.set_model_version_tag("shop-release", "1", TWIN, str(made.version))


def test_no_gain_twice_stops_it_and_somebody_is_told_until_somebody_resumes(shop: Shop) -> None:
    assert shop.decide(MOVED) is True
    assert shop.weigh(better=False) is False  # its gates passed, and it is not promoted
    assert (shop.state["stopped"], shop.mark["failures"]) == ("", 1)
    assert shop.passes(2).decide(MOVED) is True
    for _ in range(2):  # a pipeline repeats a step that failed
        with pytest.raises(Refused, match="2 trainings in a row brought no gain"):
            shop.weigh(better=False)
    assert (shop.mark["action"], shop.mark["stopped"]) == ("stop", True)
    with pytest.raises(Refused, match=r"retraining has stopped; .* --resume"):
        shop.passes(9).decide(MOVED)
    assert shop.decide(STILL) is False  # nothing to say, nobody is told again
    assert [one["result"] for one in shop.state["attempts"]] == ["no_gain", "no_gain"]
    steps.resume("shop", steps.State.read(shop.state))
    assert shop.decide(MOVED) is True
    assert [one["action"] for one in logged()] == ["shadow", "shadow", "stop", "stop", "nothing", "shadow"]


def test_a_candidate_that_its_gates_refuse_is_a_try_without_gain(shop: Shop) -> None:
    shop.decide(MOVED)
    assert shop.weigh(better=True, passed=False) is False
    assert shop.state["attempts"][0]["result"] == "refused"


def test_without_a_shadow_the_gates_promote_and_the_try_counts_all_the_same(shop: Shop) -> None:
    spec = Monitoring(retrain=Retrain(shadow=False)).model_dump_json()
    shop.decide(MOVED, spec=spec)
    assert shop.weigh(better=False, version=release("two"), spec=spec) is True
    assert steps.promote("shop", "2", spec, mode="auto", why="") == "2"
    assert (shop.state["attempts"][0]["action"], shop.state["attempts"][0]["result"]) == ("train", "no_gain")


def test_realised_quality_alone_is_a_reason(shop: Shop) -> None:
    mark = {"reason": "performance", "why": "map is .3 where .4 is usual", "period": 29, "release": "r1", "since": ""}
    heartbeats.leave("shop", heartbeats.QUALITY, mark)
    assert shop.decide(STILL) is True
    assert (shop.mark["reason"], shop.mark["why"]) == ("performance", "performance: map is .3 where .4 is usual")


def test_a_cooldown_knows_the_label_delay_that_quality_measured(shop: Shop) -> None:
    heartbeats.leave("shop", heartbeats.QUALITY, {"reason": "none", "delay_days": 30.0})
    spec = Monitoring(retrain=Retrain()).model_dump_json()
    assert shop.decide(MOVED, spec=spec) is True
    assert shop.weigh(better=False, spec=spec) is False
    assert shop.passes(3).decide(MOVED, spec=spec) is False, "two weeks after a week's horizon"
    assert shop.mark["why"].startswith("cooldown until ")
    assert shop.passes(3).decide(MOVED, spec=spec) is True


def test_a_training_waits_until_its_rows_show_what_changed(shop: Shop) -> None:
    """Without a refit the training weeks end eleven weeks before the data does."""
    since = CALENDAR.start(25).isoformat()
    alarm = {"signal": "price", "when": "lasting", "reason": "world", "since_starts": since, "explained_by": ""}
    moved = MOVED | {"class": "world", "signals": {"verdicts": [alarm]}}
    assert shop.decide(moved, refit=False) is False
    assert "a training now would learn until 2024-05-06" in shop.mark["why"]
    assert shop.decide(moved, refit=True) is True


def test_where_nobody_serves_yet_a_reason_trains_and_no_try_is_counted(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(mlflow_client.TRACKING_URI, f"sqlite:///{tmp_path / 'none.db'}")
    assert shop.decide(MOVED) is True
    assert shop.decide(STILL) is False
    assert not (tmp_path / "none.db").exists()
    assert shop.state == {}


def test_a_dry_run_leaves_nothing(shop: Shop) -> None:
    shop.mode = "dry_run"
    assert shop.decide(MOVED) is True
    assert shop.weigh(better=True) is True
    assert (shop.state, shop.mark, logged()) == ({}, {}, [])


def test_a_broken_state_does_not_begin_anew(shop: Shop) -> None:
    shop.decide(MOVED)
    (shop.folder / "home" / kept.FILE).write_text("{half")
    with pytest.raises(DataError, match="holds no state of retraining; restore it from a backup"):
        shop.passes(4).decide(MOVED)


KILLED = """
    import os, sys
    from pathlib import Path
    from components.registry import retraining as kept
    from tests.monitoring.retraining import test_steps as world

    def killed(*_, **__):
        os.kill(os.getpid(), 9)

    shop = world.Shop(Path(sys.argv[1]))
    setattr(kept, sys.argv[2], killed)
    shop.decide(world.MOVED)
"""


@pytest.mark.process
@pytest.mark.parametrize("at", ["log", "write"])
def test_a_decision_that_is_killed_is_taken_again_once(at: str, shop: Shop) -> None:
    """Killed while it is kept: the next run decides the same, and there is one attempt and one record of it."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(shop.folder), at]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert shop.state == {}
    assert shop.decide(MOVED) is True
    assert shop.decide(MOVED) is True
    assert len(shop.state["attempts"]) == len(logged()) == 1


def test_a_weighing_that_is_taken_again_ends_the_same_attempt_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is killed between its record in MLflow and the state: it says the same again."""
    shop.decide(MOVED)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    write, calls = kept.write, []

    def second(name: str, state: Any) -> None:
        calls.append(1)
        killed() if len(calls) == 2 else write(name, state)

    monkeypatch.setattr(kept, "write", second)
    with pytest.raises(KeyboardInterrupt):
        shop.weigh(better=False)
    monkeypatch.setattr(kept, "write", write)
    assert shop.decide(MOVED) is True  # the run is started again, and its cached steps are not repeated
    shop.folder = shop.folder / "again"
    assert shop.weigh(better=False) is False
    assert [one["result"] for one in shop.state["attempts"]] == ["no_gain"]
    assert [one.get("result") for one in logged()] == ["no_gain"]
