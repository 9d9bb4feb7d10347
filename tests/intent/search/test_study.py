"""The study survives a kill, proposes the same again, and cuts short what is behind; losses here are arithmetic."""

import contextlib
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from components.intent.search import study
from components.intent.search.study import CHOSEN, OWN, SAME, UNFIT, Asked, UnfitError
from components.intent.spec import IntentModel
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError
from tests.patience import patient

SPACE: dict[str, Any] = {
    "architecture": ["lstm", "cnn", "gbdt"],
    "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    "width": {"low": 16, "high": 128},
    "trees.leaves": {"low": 7, "high": 63},
}


def asked(space: dict[str, Any] = SPACE, *, seed: int = 0, **more: Any) -> Asked:
    model = IntentModel.model_validate({"seed": seed, "search": {"trials": 12, "space": space} | more})
    assert model.search is not None
    return Asked(model, model.search, model.seed)


def loss(chosen: dict[str, Any]) -> float:
    """Be best at a learning rate of 0.01, an lstm and a width of 64."""
    far = abs(math.log10(chosen.get("learning_rate", 1.0)) + 2)
    return 0.1 + 0.1 * far + abs(chosen.get("width", 128) - 64) / 1000 + (chosen.get("architecture") != "lstm") * 0.05


class Killed(BaseException):
    """What no handler of the study sees, as a kill is not seen."""


@contextlib.contextmanager
def killed(at: int) -> Iterator[Any]:
    """Give an objective whose process ends in its trial number `at`, counted from 0."""
    count = iter(range(1000))

    def objective(trial: optuna.Trial, chosen: dict[str, Any]) -> float:
        if next(count) == at:
            raise Killed
        return loss(chosen)

    yield objective


def told(found: optuna.Study) -> list[tuple[Any, ...]]:
    return [(t.state.name, t.user_attrs.get(CHOSEN), t.value) for t in study.finished(found)]


def run(folder: Path, wanted: Asked, objective: Any = None, *, url: str = "") -> list[tuple[Any, ...]]:
    with study.opened("one", folder, url) as found:
        study.search(found, wanted, objective or (lambda trial, chosen: loss(chosen)), report=lambda share, note: None)
        return told(found)


def test_the_spec_s_own_settings_come_first_and_the_best_beats_them(tmp_path: Path) -> None:
    found = run(tmp_path, asked())
    assert len(found) == 12
    assert found[0][1] == {"architecture": "transformer", "learning_rate": 2e-3, "width": 64}
    assert min(value for *_, value in found) < found[0][2]


