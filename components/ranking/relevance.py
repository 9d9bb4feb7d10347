"""How much each label is wanted, 0 to 1: the strength of its events on the scale of `models.ranking.weight`.

Stars and play counts have no unit in common, and a few plays in ten thousand would drown all others, so strengths are
mapped on what training weeks held: by logarithm or by rank. The ranker's labels and NDCG's gain are what comes out. A
strength of 0 or below says that the user did not want the item: it is no label.

Pure numpy. Letters: N labels, S strengths of the training weeks.
"""

import numpy as np

from components.ranking.spec import Scale
from feature_repo.errors import DataError

LEAST = 0.01  # of a label that is wanted at all, however weak beside those of training weeks
TOP_SHARE = 0.99  # of the training strengths lie below the one that is wanted most; a few beyond it count as much


def relevance(strength: np.ndarray, known: np.ndarray, scale: Scale) -> np.ndarray:
    """Map strengths [N] to 0..1 by the strengths [S] of the training weeks, float32 [N]; 0 where not above 0.

    `log` is log(1 + s) over that of a top strength; `rank` is the share of the training strengths that s exceeds, ties
    counted half.

    >>> relevance(np.array([0.0, 1.0, 4.0, 5.0]), np.array([1.0, 4.0, 4.0, 5.0]), "rank").tolist()
    [0.0, 0.125, 0.5, 0.875]
    """
    known = np.sort(known[known > 0])
    if not len(known):
        raise DataError(
            "models.ranking.weight: no event of the training weeks has a strength above 0, so nothing is wanted; leave "
            "weight out, or map another column"
        )
    if scale == "log":
        top = np.log1p(known[min(int(TOP_SHARE * len(known)), len(known) - 1)])
        found = np.log1p(np.maximum(strength, 0.0)) / top
    else:
        places = np.searchsorted(known, strength, "left") + np.searchsorted(known, strength, "right")
        found = places / (2 * len(known))
    return np.where(strength > 0, np.clip(found, LEAST, 1.0), 0.0).astype(np.float32)
