"""The text encoders: one module each, named in `ENCODERS`; a spec may name a folder instead.

A module has `DISTRIBUTION`, the package that carries its weights ('' for none), `REVISION`, which rises where the same
package would give other vectors, and `open(folder)`, which returns an encoder. The spec reads `ENCODERS`, so nothing
here imports numpy. A new one is its module and its name.
"""

import importlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from feature_repo import files
from feature_repo.errors import DataError

if TYPE_CHECKING:
    import numpy as np

ENCODERS = ("hashing", "minilm", "multilingual")
FOLDER = "folder"  # the module behind a folder that a spec names


class Encoder(Protocol):
    """Makes vectors of texts."""

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """Return the texts' vectors, float32 [N, D], finite; a text alone has the vector that it has among others."""


class Module(Protocol):
    """What the module of an encoder has."""

    DISTRIBUTION: str
    REVISION: int

    def open(self, folder: Path | None) -> Encoder:
        """Return the encoder; `folder` is the one that a spec names."""


def identity(encoder: str, base: Path) -> str:
    """Return the digest of what an encoder is: its package's version, or its folder's files.

    A spec's relative folder begins at `base`. Raises DataError, one line, where the package or the folder is absent.
    """
    found = module(encoder)
    if found.DISTRIBUTION:
        try:
            what = f"{found.DISTRIBUTION} {importlib.metadata.version(found.DISTRIBUTION)}"
        except importlib.metadata.PackageNotFoundError:
            raise DataError(
                f"vectors.text.encoder: '{encoder}' needs the package {found.DISTRIBUTION}, which is not installed; "
                "pip install 'intentflow[vectors]', or use hashing"
            ) from None
    else:
        what = files.file_digest(_folder(encoder, base)) if encoder not in ENCODERS else encoder
    return files.digest([what, found.REVISION])


def opened(encoder: str, base: Path) -> Encoder:
    """Return an encoder, its weights read."""
    identity(encoder, base)  # refuses what is absent, in one line
    return module(encoder).open(None if encoder in ENCODERS else _folder(encoder, base))


def module(encoder: str) -> Module:
    """Return the module behind a spec's word."""
    name = encoder if encoder in ENCODERS else FOLDER
    return cast(Module, importlib.import_module(f"{__name__}.{name}"))


def _folder(encoder: str, base: Path) -> Path:
    folder = base / encoder
    if not (folder / "config.json").is_file():
        raise DataError(
            f"vectors.text.encoder: {folder} holds no config.json; name a folder that `transformers` can load, or use "
            f"{', '.join(ENCODERS)}"
        )
    return folder
