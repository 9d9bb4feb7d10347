"""A session model goes with its release: measured, judged by gates, registered, assembled whole."""

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components import conditions
from components.intent.sessions.encode import Codes
from components.intent.sessions.score import SessionScorer, held
from components.intent.sessions.spec import SessionIntent
from components.registry import baseline_steps, refit, steps
from components.registry.gate_inputs import measured
from components.registry.gates import evaluate
from components.registry.lineage import Folders, Result
from components.registry.register import register
from components.registry.release import assemble
from components.registry.release import make as make_release
from components.registry.spec import Gate
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.release_folder import ReleaseFolder
from tests.registry.conftest import LINEAGE, SERVING, result, write_evaluation

GATE = Gate(metric="session.auroc")


def scorer() -> SessionScorer:
    codes = Codes(("view",), ())
    F = len(codes.names)
    return SessionScorer(
        intents=(SessionIntent(name="leave", ends=True),),
        codes=codes,
        mean=np.zeros(F),
        scale=np.ones(F),
        weights=(np.ones((F, 2)), np.ones((2, 2)), np.ones((2, 1))),
        biases=(np.zeros(2), np.zeros(2), np.zeros(1)),
        start=np.asarray([0.5]),
    )


def with_session(made: Folders, *, auroc: float) -> Folders:
    """Put a session artifact beside a result whose best baseline reaches .6."""
    folder = made.clean.parent / "session"
    for name in ("model", "evaluation"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    scorer().save(folder / "model")
    numbers = {
        "test": {"auroc": auroc, "rows": 500, "users": 90},
        "baselines": {"last_event": {"auroc": 0.6}, "markov_1": {"auroc": 0.55}},
    }
    files.write_json(folder / "evaluation" / "metrics.json", numbers)
    write_evaluation(folder / "evaluation", "auroc", auroc, {"last_event": 0.6, "markov_1": 0.55}, spread=0.01)
    return replace(made, session=folder)


@pytest.mark.parametrize(("auroc", "word"), [(0.75, "passed"), (0.5, "refused"), (0.605, "undecided")])
def test_a_gate_judges_the_session_model_against_its_best_baseline(tmp_path: Path, auroc: float, word: str) -> None:
    found = Result.read(with_session(result(tmp_path, seed=0, quality=0.3), auroc=auroc), LINEAGE)
    candidate = measured(found.metrics, found.served, resamples=found.resamples)
    assert candidate.overall.baseline["session.auroc"] == 0.6
    assert evaluate([GATE], candidate, champion=None).word == word


def test_a_result_without_sessions_is_read_as_before(tmp_path: Path) -> None:
    made = result(tmp_path, seed=0, quality=0.3)
    assert made.session is not None
    files.write_json(made.session / "none.json", {"asked": False})
    for folders in (made, replace(made, session=None)):
        assert set(Result.read(folders, LINEAGE).metrics) == {"intent", "ranking"}
        assert folders.session_model is None


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_the_model_travels_in_the_intent_models_folder(store: Path, tmp_path: Path) -> None:
    folders = with_session(result(tmp_path / "result", seed=7, quality=0.3), auroc=0.75)
    registered = register("visits", folders, lineage=LINEAGE)
    candidate = measured(registered.result.metrics, resamples=registered.result.resamples)
    verdict = evaluate([GATE], candidate, champion=None)
    with tempfile.TemporaryDirectory() as scratch:
        made = make_release(
            "visits", registered, serving=SERVING, verdict=verdict, metrics={"session.auroc": 0.75},
            scratch=Path(scratch),
        )  # fmt: skip
    found = ReleaseFolder.read(assemble("visits", made.version, tmp_path / "release"))
    loaded = SessionScorer.load(found.session)
    assert made.passed
    assert loaded.names == ["leave"]
    features = np.ones((3, len(loaded.codes.names)))
    assert np.array_equal(loaded.predict(features), scorer().predict(features))


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_the_refit_s_release_names_the_judged_session_weights_and_refuses_others(store: Path, tmp_path: Path) -> None:
    folders = with_session(result(tmp_path / "result", seed=7, quality=0.3), auroc=0.75)
    registered = register("again", folders, lineage=LINEAGE)
    candidate = measured(registered.result.metrics, resamples=registered.result.resamples)
    with tempfile.TemporaryDirectory() as scratch:
        made = make_release(
            "again", registered, serving=SERVING, verdict=evaluate([GATE], candidate, champion=None),
            metrics={"session.auroc": 0.75}, scratch=Path(scratch),
        )  # fmt: skip
    assert folders.session_model is not None
    judged = hashlib.sha256((folders.session_model / "weights.npz").read_bytes()).hexdigest()
    for part in ("intent", "ranking"):
        proof = conditions.proof(folders.model(part), "5ha2ed")
        files.write_json(folders.model(part) / conditions.FILE, proof | {"weeks": [5, 6], "rows": 9, "epochs": 2})
    proof = {conditions.ASKED: True, conditions.JUDGED: judged, conditions.KEY: "of-visits"}
    files.write_json(folders.session_model / conditions.FILE, proof | {"weeks": [5, 6], "rows": 9, "epochs": 2})
    twin = refit.twin("again", made.version, folders)
    assert twin["session"] == judged
    assert twin[conditions.KEY]["session"] == "of-visits"
    files.write_json(folders.session_model / conditions.FILE, proof | {conditions.JUDGED: "0" * 64})
    with pytest.raises(DataError, match=r"the refitted session model is one of other weights \(000000000000\)"):
        refit.twin("again", made.version, folders)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_session_model_that_was_held_back_serves_nowhere_and_the_pair_stays(
    store: Path, name: str, tmp_path: Path
) -> None:
    folders = with_session(result(tmp_path / "result", seed=9, quality=0.3), auroc=0.5)
    paths = [str(path) for path in vars(folders).values()]
    version, chosen, made, report = (tmp_path / one for one in ("version", "baselines", "made", "report"))
    given = {"lineage": LINEAGE.model_dump_json(), "serving": json.dumps(SERVING), "report": str(report)}
    gates = json.dumps({"gates": [{"metric": "session.auroc"}, {"metric": "intent.map", "limit": 0.1}]})
    assert not steps.register(name, folders=paths, promotion=gates, release_version=str(version), mode="auto", **given)
    assert baseline_steps.need_baseline(
        name, version.read_text(), evaluations=(paths[2], paths[4]), baselines_file=str(chosen)
    )
    assert json.loads(chosen.read_text()) == {}  # neither part is replaced
    baseline_steps.register_baseline(
        name, candidate=version.read_text(), replaced=chosen.read_text(), folders=paths, release_version=str(made),
        why="passed its gates", **given,
    )  # fmt: skip
    served = ReleaseFolder.read(assemble(name, made.read_text(), tmp_path / "release"))
    assert not held(served.session)
    assert (served.intent / "weights.safetensors").is_file()
    assert "session: none, since it was held back" in report.read_text()
