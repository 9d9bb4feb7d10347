"""Reading arrays that a file holds by name (.npz): whole, or one line that says which file is not."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from feature_repo.errors import DataError, shortened

# What numpy and zipfile raise at bytes that are no arrays, at a pickle among them, and at a name that is not there.
BROKEN = (
    zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError, OSError, OverflowError,
    RuntimeError, MemoryError, SyntaxError,
)  # fmt: skip


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """Yield a file's arrays by name; whatever in the block cannot be read of them is a DataError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, Mapping):
                raise ValueError("it holds one array without a name")
            yield arrays
    except BROKEN as error:
        said = shortened(" ".join(str(error).split()), 200)
        raise DataError(f"{path}: its arrays cannot be read: {said}; fetch the release again") from error
