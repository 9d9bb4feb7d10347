"""The frame of a step, in a process of its own as a pod has it: which lines it lets through, and in which form."""

import json
import os
import subprocess
import sys

import pytest

from components.step import Progress

pytestmark = pytest.mark.process
# kfp's executor sets logging up before a step's module is imported.
BODY = """
import logging, sys
if {pod}:
    logging.basicConfig(stream=sys.stdout, format="[KFP Executor]: %(message)s", level=logging.INFO)
from components.step import step
with step("validate") as progress:
    logging.getLogger("library").info("a library's line")
    logging.getLogger("loud").setLevel(logging.INFO)
    logging.getLogger("loud").info("a line of a library that gives its logger a level")
    logging.getLogger("library").warning("a library's warning")
    progress.count(rows_in=3, rows_out=2)
    {fails}
"""


def _lines(*, pod: bool, fails: str = "pass") -> list[str]:
    outside = {k: v for k, v in os.environ.items() if k != "_KFP_RUNTIME"} | ({"_KFP_RUNTIME": "true"} if pod else {})
    command = [sys.executable, "-c", BODY.format(pod=pod, fails=fails)]
    done = subprocess.run(command, env=outside, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize("pod", [True, False])
def test_a_step_says_one_json_line_and_libraries_only_warn(pod: bool) -> None:
    warning, line = _lines(pod=pod)
    assert warning == "WARNING library: a library's warning"
    document = json.loads(line)
    assert set(document) == {"step", "seconds", "peak_memory_gib", "cached", "rows_in", "rows_out"}
    assert (document["step"], document["cached"], document["rows_in"], document["rows_out"]) == (
        "validate",
        False,
        3,
        2,
    )


def test_a_step_that_fails_says_so_in_its_line_before_the_traceback() -> None:
    lines = _lines(pod=True, fails="raise ValueError('no such table')")
    (line,) = (json.loads(line) for line in lines if line.startswith("{"))
    assert (line["step"], line["rows_in"], line["failed"]) == ("validate", 3, "ValueError: no such table")
    assert lines[-1] == "ValueError: no such table"


@pytest.mark.parametrize("name", ["share", "cached", "step"])
def test_a_count_cannot_take_the_place_of_what_the_frame_says(name: str) -> None:
    with pytest.raises(ValueError, match=f"step watch: the frame sets {name} of its line"):
        Progress("watch").count(**{name: 0.5})
