"""Vectors that were computed once, by encoder and text: a file an encoder, in the state folder.

SQLite, since a batch is then whole or absent however its writer ends, and two runs may write at once. A cache holds no
text, only its digest; deleting it costs time and nothing else.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from feature_repo.errors import DataError
from feature_repo.item_vectors import STORED

FOLDER = "vectors"  # below the state folder
ASKED = 500  # digests in a query: SQLite takes some thousand
PATIENCE_S = 60.0  # for another run that writes


class Cache:
    """The vectors of one encoder; without a folder it forgets them with the process."""

    def __init__(self, home: Path | None, encoder: str) -> None:
        self.path = None if home is None else home / FOLDER / f"{encoder}.sqlite"
        self._held: dict[str, np.ndarray] = {}

    def get(self, digests: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the vectors [D] that are there, by digest."""
        if self.path is None or not self.path.exists():
            return {one: self._held[one] for one in digests if one in self._held}
        found: dict[str, np.ndarray] = {}
        with self._open() as database:
            for start in range(0, len(digests), ASKED):
                part = list(digests[start : start + ASKED])
                marks = ",".join("?" * len(part))
                query = f"SELECT digest, vector FROM vectors WHERE digest IN ({marks})"
                found |= {digest: np.frombuffer(blob, STORED) for digest, blob in database.execute(query, part)}
        return found

    def put(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep vectors [D] by digest, all of them or none."""
        if self.path is None:
            self._held |= vectors
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [(digest, np.asarray(vector, STORED).tobytes()) for digest, vector in vectors.items()]
        with self._open() as database, database:
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        assert self.path is not None
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=PATIENCE_S)) as database:
                database.execute("CREATE TABLE IF NOT EXISTS vectors (digest TEXT PRIMARY KEY, vector BLOB NOT NULL)")
                yield database
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path}: cannot be read or written ({error}); delete it, it is made again") from None
