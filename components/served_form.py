"""Whether a trained network may be served in its numpy form: `served_form.json` beside its weights says that it may.

Both models write it when they save a network, after the two forms have answered the same: the file names the weights
that were compared, so that a folder whose weights were changed since is not taken for proven. A folder without it is
served by torch, as it always was.
"""

import logging
from pathlib import Path

import numpy as np

from feature_repo import files

FILE = "served_form.json"
CLOSE = 1e-5  # by how much a probability or a score may differ; of scores beyond 1, times the score
FORMAT = 1
log = logging.getLogger("intentflow.served_form")


def apart(trained: np.ndarray, served: np.ndarray) -> float:
    """Return the largest difference of two forms' answers, infinity where one is no number and the other is.

    >>> apart(np.array([0.5, 20.0]), np.array([0.5, 20.2])), apart(np.array([np.nan]), np.array([1.0]))
    (0.01, inf)
    """
    off = np.abs(trained - served) / np.maximum(np.abs(trained), 1.0)
    off = np.where(np.isnan(trained) & np.isnan(served), 0.0, np.nan_to_num(off, nan=np.inf))
    return round(float(off.max(initial=0.0)), 9)


def note(weights: Path, trained: np.ndarray, served: np.ndarray, *, what: str) -> bool:
    """Write the file beside weights whose forms agree; say so and write none where they do not."""
    off = apart(trained, served)
    if off > CLOSE:
        log.warning("%s: its numpy form is off by %g, more than %g; torch serves it", what, off, CLOSE)
        return False
    # Not by how much: that differs by machine, and equal weights shall make equal folders.
    files.write_json(weights.parent / FILE, {"format": FORMAT, "form": "numpy", "weights": files.file_digest(weights)})
    log.info("%s: its numpy form is off by %g", what, off)
    return True


def proven(folder: Path, weights: Path, *, what: str) -> bool:
    """Tell whether a model folder says that the numpy form of these very weights was the trained network's equal."""
    if not (folder / FILE).is_file():
        log.info("%s: %s has no %s, torch serves it; a model of a newer run has one", what, folder, FILE)
        return False
    found = files.read_json(folder / FILE)
    if found.get("format") != FORMAT or found.get("weights") != files.file_digest(weights):
        log.warning("%s: %s/%s is of other weights or another format; torch serves it", what, folder, FILE)
        return False
    return True