def test_the_same_seed_proposes_the_same_and_another_one_others(tmp_path: Path) -> None:
    first, again, other = (run(tmp_path / name, asked(seed=seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first == again
    assert first[1:] != other[1:]


def test_what_is_proposed_is_within_the_space_and_read_by_the_architecture(tmp_path: Path) -> None:
    wanted = asked(trials=30)
    for _, chosen, _ in run(tmp_path, wanted)[1:]:
        assert ("width" in chosen, "trees.leaves" in chosen) == (
            chosen["architecture"] != "gbdt",
            chosen["architecture"] == "gbdt",
        )
        assert chosen.get("width", 16) % 8 == 0
        assert 1e-4 <= chosen.get("learning_rate", 0.1) <= 0.1
        assert float(f"{chosen.get('learning_rate', 0.1):.3g}") == chosen.get("learning_rate", 0.1)


@pytest.mark.parametrize("at", [0, 1, 5, 10])
def test_a_study_that_was_killed_is_the_one_that_was_not(tmp_path: Path, at: int) -> None:
    whole = run(tmp_path / "whole", asked())
    with killed(at) as objective, pytest.raises(Killed):
        run(tmp_path / "cut", asked(), objective)
    # A kill leaves the trial running: BaseException is no error to Optuna.
    assert run(tmp_path / "cut", asked()) == whole


def test_finished_trials_are_not_run_again(tmp_path: Path) -> None:
    with killed(7) as objective, pytest.raises(Killed):
        run(tmp_path, asked(), objective)
    ran: list[Any] = []

    def objective(trial: optuna.Trial, chosen: dict[str, Any]) -> float:
        ran.append(chosen)
        return loss(chosen)

    assert len(run(tmp_path, asked(), objective)) == 12
    assert len(ran) == 5
    assert len(run(tmp_path, asked(), objective)) == 12
    assert len(ran) == 5


def test_more_trials_go_on_with_the_same_study(tmp_path: Path) -> None:
    few = run(tmp_path, asked(trials=4))
    assert run(tmp_path, asked(trials=9))[:4] == few
    assert run(tmp_path, asked(trials=9)) == run(tmp_path.with_name("other"), asked(trials=9))


def test_a_trial_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    """It ran once and again three times; the next worker goes on with other settings."""

    def objective(trial: optuna.Trial, chosen: dict[str, Any]) -> float:
        if trial.number >= 3:
            raise Killed
        return loss(chosen)

    for _ in range(study.RETRIES + 1):
        with pytest.raises(Killed):
            run(tmp_path, asked(), objective)
    assert len(run(tmp_path, asked())) == 12


def test_half_a_line_and_a_lock_of_a_killed_worker_are_mended(tmp_path: Path) -> None:
    with killed(4) as objective, pytest.raises(Killed):
        run(tmp_path, asked(), objective)
    with (tmp_path / study.JOURNAL).open("ab") as stream:
        stream.write(b'{"op_code":5,"worker_id":"half')
    (tmp_path / f"{study.JOURNAL}.lock").touch()
    assert run(tmp_path, asked()) == run(tmp_path.with_name("whole"), asked())


def test_a_second_process_at_a_journal_is_told_so(tmp_path: Path) -> None:
    with (
        study.opened("one", tmp_path),
        pytest.raises(ServerError, match="another process is at this search"),
        study.opened("one", tmp_path),
    ):
        pass


def test_settings_that_do_not_go_together_count_and_are_told(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial, chosen: dict[str, Any]) -> float:
        if chosen["architecture"] == "cnn":
            raise UnfitError("cnn has none of it")
        return loss(chosen)

    with study.opened("one", tmp_path) as found:
        study.search(found, asked(trials=15), objective, report=lambda share, note: None)
        odd = [t for t in study.finished(found) if UNFIT in t.user_attrs]
        assert len(study.finished(found)) == 15
    assert odd
    assert all(t.user_attrs[UNFIT] == "cnn has none of it" for t in odd)


@pytest.mark.parametrize("diverged", [math.nan, math.inf])
def test_a_training_that_diverges_counts_and_is_told(tmp_path: Path, diverged: float) -> None:
    """Optuna takes no nan, and a study that waited for trials with a loss would never end."""
    ran: list[int] = []

    def objective(trial: optuna.Trial, chosen: dict[str, Any]) -> float:
        ran.append(trial.number)
        assert len(ran) < 50, "it does not end"
        return diverged if len(ran) % 2 else loss(chosen)

    with study.opened("one", tmp_path) as found:
        study.search(found, asked(trials=6), objective, report=lambda share, note: None)
        odd = [t for t in study.finished(found) if UNFIT in t.user_attrs]
    assert (len(ran), len(odd)) == (6, 3)
    assert {t.user_attrs[UNFIT] for t in odd} == {f"the loss is {diverged}: training diverged"}


def test_trials_that_end_in_errors_use_up_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def objective(trial: optuna.Trial, chosen: dict[str, Any]) -> float:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(study, "seconds", lambda trials: 40.0 * len(trials))
    wanted = asked(minutes=1)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            run(tmp_path, wanted, objective)
    assert run(tmp_path, wanted, objective) == [], "80 s are over, and no further trial begins"


def test_a_worker_that_was_away_uses_up_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trial is closed when the next worker comes, hours later."""
    monkeypatch.setattr(study, "seconds", lambda trials: 40.0 * len(trials))
    for _ in range(2):
        with killed(0) as objective, pytest.raises(Killed):
            run(tmp_path, asked(minutes=1), objective)
    assert len(run(tmp_path, asked(minutes=1))) == 2


def test_the_same_settings_are_not_trained_twice(tmp_path: Path) -> None:
    ran: list[Any] = []

    def objective(trial: optuna.Trial, chosen: dict[str, Any]) -> float:
        ran.append(chosen)
        return loss(chosen)

    space = {"architecture": ["lstm", "cnn"], "layers": [1, 2]}
    with study.opened("one", tmp_path) as found:
        study.search(found, asked(space, trials=20), objective, report=lambda share, note: None)
        same = [t for t in study.finished(found) if SAME in t.user_attrs]
    assert len(ran) == len({str(one) for one in ran}) <= 5
    assert len(same) == 20 - len(ran)


def test_a_trial_that_is_behind_is_cut_short(tmp_path: Path) -> None:
    """The fourth and later trials are worse from the second epoch on; three have run to their end by then."""
    seen: list[int] = []

    def objective(trial: optuna.Trial, chosen: dict[str, Any]) -> float:
        base = 0.1 if trial.number < 3 else 0.9
        for epoch in (1, 2, 3):
            trial.report(base, epoch)
            seen.append(trial.number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return base

    with study.opened("one", tmp_path) as found:
        study.search(found, asked(trials=6), objective, report=lambda share, note: None)
        states = [t.state.name for t in study.finished(found)]
    assert states == ["COMPLETE"] * 3 + ["PRUNED"] * 3
    assert seen.count(4) < 3


def test_time_that_is_over_begins_no_trial_but_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "seconds", lambda trials: 61.0)
    assert len(run(tmp_path, asked(minutes=1))) == 1


def test_a_database_s_worker_that_stopped_its_heartbeat_loses_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setattr(study, "HEARTBEAT_S", 1)
    monkeypatch.setattr(study, "GRACE_S", 1)
    url, wanted = f"sqlite:///{tmp_path / 'search.db'}", asked({"width": {"low": 16, "high": 128}}, trials=3)
    with study.opened("one", tmp_path, url) as dead:
        dead.enqueue_trial({"width": 64}, user_attrs={OWN: True})
        trial = dead.ask()
        trial.suggest_int("width", 16, 128, step=8)
        dead._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
        time.sleep(2.2)  # the worker is gone
        study.search(dead, wanted, lambda trial, chosen: loss(chosen), report=lambda share, note: None)
        found = dead.trials
    assert found[0].state.name == "FAIL"
    again = next(t for t in found if t.system_attrs.get("failed_trial") == 0)
    assert (again.state.name, again.params, again.user_attrs[OWN]) == ("COMPLETE", {"width": 64}, True)
    assert sum(t.state.name == "COMPLETE" for t in found) == 3


@pytest.mark.parametrize("url", ["no address", "nosuch://user:secret@host/name"])
def test_an_address_that_is_none_is_one_line_without_the_password(tmp_path: Path, url: str) -> None:
    with (
        pytest.raises(SpecError, match="INTENTFLOW_SEARCH_STORAGE: is no address") as raised,
        study.opened("one", tmp_path, url),
    ):
        pass
    assert "secret" not in str(raised.value)


def test_without_optuna_a_search_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match="Optuna is not installed here; install the extra"):
        study.require_installed()


WORKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from components.intent.search import study
from tests.intent.search.test_study import asked, loss

def objective(trial, chosen):
    if trial.number == 3:
        print("IN TRIAL 3", flush=True)
        time.sleep(600)
    return loss(chosen)

with study.opened("one", Path({folder!r})) as found:
    study.search(found, asked(), objective, report=lambda share, note: None)
"""


@pytest.mark.process
def test_a_real_kill_9_loses_one_trial_and_no_finished_one(tmp_path: Path) -> None:
    code = WORKER.format(root=str(ROOT), folder=str(tmp_path))
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "IN TRIAL 3\n"
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(timeout=patient(10))
    assert run(tmp_path, asked()) == run(tmp_path.with_name("whole"), asked())
