"""A finished run's artifacts, a sample of its users, and the same rebuilt from a changed world, for `checks.py`.

It uses the steps' own code, writes to a scratch folder, and changes nothing of the run.
"""

import contextlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.leakage import alternative_futures, compare
from components.leakage.alternative_futures import Cutoff
from components.profiles import steps
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.errors import SpecError
from feature_repo.vocabulary import Vocabulary
from pipelines.environment import Installation
from pipelines.graphs import code_digests
from pipelines.runs import local

NO_FEATURES = ("keyed_", "row_weights")  # tables that labels and weights come from


@dataclass(frozen=True)
class Sample:
    """How much is checked."""

    users: int = 200
    cutoffs: int = 2
    seed: int = 0


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run left that the checks read: folders, and slices that its steps were given (JSON)."""

    clean: Path
    profiles: Path
    rows: Path
    intent: Path | None
    slices: Mapping[str, str]  # profiles, vocabulary

    @classmethod
    def of(cls, place: Installation) -> "FinishedRun":
        """Take the last finished run of a recommender; it must come from the code that would build it anew."""
        run = local.last_run(place.home)
        again = f"run `intentflow run {place.spec_path}` first"
        if run is None:
            raise SpecError(f"doctor --leaks: {place.home}: no finished run with its artifacts; {again}")
        if run.parameters["profiles_code"] != code_digests.step_digest("profiles"):
            raise SpecError(f"doctor --leaks: the last run's profiles come from other code than this; {again}")
        if not {"clean", "features", "rows"} <= run.folders.keys():
            raise SpecError(f"doctor --leaks: {place.home / local.RUN_FILE}: an older version wrote it; {again}")
        folders = run.folders
        slices = {name: str(run.parameters[name]) for name in ("profiles", "vocabulary")}
        return cls(folders["clean"], folders["features"], folders["rows"], folders.get("intent"), slices)

    @property
    def calendar(self) -> Calendar:
        """Return the data's calendar."""
        return Calendar(**files.read_json(self.clean / alternative_futures.SNAPSHOT)["calendar"])

    @property
    def split(self) -> dict[str, Any]:
        """Return the weeks by part."""
        found: dict[str, Any] = files.read_json(self.rows / "split.json")
        return found

    @property
    def item_event(self) -> str | None:
        """Return the kind of event that ranking counts, None for any."""
        found: str | None = json.loads(self.slices["vocabulary"])["items"]["event"]
        return found

    @property
    def horizon(self) -> int:
        """Return how many steps the longest label looks ahead."""
        return max(int(self.vocabulary().horizons.max()), self.items_ahead)

    @property
    def items_ahead(self) -> int:
        """Return how many steps the ranker's labels look ahead."""
        return int(files.read_json(self.rows / "split.json").get(columns.LABELS_AHEAD, [1])[0])

    def vocabulary(self) -> Vocabulary:
        """Read the run's vocabulary."""
        return Vocabulary.load(self.profiles / "vocabulary")

    def tables(self) -> dict[str, Path]:
        """Return every stored feature table with rows by week: profiles/<name> and rows/<name>."""
        found = {}
        for part, folder in (("profiles", self.profiles), ("rows", self.rows)):
            for path in sorted(folder.glob("*.parquet")):
                if not path.stem.startswith(NO_FEATURES) and compare.key_of(pq.read_schema(path).names):
                    found[f"{part}/{path.stem}"] = path
        return found


@dataclass(frozen=True)
class SampledRows:
    """The sample: users as an Arrow array of pseudonyms, and the cutoffs."""

    users: pa.Array
    cutoffs: tuple[Cutoff, ...]


def choose(made: FinishedRun, sample: Sample) -> SampledRows:
    """Draw users, and cutoffs: half of them among the weeks that ranking reads, which have the most tables."""
    rng, split = np.random.default_rng(sample.seed), made.split
    users = pq.read_table(made.clean / alternative_futures.USERS, columns=[columns.USER_ID])[
        columns.USER_ID
    ].combine_chunks()
    taken = np.sort(rng.choice(len(users), min(sample.users, len(users)), replace=False))
    weeks = [*split["train"], *split["validate"], *split["test"]]
    ranked = [week for week in weeks if week in split["ranking"]]
    others = [week for week in weeks if week not in split["ranking"]]
    first = rng.choice(ranked, min(len(ranked), -(-sample.cutoffs // 2)), replace=False)
    second = rng.choice(others, min(len(others), sample.cutoffs // 2), replace=False)
    weeks = sorted(int(week) for week in (*first, *second))
    cutoffs = tuple(Cutoff.of(made.calendar, week) for week in weeks)
    return SampledRows(users.take(taken), cutoffs)


def rebuilt(
    made: FinishedRun,
    change: alternative_futures.Change,
    cutoff: Cutoff,
    folder: Path,
    *,
    users: pa.Array | None = None,
    fit: bool = False,
) -> Path:
    """Build the profiles of a changed world into `folder`/profiles, with the run's vocabulary or one fitted anew."""
    clean = alternative_futures.write(made.clean, folder / "clean", change, cutoff=cutoff, users=users)
    vocabulary = json.loads(made.slices["vocabulary"]) | {"history_weeks": 1}
    # Our sample, not the run's.
    profiles = json.loads(made.slices["profiles"]) | {"train_users": None, "silent_one_in": 1}
    with _hushed():
        steps.run_profiles(
            json.dumps(profiles),
            json.dumps(cutoff.split),
            json.dumps(vocabulary),
            clean=clean,
            destination=folder / "profiles",
            fitted=None if fit else made.profiles,
        )
    return folder


def with_rows(folder: Path, cutoff: Cutoff) -> None:
    """Retrieve the rows of a rebuilt world into `folder`/rows, as the training set is."""
    ranking = json.dumps({"train_weeks": 1, "test_every_weeks": 1})
    with _hushed():
        steps.run_training_set(
            json.dumps(cutoff.split),
            ranking,
            clean=folder / "clean",
            profiles=folder / "profiles",
            destination=folder / "rows",
        )


def at_week(path: Path, week: int, users: pa.Array) -> pa.Table:
    """Read one week of a table, the sampled users' rows where it is about users."""
    where = pc.field(compare.WEEK) == week
    if columns.USER_ID in pq.read_schema(path).names:
        where = where & pc.field(columns.USER_ID).isin(users)
    return pq.read_table(path, filters=where)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep log lines and warnings of the steps to themselves: they only lend their code here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
