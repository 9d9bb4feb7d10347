"""A model folder that bundles several models: the digests by which each is known to be the one it was saved with.

They stand where a single model has its weights, so that the digest of that file is that of all. What models are is
their component's to know.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from feature_repo.errors import DataError

WEIGHTS = "weights.safetensors"


def note(folder: Path, members: Path, names: Iterable[str]) -> None:
    """Write the weights' file of `folder`: the SHA-256 of the weights of each model in `members`, uint8 by name."""
    from safetensors.numpy import save_file

    save_file({name: _digest(members / name) for name in names}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it


def require(folder: Path, members: Path, names: Iterable[str]) -> None:
    """Refuse a model in `members` that is another than `note` told of."""
    from safetensors.numpy import load_file

    known = load_file(folder / WEIGHTS)
    for name in names:
        if name not in known or not np.array_equal(known[name], _digest(members / name)):
            raise DataError(f"{folder}: its member '{name}' is not the one it was saved with; run the pipeline again")


def _digest(folder: Path) -> np.ndarray:
    """Return the digest of a model's weights, uint8; of one that is absent nothing."""
    path = folder / WEIGHTS
    return np.frombuffer(hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"", np.uint8)
