"""What a service needs installed: the closure of its direct requirements, at the versions of requirements.lock.

A Bento must not ask an index for newer versions than the models were trained with, so every package is pinned
and BentoML's own locking is off.
"""

import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from components.intent.shape import CONFIG, GRAPH
from feature_repo import files
from feature_repo.checkout import LOCK
from feature_repo.errors import SpecError
from feature_repo.release_folder import INTENT

# What the service imports, and what that needs of Feast; a test follows the imports.
DIRECT = (
    "bentoml",
    "click",
    "cryptography",
    "feast[duckdb]",
    "limits",
    "numpy",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-sdk",
    "pandas",
    "prometheus-client",
    "psutil",
    "pyarrow",
    "pydantic",
    "pydantic-core",
    "pyjwt[crypto]",
    "requests",
    "safetensors",
    "scipy",
    "starlette",
    "threadpoolctl",
    "tokenizers",
    "torch",
    "transformers",
    "typeguard",
    "typing-extensions",
    "urllib3",
    "uvicorn",
)


def pinned(direct: Iterable[str] = DIRECT, lock: Path = LOCK) -> list[str]:
    """Return `name==version` of every package that the direct ones need here, sorted."""
    versions = locked(lock)
    found = closure(direct)
    missing = [name for name in map(normal, direct) if name.split("[")[0] not in versions]
    if missing:
        raise SpecError(f"{lock}: no {', '.join(missing)}; write it again with `make lock`")
    return sorted(f"{name}=={versions[name]}" for name in found if name in versions)


def further(release: Path) -> tuple[str, ...]:
    """Return what a release folder asks for beyond DIRECT: what runs a text encoder in int8."""
    config = files.read_json(release / INTENT / CONFIG)
    text = config.get("network", {}).get("text") or {}
    return ("onnxruntime",) if GRAPH in text else ()


def locked(lock: Path) -> dict[str, str]:
    """Return the lock's versions by normalised name."""
    if not lock.is_file():
        raise SpecError(f"{lock}: no such file; a Bento is built from a checkout, which has it")
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", lock.read_text(), flags=re.MULTILINE)
    return {normal(name): version for name, version in pins}


def closure(direct: Iterable[str]) -> set[str]:
    """Return the names of installed packages that the direct ones need, themselves included."""
    wanted, seen = [Requirement(name) for name in direct], set[tuple[str, str]]()
    while wanted:
        one = wanted.pop()
        for extra in ("", *one.extras):
            if (normal(one.name), extra) in seen:
                continue
            seen.add((normal(one.name), extra))
            wanted += [r for r in _requires(one.name) if r.marker is None or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def normal(name: str) -> str:
    """Write a package's name as the lock does.

    >>> normal("Feast_Lib")
    'feast-lib'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _requires(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return []  # another platform's package
