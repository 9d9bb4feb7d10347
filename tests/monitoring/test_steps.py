"""The `watch` step: from a rows artifact to drift.json, the page and the run in the workspace."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from feature_repo import columns, files
from feature_repo.errors import SpecError
from feature_repo.rows import UserRows
from monitoring import steps
from monitoring.drift import workspace
from monitoring.drift.compare import Drift
from monitoring.spec import Monitoring
from tests.monitoring.records import moved, record

pytestmark = pytest.mark.world


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the step and return (drift.json, page, metrics)."""
    monkeypatch.setenv("INTENTFLOW_EVIDENTLY", str(tmp_path / "evidently"))
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path / "home"))

    def run(rows: Path, *, spec: Monitoring = Monitoring(), release: str = "abc", mode: str = "auto"):  # noqa: B008 - frozen
        metrics: dict[str, float] = {}
        steps.watch(
            "shop",
            spec.model_dump_json(),
            mode=mode,
            release=release,
            rows=str(rows),
            verdict=str(tmp_path / "out" / "verdict"),
            report=str(tmp_path / "out" / "report"),
            log_metric=metrics.__setitem__,
        )
        page = (tmp_path / "out" / "report").read_text()
        return files.read_json(tmp_path / "out" / "verdict" / "drift.json"), page, metrics

    return run


def runs(tmp_path: Path) -> list[Path]:
    """Return the reports that were kept; runs of figures are beside them."""
    found = sorted((tmp_path / "evidently").glob("*/snapshots/*.json"))
    return [path for path in found if workspace.POINT not in files.read_json(path)["metadata"]]


def test_a_world_that_stands_still_is_stable_and_is_kept_once(world, watched, tmp_path: Path) -> None:
    folder = world.rows()
    first, page, metrics = watched(folder)
    assert (first["verdict"], first["drifted"]) == ("stable", [])
    assert first["reference"]["weeks"] == [world.train[0], world.train[-1]]
    assert first["at"] == world.calendar.start(world.test[-1]).isoformat()  # the data's clock
    assert set(first["columns"]["mix_buy"]) == {
        *("score", "method", "threshold", "noise", "lost", "drifted"),
        *("word", "interval", "rows", "users", "broken", "why"),
    }
    assert (first["word"], first["columns"]["segment"]["word"]) == ("passed", "passed")
    assert metrics["drift.share"] == 0.0
    assert metrics["drift.mix_buy"] == first["columns"]["mix_buy"]["score"]
    assert '<div id="verdict" data-verdict="stable"' in page
    assert "shop: test weeks 18-21: stable" in page
    second, _, _ = watched(folder)
    assert second == first
    assert len(runs(tmp_path)) == 1


def test_another_release_or_another_spec_is_another_run(world, watched, tmp_path: Path) -> None:
    folder = world.rows()
    watched(folder)
    watched(folder, release="def")
    watched(folder, release="def", spec=Monitoring(psi=0.3))
    assert len(runs(tmp_path)) == 3


def test_a_planted_drift_is_named_in_the_verdict_and_on_the_page(world, watched) -> None:
    drift, page, _ = watched(world.rows(spend=3.0, mix=(0.1, 0.1, 0.1, 0.7)))
    assert drift["verdict"] == "drifted"
    assert set(drift["drifted"]) == {
        "log_value_7d",
        "log_value_28d",
        "log_value_per_session",
        "log_value_per_unit",
        "mix_buy",
    }
    assert 'data-verdict="drifted"' in page


def test_a_dry_run_leaves_its_artifacts_and_nothing_else(
    world, watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTENTFLOW_EVIDENTLY")  # no workspace is asked for
    drift, page, metrics = watched(world.rows(), mode="dry_run")
    assert (drift["verdict"], drift["workspace"], metrics["drift.share"]) == ("stable", None, 0.0)
    assert 'data-verdict="stable"' in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_small_windows_are_undecided_and_leave_no_run(world, watched, tmp_path: Path) -> None:
    drift, page, metrics = watched(world.rows(users=10))
    assert (drift["verdict"], drift["workspace"], drift["columns"]) == ("undecided", None, {})
    assert "the current window is too small: 40 rows are behind it, fewer than 100" in page
    assert metrics == {"drift.share": 0.0}
    assert runs(tmp_path) == []


def test_the_request_log_is_the_current_window_once_it_is_large_enough(world, watched, tmp_path: Path) -> None:
    folder = world.rows(users=600)
    table = pq.read_table(folder / "intent.parquet").filter(
        pq.read_table(folder / "intent.parquet")["week"].to_numpy() == 21
    )
    rows = UserRows.from_arrow(table.drop(["week"]))
    lines = [
        {
            "request_id": f"r{b}",
            columns.USER_ID: rows.user_id[b],
            "now": int(rows.now[b]),
            "state_at": int(rows.state_at[b]),
            "known": True,
            "rung": "fresh",
            "numbers": {name: float(values[b]) for name, values in rows.numbers.items()},
            "lists": {name: values.row(b).tolist() for name, values in rows.lists.items()},
            "probabilities": [0.5] * len(world.targets),
        }
        for b in np.flatnonzero(rows.numbers["sessions_7d"] > 0)
    ]
    log = tmp_path / "home" / columns.REQUESTS_FOLDER  # where the service writes it
    log.mkdir(parents=True)
    (log / "2024-06-01.00000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:90]))
    assert watched(folder)[0]["current"]["kind"] == "test"
    (log / "2024-06-02.00000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[90:]))
    drift, _, _ = watched(folder)
    assert (drift["current"]["kind"], drift["current"]["rows"]) == ("served", len(lines))
    assert drift["verdict"] == "stable"


def test_a_workspace_must_be_named(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTENTFLOW_EVIDENTLY", raising=False)
    with pytest.raises(SpecError, match="INTENTFLOW_EVIDENTLY: not set; give a folder or the URL"):
        steps.watch(
            "shop",
            "{}",
            mode="auto",
            release="a",
            rows="no",
            verdict=str(tmp_path),
            report="no",
            log_metric=lambda name, value: None,
        )


@pytest.mark.parametrize(
    ("windows", "alarms", "verdict", "reason"),
    [
        ("stable", [moved()], "faulty", "data_fault"),
        ("drifted", [moved()], "faulty", "data_fault"),
        ("lost", [], "lost", "data_fault"),
        ("drifted", [], "drifted", "world"),  # quiet signals take nothing back
        ("stable", [moved(reason="performance")], "drifted", "performance"),
        ("stable", [], "stable", "none"),
        ("undecided", [], "undecided", "undecided"),
    ],
)
def test_windows_and_signals_say_one_word_of_one_class(windows: str, alarms: list, verdict: str, reason: str) -> None:
    said = record(*alarms, reason=alarms[0].reason if alarms else "none")
    drift = Drift(windows, "so", 0.0, {}, {})  # type: ignore[arg-type]
    word, _ = steps._together(drift, said)
    assert (word, steps._document(said, word, windows=windows)["class"]) == (verdict, reason)
    mark = steps._mark(said, word)
    assert mark is not None
    assert (mark["class"], mark["alarms"]) == (reason, [one.signal for one in alarms])
