"""What starts processes on a GPU: one rank by torchrun, and the benchmark."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distributed.worlds import ROOT
from tests.patience import patient

pytestmark = [pytest.mark.gpu, pytest.mark.process]


def started(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=patient(400),
                          check=False)  # fmt: skip


def test_one_rank_trains_as_no_rank_does(device: str, tmp_path: Path) -> None:
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    done = started(
        [torchrun, "--standalone", "--nproc-per-node", "1", "-m", "tests.gpu.one_rank", str(tmp_path / "out")]
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out").read_text())
    assert found["device"] == device
    assert set(found["off"]) == {"ddp", "fsdp", "tensor"}
    assert max(found["off"].values()) < 1e-5, found


def test_the_benchmark_measures_the_device(device: str) -> None:
    done = started([sys.executable, "-m", "benchmarks.gpu", "--quick", "--json"])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["device"] != "cpu"
    for side in document["sides"].values():
        assert side["peak_memory_gib"] > 0
        assert side["mfu"] is None or 0 < side["mfu"] < 1
