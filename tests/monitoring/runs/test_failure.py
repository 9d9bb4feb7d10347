"""A failed run is told of: by whom, where and why; a report never fails, and never says where it was sent."""

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.step import reason_left, step
from feature_repo import files
from feature_repo.errors import Refused
from monitoring.runs import failure

FAILED = {"state": "FAILED", "job": "job-7", "task": "exit-handler-1", "message": "Task exit-handler-1 failed."}


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What a webhook on a free port was sent."""
    found: list[Any] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(failure.ALERT_URL, f"http://127.0.0.1:{server.server_port}/secret-path")
    yield found
    server.shutdown()
    server.server_close()


def _refuse() -> None:
    with pytest.raises(Refused), step("validate"):
        raise Refused("contract: events need at least 1,000 rows, have 7")


def test_a_run_that_succeeded_is_not_told_of(home: Path, received: list[Any]) -> None:
    assert failure.report("shop", "train", **FAILED | {"state": "SUCCEEDED"}) is None
    assert received == []
    assert not (home / "marks" / "last_failure.json").exists()
    assert "failed" not in files.read_json(home / "marks" / "job.train.json")


def test_a_failure_names_the_step_and_its_own_words(home: Path, received: list[Any]) -> None:
    _refuse()
    failure.report("shop", "train", **FAILED)
    (sent,) = received
    assert sent.pop("text") == "shop: train failed at validate: contract: events need at least 1,000 rows, have 7"
    assert sent.pop("at").endswith("+00:00")
    assert sent == {
        "recommender": "shop",
        "pipeline": "train",
        "run": "run-7",
        "state": "FAILED",
        "step": "validate",
        "code": 3,
        "why": "contract: events need at least 1,000 rows, have 7",
    }
    assert files.read_json(home / "marks" / "last_failure.json")["step"] == "validate"


def test_a_dry_run_that_failed_leaves_no_mark_and_alerts_nobody(home: Path, received: list[Any]) -> None:
    found = failure.told("shop", "train", step="validate", code=3, why="no events", dry=True)
    assert (found["step"], found["why"]) == ("validate", "no events")
    assert received == []
    assert not (home / "marks").exists()


def test_another_runs_reason_is_not_taken_for_this_ones(
    home: Path, received: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse()
    monkeypatch.setenv("INTENTFLOW_RUN", "run-8")
    failure.report("shop", "train", **FAILED)
    (sent,) = received
    assert (sent["step"], sent["why"]) == ("exit-handler-1", "Task exit-handler-1 failed.")


def test_without_a_shared_folder_kubeflows_words_are_all_there_is(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("INTENTFLOW_HOME")
    with caplog.at_level(logging.ERROR, logger="intentflow"):
        found = failure.report("shop", "batch", **FAILED | {"message": ""})
    assert found is not None
    assert found["why"] == "see the log of the step that failed"
    assert json.loads(caplog.messages[0])["pipeline"] == "batch"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/token-3f7", "no address token-3f7"])
def test_a_webhook_that_is_away_fails_nothing_and_is_not_named(
    url: str, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(failure.ALERT_URL, url)
    with caplog.at_level(logging.WARNING, logger="intentflow"):
        assert failure.report("shop", "train", **FAILED) is not None
    assert any("the alert was not sent" in message for message in caplog.messages)
    assert "token-3f7" not in caplog.text


def test_a_registry_that_is_away_fails_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert failure.report("shop", "train", **FAILED) is not None


def test_a_broken_error_file_fails_nothing(home: Path) -> None:
    (home / "errors").mkdir()
    (home / "errors" / "run-7.json").write_text("{half")
    found = failure.report("shop", "train", **FAILED)
    assert found is not None
    assert found["step"] == "exit-handler-1"


def test_steps_of_a_run_leave_their_reason_where_the_report_reads_it(home: Path) -> None:
    with pytest.raises(ValueError, match="boom"), reason_left(step="conclude"):
        raise ValueError("boom")
    assert files.read_json(home / "errors" / "run-7.json") == {"code": 1, "message": "boom", "step": "conclude"}
