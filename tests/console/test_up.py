"""How `intentflow up` ends: with one address to begin at, or with what did not start and where the rest is named."""

from pathlib import Path

import pytest

from feature_repo.checkout import ROOT
from pipelines import cli
from pipelines.releases import release, serving
from pipelines.releases.processes import State

SPEC = str(ROOT / "pipelines" / "specs" / "grocery.yaml")
CONSOLE = State("console", "started", "http://127.0.0.1:7080/console", Path("console.log"), 2)
ROUTER = State("router", "running", "http://127.0.0.1:3000", Path("router.log"), 1)


def up(states: list[State], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """Run the verb over processes that are made up; return its exit code."""
    monkeypatch.setenv("INTENTFLOW_STATE", str(tmp_path))
    monkeypatch.setattr(release, "release", lambda place: None)
    monkeypatch.setattr(serving, "up", lambda place, released, *, port: states)
    try:
        cli.main(["up", SPEC])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_it_ends_with_the_address_to_begin_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert up([ROUTER, CONSOLE], monkeypatch, tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["router", "running", "http://127.0.0.1:3000"]
    assert lines[-1] == "Begin at http://127.0.0.1:7080/console/start"


def test_what_did_not_start_is_the_refusal_and_the_page_names_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feast = State("feast", "failed", "http://127.0.0.1:8888", Path("feast.log"), None, "ended with code 1; no module")
    assert up([ROUTER, CONSOLE, feast], monkeypatch, tmp_path) != 0
    said = capsys.readouterr().err
    assert "feast: ended with code 1; no module; http://127.0.0.1:7080/console/start names what runs" in said
    gone = State("console", "failed", "", Path("console.log"), None, "no port")
    assert up([ROUTER, gone], monkeypatch, tmp_path) != 0
    assert "names what runs" not in capsys.readouterr().err
