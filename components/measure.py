"""What a loaded model costs: CPU time of one row at a time, and the memory that loading it adds.

Shared by the evaluations of the models. Milliseconds are the calling thread's own CPU time and each row counts with
its quickest round, so that other work on the machine moves no gate.
"""

import ctypes
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

Answer = TypeVar("Answer")
ROWS = 64  # rows that are asked one at a time
ROUNDS = 3
WARM_ROUNDS = 9  # of whole batches, after a first one
STATM = Path("/proc/self/statm")  # Linux only; elsewhere memory is not measured


def spread(rows: np.ndarray) -> np.ndarray:
    """Choose at most ROWS of them, evenly.

    >>> len(spread(np.arange(1000))), spread(np.arange(3)).tolist()
    (64, [0, 1, 2])
    """
    return np.asarray(rows[np.unique(np.linspace(0, len(rows) - 1, ROWS).astype(np.int64))])


def one_by_one(answer: Callable[[int], Answer], n: int) -> tuple[list[Answer], dict[str, float]]:
    """Ask for each of n rows by itself, torch on one thread; return the answers and the milliseconds p50 and p95."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        answers = [answer(i) for i in range(n)]  # warm from here on
        spent = np.full((ROUNDS, n), np.inf)
        for turn in range(ROUNDS):
            for i in range(n):
                start = time.thread_time()
                answer(i)
                spent[turn, i] = time.thread_time() - start
    finally:
        torch.set_num_threads(threads)
    p50, p95 = np.quantile(spent.min(axis=0) * 1000, (0.5, 0.95))
    return answers, {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def cpu_ms(asks: Mapping[str, Callable[[], object]], *, rounds: int = WARM_ROUNDS) -> dict[str, float]:
    """Return the processor milliseconds of each ask, of all threads together, by the quickest of some rounds."""
    found = dict.fromkeys(asks, float("inf"))
    for _ in range(1 + rounds):
        for name, ask in asks.items():
            start = time.process_time()
            ask()
            found[name] = min(found[name], (time.process_time() - start) * 1000)
    return {name: round(spent, 3) for name, spent in found.items()}


def growth(load: Callable[[], Answer]) -> tuple[Answer, dict[str, float]]:
    """Load something and return it with the resident memory that this added, {} where the system does not tell."""
    before = _resident_mib()
    loaded = load()
    after = _resident_mib()
    return loaded, {} if before is None or after is None else {"rss_mib": round(max(after - before, 0.0), 3)}


def _resident_mib() -> float | None:
    if not STATM.is_file():
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # give back what was freed, else it hides growth
    if trim is not None:
        trim(0)
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
