"""The command line in the tests' own process, which has imported everything before: a new one takes seconds for that.

A new process is for tests of what a process is: its exit, what it imports, signals, two at once.
"""

import contextlib
import io
import os
import subprocess
from collections.abc import Callable, Mapping

from pipelines import cli


def here(
    *arguments: str, variables: Mapping[str, str], main: Callable[[list[str]], None] = cli.main
) -> subprocess.CompletedProcess[str]:
    """Run a verb with these variables beside the process's own, and return what it printed and its exit code.

    `main`: of another command than `intentflow`.
    """
    out, error, code, before = io.StringIO(), io.StringIO(), 0, dict(os.environ)
    os.environ.update(variables)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), error.getvalue())
