"""How a rank starts and ends: one rank reports, a failure is one line, and its reason is on file.

The `__main__` modules of intent and ranking are started by torchrun and call their step's function through this.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from components.step import ERROR_FILE, PROGRESS_FILE
from feature_repo.errors import Refused, ServerError, UserError


def run(work: Callable[[], None]) -> None:
    """Do a rank's work; exit with the code of what went wrong."""
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        os.environ[PROGRESS_FILE] = os.devnull  # one bar, not one a rank
        if path := os.environ.get(ERROR_FILE):
            os.environ[ERROR_FILE] = str(error_file(Path(path), rank))
    try:
        work()
    except (UserError, Refused, ServerError) as error:
        print(f"rank {rank}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def error_file(path: Path, rank: int) -> Path:
    """Name the file that holds a rank's reason of failure.

    >>> error_file(Path("/state/error.json"), 1)
    PosixPath('/state/error.1.json')
    """
    return path.with_name(f"{path.stem}.{rank}{path.suffix}")
