"""Champion and candidate on the same rows: what is fetched of the champion, and how gates compare."""

import dataclasses
import json
import secrets
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from components import resamples, twins
from components.registry import champion, component, steps, twin
from components.registry import client as mlflow_client
from components.registry.gate_inputs import Champion, ResourceUse, measured
from components.registry.gates import evaluate
from components.registry.refit import TWIN
from components.registry.spec import Gate
from components.resamples import Line
from components.twins import Twin
from feature_repo import files, signing

SQLITE = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
GATE = Gate(metric="ranking.ndcg_at_10", against="champion", tolerance=0.02)
SPREAD = np.arange(40) % 5 / 1000


def _metrics(value: float) -> dict:
    return {
        "test": {"ndcg_at_10": value, "rows": 100},
        "baselines": {},
        "cohorts": {"segment 1": {"rows": 100, "ndcg_at_10": value}},
    }


def _said(folder: Path, value: float, *, why: str = "", metric: str = "ndcg_at_10", retrained: bool = False) -> Path:
    """Write what a part's twin says on the candidate's rows."""
    folder.mkdir(parents=True)
    twins.write(Twin("1", why=why, retrained=retrained), folder)
    if not why:
        files.write_json(folder / "metrics.json", _metrics(value))
        lines = [Line(metric, value + SPREAD, 100, 50, draws=draws) for draws in (resamples.ACROSS, resamples.WITHIN)]
        resamples.write(folder, lines, rows_digest="new rows")
    return folder


def _candidate(value: float) -> tuple:
    lines = [Line("ndcg_at_10", value + SPREAD, 100, 50, draws=draws) for draws in (resamples.ACROSS, resamples.WITHIN)]
    kept = resamples.Resamples({(line.cohort, line.side, line.draws, line.metric): line for line in lines}, "new rows")
    return measured({"ranking": _metrics(value)}, segments="mine", resamples={"ranking": kept})


BEFORE = Champion(
    values={"ranking.ndcg_at_10": 0.5, "latency.recommend_ms_p50": 2.0},
    segments="others",
    used={"gate": ResourceUse(1, 0.4)},
)  # on its own, easier weeks


@pytest.mark.parametrize(
    ("there", "word"),
    [(0.20, "passed"), (0.40, "refused")],
    ids=["a champion that is worse on these rows", "a champion that is better on these rows"],
)
def test_the_champions_figure_on_the_same_rows_decides(there: float, word: str, tmp_path: Path) -> None:
    """On its own test rows the champion had 0.5, whichever it is."""
    folders = {"intent": _said(tmp_path / "intent", 0.3), "ranking": _said(tmp_path / "ranking", there)}
    compared = twin.on_same_rows(BEFORE, folders, segments="mine")
    (outcome,) = evaluate([GATE], _candidate(0.3), champion=compared).outcomes
    assert (outcome.verdict, outcome.compared) == (word, there)
    assert "paired by user on the same rows" in outcome.reason
    assert compared is not None
    assert compared.used == BEFORE.used
    assert compared.values["latency.recommend_ms_p50"] == 2.0


def test_the_reason_says_where_the_like_of_the_champion_was_trained(tmp_path: Path) -> None:
    folders = {part: _said(tmp_path / part, 0.2, retrained=True) for part in ("intent", "ranking")}
    compared = twin.on_same_rows(BEFORE, folders, segments="mine")
    (outcome,) = evaluate([GATE], _candidate(0.3), champion=compared).outcomes
    assert "on the same rows, by its like, trained at this candidate's cutoffs" in outcome.reason


def test_cohorts_are_the_candidates_own_groups(tmp_path: Path) -> None:
    folders = {"intent": _said(tmp_path / "intent", 0.3), "ranking": _said(tmp_path / "ranking", 0.2)}
    compared = twin.on_same_rows(BEFORE, folders, segments="mine")
    gate = GATE.model_copy(update={"cohort": "segment", "min_rows": 10})
    (outcome,) = evaluate([gate], _candidate(0.3), champion=compared).outcomes
    assert not outcome.skipped  # their segments were other groups of users
    assert outcome.compared == 0.2


def test_where_it_cannot_be_scored_the_reason_says_why(tmp_path: Path) -> None:
    why = "its judged twin, version 1, has learnt from the first of them"
    folders = {"intent": _said(tmp_path / "intent", 0, why=why), "ranking": _said(tmp_path / "ranking", 0, why=why)}
    kept = resamples.Resamples(
        {("", "model", "across", "ndcg_at_10"): Line("ndcg_at_10", 0.5 + SPREAD, 100, 50, draws="across")}, "old rows"
    )
    before = dataclasses.replace(BEFORE, resamples={"ranking": kept})
    compared = twin.on_same_rows(before, folders, segments="mine")
    (outcome,) = evaluate([GATE], _candidate(0.3), champion=compared).outcomes
    assert outcome.verdict == "refused"
    assert f"paired by user on each release's own test rows, since {why}" in outcome.reason


