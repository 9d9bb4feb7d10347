"""What is known of the targets themselves: their shares of the active users at the start of each week.

The profiles step computes them; training reads them beside its rows, and a model folder carries them, so that
a row of any week is encoded with the shares of that week, offline and online alike.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import columns, files
from feature_repo.errors import DataError

FILE = "target_state.parquet"


@dataclass(frozen=True)
class TargetContext:
    """Shares by week (W weeks, C targets, 3 spans: the last week, the last four, slowly decayed)."""

    weeks: np.ndarray  # [W] int64, ascending
    shares: np.ndarray  # [W, C, 3] float32, as known at the start of the week

    @classmethod
    def from_arrow(cls, table: pa.Table, *, n_targets: int) -> "TargetContext":
        """Read a table of week, target_id and shares; a target without a line had no users.

        >>> line = {"week": [7], "target_id": [1], "share_1w": [0.5], "share_4w": [0.5], "share_slow": [0.25]}
        >>> TargetContext.from_arrow(pa.table(line), n_targets=2).at(np.array([7])).tolist()
        [[[0.0, 0.0, 0.0], [0.5, 0.5, 0.25]]]
        """
        if not table.num_rows:
            raise DataError(f"{FILE}: no rows; build the profiles again")
        weeks, position = np.unique(table[columns.WEEK].to_numpy(), return_inverse=True)
        shares = np.zeros((len(weeks), n_targets, len(columns.SHARES)), dtype=np.float32)
        targets = table[columns.TARGET_ID].to_numpy()
        for i, name in enumerate(columns.SHARES):
            shares[position, targets, i] = table[name].to_numpy()
        return cls(weeks.astype(np.int64), shares)

    @classmethod
    def load(cls, path: Path, *, n_targets: int) -> "TargetContext":
        """Read the parquet file that `save` or the training set wrote."""
        return cls.from_arrow(pq.read_table(path), n_targets=n_targets)

    def save(self, path: Path) -> None:
        """Write the table that `from_arrow` reads."""
        W, C, _ = self.shares.shape
        keys = {columns.WEEK: np.repeat(self.weeks, C), columns.TARGET_ID: np.tile(np.arange(C, dtype=np.int32), W)}
        numbers = {name: self.shares[:, :, i].ravel() for i, name in enumerate(columns.SHARES)}
        with files.written(path) as aside:
            pq.write_table(pa.table(keys | numbers), aside)

    def position(self, weeks: np.ndarray) -> np.ndarray:
        """Return for weeks [B] the line to read: the week's own, else the latest before it (else the first)."""
        return np.maximum(np.searchsorted(self.weeks, weeks, side="right") - 1, 0)

    def at(self, weeks: np.ndarray) -> np.ndarray:
        """Return the shares that rows of weeks [B] may see, float32 [B, C, 3]."""
        return np.asarray(self.shares[self.position(weeks)])
