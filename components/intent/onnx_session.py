"""ONNX Runtime, as a served text encoder asks it: an ONNX file, or its bytes, on the processor.

The package is imported where it is used: only a model with an encoder in int8 needs it.
"""

from pathlib import Path
from typing import Any

from feature_repo.errors import DataError

RUNTIME = "onnxruntime"


def session(model: Path | bytes, *, threads: int = 1) -> Any:
    """Open an ONNX file, or its bytes, on the processor, with so many threads; DataError where that cannot be."""
    if isinstance(model, Path) and not model.is_file():
        raise DataError(f"{model}: no such ONNX file; export the encoder first")
    try:
        import onnxruntime
    except ImportError:
        raise DataError(
            f"intent model: its text encoder is int8, which the package {RUNTIME} runs, and it is not installed; pip "
            "install 'intentflow[text]', or serve a model that was trained without compress"
        ) from None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3  # errors
    given = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
