"""Check that no part of the split learns from, or stops by, labels that reach into the time of the next part.

A label of a row at step w counts [w, w + horizon). So a part must end one longest horizon before the next one begins,
and the last one must end with the data. What is compared are the weeks that rows have, not how they were laid out.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from feature_repo.leak import Leak

TABLE, COLUMN = "split", "label_ids"
UNPURGED = "labels that reach into the next part's time"
PARTS = ("train", "validate", "test")


def overlaps(split: Mapping[str, Any], *, horizon: int) -> list[Leak]:
    """List the weeks of a part whose labels end after the next part's first cutoff, one finding a part.

    >>> overlaps({"train": [5, 6], "validate": [7], "test": [8]}, horizon=1)
    []
    >>> [(leak.week, leak.cells) for leak in overlaps({"train": [5, 6], "validate": [7], "test": [11]}, horizon=4)]
    [(5, 2)]
    """
    found = []
    for part, following in itertools.pairwise(PARTS):
        first = min(split[following])
        late = [week for week in sorted(split[part]) if week + horizon > first]
        if late:
            what = f"labels of {len(late)} {part} weeks look ahead {horizon}, past the first {following} cutoff {first}"
            found.append(Leak(TABLE, COLUMN, late[0], "", UNPURGED, what, len(late)))
    return found
