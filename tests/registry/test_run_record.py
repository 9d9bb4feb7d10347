"""Where pods share no folder, what steps said is in MLflow, and the run's last step reads it there."""

from pathlib import Path

import pytest

from components import run_record
from components.step import step
from feature_repo import env_names
from feature_repo.errors import DataError
from monitoring.runs import failure
from monitoring.runs.outcome import outcome


@pytest.fixture
def pod(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pod of a run with a disk of its own; the recommender is the test's."""
    monkeypatch.setenv(env_names.ALONE, "1")
    monkeypatch.setenv(env_names.RUN, f"run-of-{name}")
    _alone(tmp_path / "first" / name, monkeypatch)
    for variable in (env_names.ERROR_FILE, env_names.PROGRESS_FILE, failure.ALERT_URL):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def _alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be another pod, whose disk is empty."""
    home.mkdir(parents=True)
    monkeypatch.setenv(env_names.HOME, str(home))


def test_the_last_step_knows_what_steps_in_other_pods_said(
    server: object, name: str, pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with step("admit") as progress:
        progress.tell(note="after the sale")
    _alone(pod / "second" / name, monkeypatch)
    with pytest.raises(DataError), step("ingest"):
        raise DataError("data.source: no file 'events.csv'; bring it")
    _alone(pod / "last" / name, monkeypatch)
    assert outcome(name, "train", page=str(pod / "page")) == "failed at ingest"
    text = (pod / "page").read_text()
    assert "The step `ingest` failed: data.source: no file 'events.csv'; bring it" in text
    assert "Note of this run: after the sale" in text


def test_a_step_that_succeeds_when_tried_again_has_not_failed(
    server: object, name: str, pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="away"), step("watch"):
        raise OSError("the server was away")
    with step("watch") as progress:
        progress.tell(verdict="stable", reason="0 of 3 columns drifted")
    monkeypatch.setenv(env_names.RUN, f"another-of-{name}")
    assert run_record.entries() == []  # another run's are not this one's
    monkeypatch.setenv(env_names.RUN, f"run-of-{name}")
    assert outcome(name, "retrain", page=str(pod / "page")) == "nothing trained"


def test_an_entry_that_no_tag_holds_is_cut(server: object, name: str, pod: Path) -> None:
    run_record.note({"step": "register", "seconds": 1, "share": 1.0, "facts": {"refused": ["x" * 400] * 40}})
    (entry,) = run_record.entries()
    assert len(entry["facts"]["refused"]) == run_record.MOST + 1
    assert entry["facts"]["refused"][-1] == "and 32 more"


def test_a_server_that_is_away_fails_no_step(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run_record.URI, "http://127.0.0.1:9")
    with step("admit"):
        pass
    assert outcome("shop", "train", page=str(pod / "page")) == "steps say nothing here"


def test_on_one_machine_and_on_a_shared_folder_nothing_is_kept_in_mlflow(
    server: object, pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_record.kept()
    monkeypatch.delenv(env_names.ALONE)
    assert not run_record.kept()
