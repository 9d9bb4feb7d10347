"""Where the artifacts of a run lie that drift signals are measured from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feature_repo import item_vectors

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Folders:
    """Where a run's artifacts lie; what is not there is not watched."""

    clean: Path
    rows: Path
    tables: Path | None = None  # as the source gave them
    intent: Path | None = None  # a model folder of the rows' vocabulary
    log: Path | None = None  # the request log
    store: str = ""  # the address that doors ship theirs to, which is read in its place

    @property
    def vectors(self) -> Path | None:
        """Return where the champion has vectors of its items' texts; None where it has none."""
        found = None if self.intent is None else self.intent.parent / "ranking" / item_vectors.FOLDER
        return found if found is not None and found.is_dir() else None
