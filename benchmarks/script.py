"""The frame around every benchmark: its switches, its one document on stdout, the machine it ran on, exit codes.

Knows no benchmark. What a library prints goes to stderr, so that stdout holds the document alone.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.step import PATIENT, QUIET
from feature_repo.checkout import ROOT
from feature_repo.errors import Refused, ServerError, UserError
from pipelines.graphs.code_digests import git_commit

GROCERY = ROOT / "pipelines" / "specs" / "grocery.yaml"
Document = dict[str, Any]


def parser(about: str | None, *, trained: bool) -> argparse.ArgumentParser:
    """Return a parser with the common switches; `trained`: the benchmark measures a finished run."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    made.add_argument("--quick", action="store_true", help="take seconds, on a small made world: for tests")
    if trained:
        made.add_argument("--spec", type=Path, default=GROCERY, help="its last finished run is measured")
        made.add_argument("--env", default="local", help="environment of that run")
        made.add_argument("--world", type=Path, help="folder that keeps the world of --quick for the next script")
    return made


def main(parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], Document],
         text: Callable[[Document], str]) -> None:  # fmt: skip
    """Measure and print; a user's mistake is one line and exit code 2."""
    asked = parser.parse_args()
    os.environ.update({k: v for k, v in (QUIET | PATIENT).items() if k not in os.environ})
    start, load = time.monotonic(), os.getloadavg()[0]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = measure(asked)
    except (UserError, Refused, ServerError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    about = {"benchmark": Path(sys.argv[0]).stem, "quick": asked.quick, "machine": machine(load)}
    document = about | {"took_s": round(time.monotonic() - start, 1)} | found
    print(json.dumps(document, indent=2, allow_nan=False) if asked.json else f"{text(document)}\n\n{_foot(document)}")


def machine(load: float) -> Document:
    """Say what ran: seconds mean little without it."""
    return {
        "cpus": os.cpu_count(),
        "load_before": round(load, 2),  # of other work: above `cpus`, walls say less than processor seconds
        "load_after": round(os.getloadavg()[0], 2),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "commit": git_commit(),
    }


def child_cpu_s() -> float:
    """Return the processor seconds of child processes that have ended, and of theirs: a busy machine adds none."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def note(text: str) -> None:
    """Say on stderr what is being done."""
    print(text, file=sys.stderr, flush=True)


def table(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table.

    >>> print(table(["", "ms"], [["a", 1.23456], ["b", None]]))
    |  | ms |
    | --- | ---: |
    | a | 1.235 |
    | b | - |
    """
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in [head, rule, *lines])


def ratios(ours: Mapping[str, Any], peer: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, float | None]:
    """Divide our metrics by a peer's; None where there is nothing to divide by."""
    both = {m: (ours.get(m), peer.get(m)) for m in metrics}
    return {m: round(mine / theirs, 4) if mine is not None and theirs else None for m, (mine, theirs) in both.items()}


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _foot(document: Document) -> str:
    on = document["machine"]
    return (
        f"{'quick, ' if document['quick'] else ''}{document['took_s']} s on {on['cpus']} cores, load "
        f"{on['load_before']} before and {on['load_after']} after, commit {on['commit']}"
    )
