"""The champion's judged twin, as the steps hand it on: which version it is, until when it learnt, and why not.

A folder of these steps holds `twin.json`. Where `why` is set nothing else in it counts: the champion could not be
scored on the candidate's rows, and the gates say so. Both parts find the twin's rows of the candidate's by `places` and
`positions`. Knows no model and no registry.

Letters: B rows.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

FILE = "twin.json"
RELEASE = "release"  # the twin's release folder, below the one that says which it is
INTENT_MODEL = "intent_model.json"  # beside the release: how its intent model was asked for, should it be trained anew
SAME_DATA = "it was judged on the same data"


@dataclass(frozen=True)
class Twin:
    """Whom a candidate is compared with on its own rows."""

    version: str = ""  # of the release that was judged; '' without a champion
    learnt_until: str = ""  # ISO, UTC: the end of the newest week that its intent model learnt from
    why: str = ""  # it is not scored on the candidate's rows, since ...
    split: str = ""  # digest of the weeks that it was trained and judged on, where the data is the candidate's
    retrained: bool = False  # it has learnt from the candidate's rows: its like is trained at the candidate's cutoffs

    def learnt_from(self, start: dt.datetime) -> bool:
        """Tell whether it learnt from what came after an instant."""
        return dt.datetime.fromisoformat(self.learnt_until) > start

    def anew(self) -> "Twin":
        """Return the same twin, whose like is trained at the candidate's cutoffs and judged in its place."""
        return replace(self, retrained=True)

    def without(self, why: str) -> "Twin":
        """Return the same twin, which cannot be scored."""
        return replace(self, why=why)


def read(folder: Path) -> Twin:
    """Read what a step says of the twin."""
    return Twin(**files.read_json(folder / FILE))


def write(twin: Twin, folder: Path) -> None:
    """Say it in an existing folder."""
    files.write_json(folder / FILE, asdict(twin))


def judged(twin: Twin, destination: Path, work: Callable[[Path], None]) -> Twin:
    """Fill a step's folder by `work`; where the twin cannot be scored the folder says why, and holds nothing else."""
    found = twin
    if not twin.why:
        try:
            with files.written_folder(destination) as folder:
                work(folder)
                write(twin, folder)
        except DataError as error:  # its rows or its model do not fit this code or this data
            found = twin.without(" ".join(str(error).split()))
    if found.why:
        with files.written_folder(destination) as folder:
            write(found, folder)
    return found


def places(rows: UserRows) -> dict[tuple[str, int], int]:
    """Number rows by user and instant."""
    return {key: b for b, key in enumerate(zip(rows.user_id.astype(str), rows.now.tolist(), strict=True))}


def positions(place: dict[tuple[str, int], int], rows: UserRows) -> np.ndarray:
    """Find rows by user and instant, int64 [B]."""
    try:
        found = [place[key] for key in zip(rows.user_id.astype(str), rows.now.tolist(), strict=True)]
    except KeyError as missing:
        raise DataError(f"twin_rows: no row of user and instant {missing}; the rows are of other data") from missing
    return np.array(found, dtype=np.int64)
