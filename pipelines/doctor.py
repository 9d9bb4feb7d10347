"""Check a machine before it is blamed: Python, packages, disk, memory, the state folder, the servers."""

import importlib.metadata
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from pipelines.code import ROOT
from pipelines.environment import Place

DISK_GIB = 3.0
MEMORY_GIB = 6.0
PACKAGES = ("mlflow", "kfp", "bentoml", "torch", "transformers", "great-expectations", "feast", "evidently")
TIMEOUT_S = 3


@dataclass(frozen=True)
class Check:
    """One check and what it found."""

    name: str
    fine: bool
    note: str


def examine(place: Place) -> list[Check]:
    """Run every check; none changes anything."""
    checks = [_python(), *(_package(name) for name in PACKAGES), _disk(place.home), _memory(), _byte_code()]
    servers = {"mlflow": place.environment.mlflow.tracking_uri, "evidently": place.environment.evidently}
    checks += [_server(name, url) for name, url in servers.items() if url.startswith("http")]
    return checks


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
            return version.strip()
    return "none"


def _disk(home: Path) -> Check:
    folder = next(p for p in (home, *home.parents) if p.exists())
    free = shutil.disk_usage(folder).free / 2**30
    return Check("disk", free >= DISK_GIB, f"{free:.1f} GiB free at {folder}; {DISK_GIB:g} are needed")


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    return Check("memory", free >= MEMORY_GIB, f"{free:.1f} GiB available; {MEMORY_GIB:g} are needed")


def _byte_code() -> Check:
    off = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    note = "PYTHONDONTWRITEBYTECODE is set: imports take twice as long; unset it" if off else "written"
    return Check("byte code", True, note)


def _server(name: str, url: str) -> Check:
    import requests

    try:
        requests.get(url, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        return Check(name, False, f"{url} does not answer ({type(error).__name__}); start it or mend the environment")
    return Check(name, True, f"{url} answers")
