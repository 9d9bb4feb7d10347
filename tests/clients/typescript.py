"""The TypeScript client, compiled as `make client` compiles it, and a node that asks with it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from feature_repo.checkout import BUILT_CLIENT, TYPESCRIPT
from tests.patience import patient

TOOLS = BUILT_CLIENT / "node_modules" / ".bin"
ASKS = Path(__file__).with_name("asks.mjs")
BUILD_S = patient(60)


def built(folder: Path) -> Path:
    """Compile the client as it is in this checkout into a folder; return the folder of its JavaScript."""
    require()
    for name in ("openapi.json", "tsconfig.json", "package.json"):
        shutil.copy(TYPESCRIPT / name, folder / name)
    shutil.copytree(TYPESCRIPT / "src", folder / "src", ignore=shutil.ignore_patterns("schemas.ts"))
    types = ["openapi.json", "--output", "src/schemas.ts", "--default-non-nullable=false"]
    for command in ([str(TOOLS / "openapi-typescript"), *types], [str(TOOLS / "tsc")]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_S)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


def require() -> None:
    """Skip where node or the compiler is not there: both come from outside of Python."""
    if shutil.which("node") is None:
        pytest.skip("no node on PATH; on Debian: apt-get install nodejs npm")
    if not (TOOLS / "tsc").exists():
        pytest.skip("no TypeScript compiler; `make client` installs it")


def asked(dist: Path, url: str, asks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask one service in turn, in one process of node; return what became of each."""
    said = json.dumps({"client": dist.joinpath("client.js").as_uri(), "url": url, "asks": list(asks)})
    done = subprocess.run(["node", str(ASKS)], input=said, capture_output=True, text=True, timeout=BUILD_S)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
