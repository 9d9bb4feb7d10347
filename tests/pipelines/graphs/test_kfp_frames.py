"""kfp compiles as fast in a process full of modules as in a fresh one."""

import inspect
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest
from kfp.dsl import pipeline_task

from pipelines import spec
from pipelines.graphs.kfp_frames import _stack, frames_without_source
from pipelines.graphs.kfp_pipeline import compile_ir

GROCERY = spec.load(Path("pipelines/specs/grocery.yaml"))
MODULES = 8000  # more than torch, MLflow and Feast bring
FILELESS = 12  # frames of code without a file, as pytest-xdist's are: each sends `inspect.stack` over all modules


def _seconds(path: Path, *, fileless: int = 0) -> float:
    """Return the processor time of the faster of two compilations, on a stack that is short but for such frames."""
    asked, taken = "compile_ir(GROCERY, path)", []
    for _ in range(fileless):
        asked = f"eval({asked!r})"

    def compiled() -> None:
        began = time.thread_time()
        eval(asked, {"compile_ir": compile_ir, "GROCERY": GROCERY, "path": path})
        taken.append(time.thread_time() - began)

    for _ in range(2):
        thread = threading.Thread(target=compiled)
        thread.start()
        thread.join()
    return min(taken)


def test_a_pipeline_compiles_as_fast_where_many_modules_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = _seconds(tmp_path / "ir.yaml")
    for number in range(MODULES):
        module = ModuleType(f"planted_{number}")
        module.__file__ = f"/planted/{number}.py"
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert _seconds(tmp_path / "ir.yaml", fileless=FILELESS) < 5 * fresh


def test_frames_are_those_of_inspect() -> None:
    whole, cheap = inspect.stack(), _stack()
    assert [(one.frame, one.function) for one in cheap] == [(one.frame, one.function) for one in whole]
    assert cheap[0].function == "test_frames_are_those_of_inspect"


def test_kfp_has_the_whole_inspect_again_afterwards() -> None:
    with frames_without_source():
        assert pipeline_task.inspect.stack()[0].function == "test_kfp_has_the_whole_inspect_again_afterwards"
    assert pipeline_task.inspect is inspect
