"""Each step of a run says one line, with the keys that it declares; no library says anything below WARNING."""

from pathlib import Path

from pipelines.graphs.step_lines import COUNTS
from pipelines.graphs.step_table import STEPS
from tests.pipelines.conftest import Shop
from tests.pipelines.runs.step_lines import problems, said

NOISY = """
12:00:00.000 - INFO - Executing task 'validate'
    [KFP Executor 2026-11-29 02:31:41,018 INFO]: Looking for component `validate` in --component_module_path `x`
    [KFP Executor 2026-11-29 02:31:53,340 INFO]: Skipping registering function crud because it is a closure
    2026/11/29 02:34:48 INFO mlflow.store.db.utils: Updating database tables
    {"step": "validate", "seconds": 1.5}
12:00:01.000 - INFO - Task 'validate' finished with status SUCCESS
"""


def test_lines_of_libraries_are_found(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(NOISY)
    found = said(tmp_path / "log")["validate"]
    assert found.ours == [{"step": "validate", "seconds": 1.5}]
    assert len(found.noise) == 2
    assert [problem.partition(":")[0] for problem in problems(tmp_path / "log")] == ["validate"] * 3


def test_every_step_declares_what_its_line_holds() -> None:
    assert set(COUNTS) == set(STEPS)


def test_every_step_of_a_run_says_one_line_and_libraries_say_none(shop: Shop) -> None:
    log = min((shop.home / "logs").glob("run-*.log"))  # of the demo's run, in which nothing was cached
    assert {
        "ingest",
        "validate",
        "profiles",
        "train_intent",
        "register",
        "materialise",
        "watch",
        "admit",
        "outcome",
    } <= set(said(log))
    assert list(problems(log)) == []
