"""Weights as int8: a matrix keeps a byte a weight and one scale a row, symmetric around zero.

Storage alone: a network is read back as float32 and computes as before, since numpy multiplies int8 matrices without
BLAS, some ten times slower. What it saves is the size of the file, what it costs are rounded weights; both forms of a
network, torch and numpy, hold the rounded ones. Scales have 16 significant bits, so a scale times a byte is exact in
float32 and rounding twice changes nothing: what was judged is what is stored.

Letters: N rows of a matrix (output channels).
"""

from collections.abc import Mapping

import numpy as np

from feature_repo.errors import DataError

INT8 = "int8"
LARGEST = 127
SCALE = ".scale"  # behind a tensor's name: its rows' scales
EXACT = ("profile_matrix",)  # numbers of the data, not weights
DROPPED_BITS = np.uint32(0xFF)  # of a float32's 24 significant ones, 16 stay


def stored(name: str, values: np.ndarray) -> bool:
    """Tell whether a tensor is kept as int8: matrices and kernels are, vectors and numbers of the data are not."""
    return values.ndim >= 2 and values.dtype == np.float32 and name not in EXACT


def quantized(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights [N, ...] as int8 and the scale of each row, float32 [N].

    >>> whole, scale = quantized(np.array([[1.27, -0.5], [0.0, 0.0]], dtype=np.float32))
    >>> whole.tolist(), [round(one, 4) for one in scale.tolist()]
    ([[127, -50], [0, 0]], [0.01, 1.0])
    """
    if not np.isfinite(values).all():
        raise DataError("models.intent.compress: a weight is no finite number; training diverged, lower learning_rate")
    flat = values.reshape(len(values), -1)
    largest = np.abs(flat).max(axis=1, initial=0.0).astype(np.float32)  # [N]
    bits = (largest / np.float32(LARGEST)).view(np.uint32)
    scale = ((bits + DROPPED_BITS) & ~DROPPED_BITS).view(np.float32)
    scale = np.where(scale > 0, scale, np.float32(1))
    whole = np.rint(flat / scale[:, None]).astype(np.int8)
    return whole.reshape(values.shape), scale


def restored(whole: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return float32 weights [N, ...] of what `quantized` returned."""
    return np.asarray(whole.astype(np.float32) * scale.reshape(-1, *([1] * (whole.ndim - 1))))


def rounded(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights by name as they come back from int8."""
    return unpacked(packed(weights))


def packed(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors that a file holds."""
    found = {}
    for name, values in weights.items():
        if stored(name, values):
            found[name], found[name + SCALE] = quantized(values)
        else:
            found[name] = values
    return found


def unpacked(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights by name from a file's tensors; a tensor of the network that is itself named so stays."""
    whole = {name for name, values in tensors.items() if values.dtype == np.int8}
    return {
        name: restored(values, tensors[name + SCALE]) if name in whole else values
        for name, values in tensors.items()
        if name.removesuffix(SCALE) not in whole or name in whole
    }
