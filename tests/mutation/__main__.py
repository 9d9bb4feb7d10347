"""Break the pure cores in small ways and see whether the tests find it: `make mutants`, or

python -m tests.mutation --sample 200 --seed 1          a sample of all mutants
python -m tests.mutation --only registry/gates --all    every mutant of the modules whose path has this in it

A mutant that no test finds is printed as a diff. Where it changes nothing that anyone could see, equivalent.yaml names
it with a reason; else a test is missing. Ends with 1 where fewer than `--least` percent are found, and with 2 where the
tests fail without any fault or equivalent.yaml names what is not there.
"""

import argparse
import hashlib
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.mutation import server
from tests.mutation.operators import Mutant, mutants
from tests.mutation.targets import TARGETS

EQUIVALENT = Path(__file__).with_name("equivalent.yaml")
MOST_EQUIVALENT = 0.05


@dataclass
class Report:
    """What became of the mutants that were run."""

    of: int  # all mutants of the modules
    equivalent: int
    killed: Counter[str] = field(default_factory=Counter)  # by module
    survivors: list[Mutant] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0

    @property
    def run(self) -> int:
        """Return how many were run."""
        return self.killed.total() + len(self.survivors)

    @property
    def percent(self) -> float:
        """Return the share of mutants that tests found."""
        return 100 * self.killed.total() / self.run if self.run else 100.0

    def line(self) -> str:
        """Say it in one line."""
        return (
            f"mutants: {self.killed.total()} of {self.run} found ({self.percent:.1f} %), a sample of {self.of}, "
            f"{self.equivalent} more are equivalent; {self.seconds:.0f} s, {self.cpu_s:.0f} s of processor time"
        )

    def by_module(self) -> dict[str, tuple[int, int]]:
        """Return by module how many were found, of how many."""
        missed = Counter(one.module for one in self.survivors)
        return {name: (self.killed[name], self.killed[name] + missed[name]) for name in {**self.killed, **missed}}


def sample(found: Sequence[Mutant], sources: Mapping[str, str], *, size: int, seed: int) -> list[Mutant]:
    """Return so many mutants, chosen by their names: edits of other places do not change the choice."""

    def place(mutant: Mutant) -> bytes:
        return hashlib.sha256(f"{seed} {mutant.name}".encode()).digest()

    usable = (one for one in sorted(found, key=place) if one.differs(sources[one.module]))
    return list(itertools.islice(usable, size))


def equivalent(found: Sequence[Mutant], listed: Sequence[str]) -> set[str]:
    """Return the names of equivalent mutants; complain of names that no mutant has, and of too many."""
    names = {one.name for one in found}
    modules = {one.module for one in found}
    ours = {name for name in listed if name.partition("::")[0] in modules}
    if stale := sorted(ours - names):
        raise SystemExit("equivalent.yaml: no such mutant any more, take it out:\n" + "\n".join(stale))
    if len(ours) > MOST_EQUIVALENT * len(found):
        raise SystemExit(
            f"equivalent.yaml: {len(ours)} of {len(found)} mutants are too many, {MOST_EQUIVALENT:.0%} may be"
        )
    return ours


def measure(chosen: Sequence[Mutant], report: Report, *, parallel: int) -> None:
    """Run the tests of every chosen mutant."""
    began = time.monotonic()
    used = _prepared(sorted({one.module for one in chosen}), parallel)
    by_name = {one.name: one for one in chosen}
    jobs = [
        server.Job(
            one.name,
            TARGETS[one.module],
            one.module,
            one.source,
            max(server.LEAST_CPU_S, server.MORE_CPU * used[one.module]),
        )
        for one in chosen
    ]
    for result in server.run(jobs, parallel=parallel):
        mutant = by_name[result.job.name]
        report.cpu_s += result.cpu_s
        if result.passed:
            report.survivors.append(mutant)
        else:
            report.killed[mutant.module] += 1
    report.seconds = time.monotonic() - began


def _prepared(modules: Sequence[str], parallel: int) -> dict[str, float]:
    """Import the libraries of the modules' tests, see that these pass, and return their processor time by module."""
    # In the order of their folders: pytest loses a conftest's fixtures where it leaves its folder and comes back.
    whole = server.Job("all", sorted({test for module in modules for test in TARGETS[module]}), cpu_s=600)
    for result in server.run([whole], parallel=1):
        _must_pass(result)
        server.import_all(result.libraries)
    used: dict[tuple[str, ...], float] = {}
    for result in server.run(
        [server.Job("tests", tests) for tests in {TARGETS[module] for module in modules}], parallel=parallel
    ):
        _must_pass(result)
        used[tuple(result.job.tests)] = result.cpu_s
    return {module: used[TARGETS[module]] for module in modules}


def _must_pass(result: server.Result) -> None:
    if not result.passed:
        raise SystemExit(f"{' '.join(result.job.tests)}: fails without any fault\n{result.output[-3000:]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=200, help="how many mutants (default 200)")
    parser.add_argument("--all", action="store_true", help="every mutant")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default 1)")
    parser.add_argument("--only", action="append", default=[], help="part of a module's path; may be given again")
    parser.add_argument("--parallel", type=int, default=2, help="mutants at a time (default 2)")
    parser.add_argument("--least", type=float, default=0.0, help="percent that must be found (default 0)")
    parser.add_argument("--json", action="store_true", help="print a document")
    asked = parser.parse_args(arguments)
    chosen = [module for module in TARGETS if not asked.only or any(part in module for part in asked.only)]
    sources = {module: (server.ROOT / module).read_text() for module in chosen}
    found = [one for module in chosen for one in mutants(module, sources[module])]
    same = equivalent(found, [one["mutant"] for one in yaml.safe_load(EQUIVALENT.read_text())])
    open_ones = [one for one in found if one.name not in same]
    report = Report(len(open_ones), len(same))
    size = len(open_ones) if asked.all else asked.sample
    measure(sample(open_ones, sources, size=size, seed=asked.seed), report, parallel=asked.parallel)
    print(json.dumps(_document(report)) if asked.json else _text(report, sources))
    return 0 if report.percent >= asked.least else 1


def _document(report: Report) -> dict[str, Any]:
    survivors = [
        {k: v for k, v in asdict(one).items() if k != "source"} | {"name": one.name} for one in report.survivors
    ]
    shares = {name: {"found": found, "of": of} for name, (found, of) in sorted(report.by_module().items())}
    whole = {
        "mutants": report.of,
        "run": report.run,
        "percent": report.percent,
        "seconds": report.seconds,
        "cpu_s": report.cpu_s,
    }
    return {**whole, "equivalent": report.equivalent, "modules": shares, "survivors": survivors}


def _text(report: Report, sources: dict[str, str]) -> str:
    survivors = sorted(report.survivors, key=lambda one: (one.module, one.line))
    shown = [f"{one.name}\n{one.diff(sources[one.module])}\n" for one in survivors]
    shares = [f"{found:4} of {of:4}  {name}" for name, (found, of) in sorted(report.by_module().items())]
    return "\n".join([*shown, *shares, report.line()])


if __name__ == "__main__":
    os.chdir(server.ROOT)
    os.environ["OMP_NUM_THREADS"] = "1"
    code = main()
    sys.stdout.flush()
    os._exit(code)  # libraries that end in order would say more than we do
