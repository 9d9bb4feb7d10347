"""An ONNX file with its weights and matrix products in int8: the small form of a text encoder.

ONNX Runtime's dynamic quantization: weights become int8 by channel once, activations by tensor in each run, and
products run on integers. Needs the packages `onnx` and `onnxruntime`, which only text encoders ask for; they are
imported here when they are used. Networks of behaviour keep to numpy (quantize.py).
"""

import contextlib
import importlib.util
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from components import measure
from components.intent.onnx_session import RUNTIME, session
from feature_repo import files
from feature_repo.errors import DataError, SpecError

NEEDED = ("onnx", RUNTIME)
Feeds = Mapping[str, np.ndarray]  # by the graph's input


@dataclass(frozen=True)
class Difference:
    """What int8 costs and saves on the same feeds."""

    apart: float  # largest difference of any output, as a share of the largest value of the full one
    size_bytes: tuple[int, int]  # full and int8
    cpu_ms: tuple[float, float]  # one thread, the quickest of some runs


def quantized(source: Path, destination: Path, *, operators: Sequence[str] | None = None) -> Path:
    """Write an ONNX file's int8 form: whole, or not at all; return where it lies. `operators`: which alone, all."""
    require_installed()
    _require(source)
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet(), files.written(destination) as aside:
        # 7 bits where the processor adds pairs of int8 products in 16 bits (AVX2): 8 would overflow unnoticed.
        quantize_dynamic(
            source,
            aside,
            op_types_to_quantize=None if operators is None else list(operators),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    return destination


def compared(full: Path, small: Path, feeds: Feeds) -> Difference:
    """Ask both files about the same feeds, one thread each."""
    sessions = {name: session(path) for name, path in (("full", full), ("int8", small))}
    answers = {name: one.run(None, dict(feeds)) for name, one in sessions.items()}
    spent = measure.cpu_ms({name: partial(one.run, None, dict(feeds)) for name, one in sessions.items()})
    return Difference(
        max(_apart(a, b) for a, b in zip(answers["full"], answers["int8"], strict=True)),
        (full.stat().st_size, small.stat().st_size),
        (spent["full"], spent["int8"]),
    )


def _apart(full: np.ndarray, small: np.ndarray) -> float:
    if full.shape != small.shape or not np.isfinite(small).all():
        return float("inf")
    return float(np.abs(full - small).max(initial=0.0) / max(float(np.abs(full).max(initial=0.0)), 1e-12))


def require_installed() -> None:
    """Refuse int8 of a text encoder where what makes it is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SpecError(
            f"models.intent.compress: int8 of a text encoder needs the packages {', '.join(NEEDED)}, and "
            f"{', '.join(missing)} is not installed; install them, or drop compress"
        )


def _require(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such ONNX file; export the encoder first")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's advice to pre-process out of the log: a graph that is run as it is needs none."""
    root = logging.getLogger()
    before, root.level = root.level, logging.ERROR
    try:
        yield
    finally:
        root.level = before
