"""Check a machine before it is blamed: Python, packages, disk, memory, the state folder, the servers that the
environment names (`server_checks`). Or a run's data, for leaks of the future (`leaks.py`, `plants.py`).
"""

import importlib.metadata
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_repo.checkout import ROOT
from pipelines.environment import Installation
from pipelines.server_checks import servers
from pipelines.server_checks.check import Check

if TYPE_CHECKING:
    from pipelines.leakage.checks import Findings
    from pipelines.leakage.planted_leaks import Plant
    from pipelines.leakage.rebuild import Sample

DISK_GIB = 3.0
MEMORY_GIB = 6.0
PACKAGES = ("mlflow", "kfp", "bentoml", "torch", "transformers", "great-expectations", "feast", "evidently")


def examine(place: Installation) -> list[Check]:
    """Run every check; none changes anything."""
    checks = [_python(), *(_package(name) for name in PACKAGES), _disk(place.home), _memory(), _byte_code()]
    checks += [_state(place)] if place.home.is_dir() else []
    return [*checks, *servers.examine(place)]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), f"{version}; 3.11 or newer is needed")


def _package(name: str) -> Check:
    locked = _locked(name)
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"not installed; the lock has {locked}; `make install` installs it")
    return Check(name, found.split("+")[0] == locked, f"{found}, the lock has {locked}")


def _locked(name: str) -> str:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        package, mark, version = line.partition("==")
        if mark and package == name:
            return version.removesuffix("\\").strip()
    return "none"


def _disk(home: Path) -> Check:
    folder = next(p for p in (home, *home.parents) if p.exists())
    free = shutil.disk_usage(folder).free / 2**30
    return Check("disk", free >= DISK_GIB, f"{free:.1f} GiB free at {folder}; {DISK_GIB:g} are needed")


def text(found: list[Check]) -> str:
    """Return the checks as a person reads them; what could not be checked is neither fine nor bad."""
    marks = {True: "ok ", False: "BAD", None: "?  "}
    return "\n".join(f"{marks[one.fine]} {one.name:<22} {one.note}" for one in found)


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    return Check("memory", free >= MEMORY_GIB, f"{free:.1f} GiB available; {MEMORY_GIB:g} are needed")


def _state(place: Installation) -> Check:
    """Name what of the state folder other code made: it is no fault, unless a release cannot be read."""
    from pipelines import upgrade

    found = upgrade.due(place)
    return Check("state", not found.unreadable, found.text())


def _byte_code() -> Check:
    off = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    note = "PYTHONDONTWRITEBYTECODE is set: imports take twice as long; unset it" if off else "written"
    return Check("byte code", True, note)


@dataclass(frozen=True)
class Verdict:
    """What was found of leaks, and whether planted ones were."""

    findings: "Findings"
    plants: "list[Plant]"
    seconds: float

    @property
    def missed(self) -> list[str]:
        """Name the planted leaks that no check caught: with one of them the findings are worth nothing."""
        return [plant.name for plant in self.plants if not plant.caught]

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "leaks": [leak.document() | {"line": leak.line()} for leak in self.findings.leaks],
            "planted": [vars(plant) for plant in self.plants],
            "checked": self.findings.checked,
            "seconds": self.seconds,
        }

    def text(self) -> str:
        """Return it for people: a line a leak, a line a plant."""
        marks = {"leak": "LEAK", "warning": "warn"}
        lines = [f"{marks[leak.severity]}    {leak.line()}" for leak in self.findings.leaks]
        for plant in self.plants:
            by = ", ".join(plant.by[:4]) + (f" and {len(plant.by) - 4} more" if len(plant.by) > 4 else "")
            lines.append(f"{'caught' if plant.caught else 'MISSED'}  planted: {plant.name}: {by or 'by no check'}")
        checked = self.findings.checked
        cutoffs = ", ".join(map(str, checked["cutoffs"]))
        lines.append(
            f"{len(self.findings.real)} leaks in {len(checked['tables'])} tables: {checked['columns']} columns of "
            f"{checked['users']} users at the cutoffs of weeks {cutoffs}; labels of {len(checked['labels'])} weeks; "
            f"{self.seconds:.0f} s"
        )
        return "\n".join(lines)


def watertight(place: Installation, sample: "Sample", *, observe: Callable[[dict[str, Any]], None]) -> Verdict:
    """Look for leaks in the last finished run, and prove on planted ones that the looking works."""
    from pipelines.leakage import checks, planted_leaks, rebuild

    def show(share: float, note: str, **more: Any) -> None:
        observe({"step": "leaks", "share": share, "note": note} | more)

    start = time.monotonic()
    made = rebuild.FinishedRun.of(place)
    chosen = rebuild.choose(made, sample)
    with tempfile.TemporaryDirectory(dir=place.home, prefix="doctor-") as name:
        scratch = Path(name)
        found = checks.examine(made, chosen, scratch, observe=lambda share, note: show(0.85 * share, note))
        planted = planted_leaks.prove(
            made, chosen, scratch, observe=lambda share, note: show(0.85 + 0.15 * share, note)
        )
    seconds = round(time.monotonic() - start, 1)
    show(1.0, "", seconds=seconds, found=len(found.real), planted=len(planted))
    return Verdict(found, planted, seconds)
