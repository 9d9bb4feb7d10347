"""Where a run's steps keep what they share."""

from pathlib import Path

import pytest

from monitoring.runs import failure


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder that steps share, as a claim gives them on a cluster, and a run's id."""
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("INTENTFLOW_RUN", "run-7")
    for name in ("INTENTFLOW_ERROR_FILE", "INTENTFLOW_PROGRESS_FILE", "MLFLOW_TRACKING_URI", failure.ALERT_URL):
        monkeypatch.delenv(name, raising=False)
    return tmp_path