def test_a_champion_that_was_judged_on_the_same_data_is_compared_as_it_was(tmp_path: Path) -> None:
    same = {"intent": _said(tmp_path / "i", 0, why=twins.SAME_DATA), "ranking": _said(tmp_path / "r", 0, why="")}
    compared = twin.on_same_rows(BEFORE, same, segments="mine")
    assert compared == dataclasses.replace(BEFORE, elsewhere=twin.OTHER_WEEKS)
    kept = _candidate(0.5).overall  # both were judged on the same rows: nothing is said of other ones
    lines = {("", "model", "across", "ndcg_at_10"): Line("ndcg_at_10", 0.5 + SPREAD, 100, 50, draws="across")}
    theirs = dataclasses.replace(compared, resamples={"ranking": resamples.Resamples(lines, "new rows")})
    (outcome,) = evaluate([GATE], _candidate(0.5), champion=theirs).outcomes
    assert outcome.reason.endswith("paired by user on the same rows)")
    assert kept.values["ranking.ndcg_at_10"] == 0.5
    assert twin.on_same_rows(None, same, segments="mine") is None


@pytest.fixture
def registered(shared, lineage, make, tmp_path):
    """Register a result whose intent model says what it learnt from, as the champion."""
    made = make(seed=11)
    told = {"weeks": {"full": [5, 6, 7]}, "spec": {"seed": 3}, "conditions": {"split": "c0ffee"}}
    files.write_json(made.intent / "training.json", told)
    report = str(tmp_path / "report")
    version = tmp_path / "version"
    at = {name: SimpleNamespace(path=str(path)) for name, path in vars(made).items()}
    steps.register(
        "shared", folders=[one.path for one in at.values()], lineage=lineage.model_dump_json(),
        promotion=json.dumps({"gates": []}), serving=json.dumps({"profiles": {"windows_days": [7, 28, 91]}}),
        report=report, release_version=str(version), mode="auto",
    )  # fmt: skip
    component.promote.python_func("shared", version.read_text(), "auto", "test")
    return version.read_text()


@SQLITE
def test_the_champions_release_is_fetched_with_how_far_it_learnt(registered, shared, tmp_path) -> None:
    found = twin.fetch("shared", tmp_path / "twin", data="0ther0ther00")
    assert found == Twin(registered, "2017-02-13T05:00:00+00:00")  # the seventh week ends, in New York
    assert (tmp_path / "twin" / twins.RELEASE / "intent" / "weights.safetensors").is_file()
    clean = SimpleNamespace(path=str(shared.folders.clean))
    assert files.read_json(tmp_path / "twin" / twins.INTENT_MODEL) == {"seed": 3}
    component.fetch_twin.python_func("shared", clean, SimpleNamespace(path=str(tmp_path / "same")))
    assert twins.read(tmp_path / "same") == dataclasses.replace(found, split="c0ffee")  # of the same data


@SQLITE
def test_of_a_refit_its_judged_twin_is_fetched(registered, shared, tmp_path) -> None:
    with mlflow_client.connected() as client:
        client.set_model_version_tag("shared-release", registered, TWIN, "99")
    assert (
        twin.fetch("shared", tmp_path / "twin", data="0ther0ther00").why == "its judged twin, version 99, was deleted"
    )


@SQLITE
def test_a_release_of_before_is_compared_as_before(registered, shared, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(twin, "TRAINING", "intent/nothing.json")  # its run kept no weeks
    found = twin.fetch("shared", tmp_path / "twin", data="0ther0ther00")
    assert found.why == f"nobody knows which weeks version {registered} learnt from"
    assert champion.champion("shared") is not None


@SQLITE
def test_a_champion_of_before_releases_were_signed_does_not_stop_the_run_that_signs(
    registered, shared, tmp_path, monkeypatch
) -> None:
    one = signing.signer({signing.KEY: secrets.token_hex(32)})
    monkeypatch.setenv(signing.PUBLIC, one.public)
    found = twin.fetch("shared", tmp_path / "twin", data="0ther0ther00")
    assert found.version
    assert "is not signed" in found.why
    assert not (tmp_path / "twin" / twins.RELEASE).exists()


def test_without_a_registry_there_is_no_champion_and_none_is_made(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    assert twin.fetch("shared", tmp_path / "twin", data="").why == "there is no champion yet"
    assert list(tmp_path.iterdir()) == []
