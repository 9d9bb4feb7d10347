"""The rows that judge a candidate, once more in the vocabulary and segments of the champion's judged twin.

Same users, same weeks, same events known at each cutoff; only the names that features go by are the twin's, so that it
reads what it was trained to read. The folder is a `rows` folder of validation and test weeks. It trains nothing.
"""

import dataclasses
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.profiles import profile_folder, vocabulary_rule
from components.profiles.build import plan
from components.profiles.spec import Profiles
from components.profiles.training import training_set
from feature_repo import columns, edges, files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Vocabulary


def write(destination: Path, *, clean: Path, rows: Path, release: Path, weeks: plan.Weeks) -> int:
    """Write the folder; `rows` is the candidate's. Returns the number of rows."""
    released, snapshot = ReleaseFolder.read(release), files.read_json(clean / "snapshot.json")
    if released.key and snapshot.get("key", "") != released.key:
        raise DataError(f"version's users are hashed with the key {released.key}, the data's with another")
    spec = Profiles.model_validate(released.slices["profiles"]).model_copy(
        update={"train_users": None, "silent_one_in": 1}
    )
    wanted = profile_folder.Wanted.of(vocabulary_rule.of((), released.slices["ranking"]))
    few = dataclasses.replace(weeks, train=weeks.train[-1:])  # the plan needs one; nothing is fitted on it
    with tempfile.TemporaryDirectory(prefix="twin-", dir=destination.parent) as scratch:
        made = Path(scratch) / "profiles"
        made.mkdir()
        profile_folder.build_folder(
            made, clean, spec, wanted, snapshot, few,
            fitted=released.ranking, training=True, at=lambda share, note: None,
        )  # fmt: skip
        return _rows(destination, made, clean=clean, rows=rows, weeks=few, histories=reads_histories(released))


def reads_histories(released: ReleaseFolder) -> bool:
    """Tell whether a release's intent model reads which items users had: one that reads text does."""
    config = released.intent / "config.json"
    text = files.read_json(config).get("network", {}).get("text") if config.is_file() else None
    return (text or {}).get("reads") == "items"


def _rows(destination: Path, made: Path, *, clean: Path, rows: Path, weeks: plan.Weeks, histories: bool) -> int:
    """Retrieve the rows of the weeks that judge, the ranker's of the very user-weeks that the candidate's are of."""
    summary = files.read_json(made / "profiles.json")
    judging = dataclasses.replace(weeks, train=(), last=summary["next"])
    label_weeks = (*judging.validate, *judging.test)
    theirs = pq.read_table(rows / "ranking.parquet", columns=[columns.USER_ID, columns.WEEK])
    theirs = theirs.filter(pc.is_in(theirs[columns.WEEK], pa.array(label_weeks, pa.int64())))
    users = pq.read_table(clean / "users.parquet", columns=[columns.USER_ID])
    split = files.read_json(rows / "split.json") | {"train": []}
    counts = training_set.write(
        made, users, destination, weeks=judging, ranking_weeks=label_weeks,
        windows_days=tuple(summary["windows_days"]), ranked=theirs, ahead=split.get(columns.LABELS_AHEAD, [1])[0],
        histories=histories,
    )  # fmt: skip
    for name in ("target_state", "item_state"):
        table = training_set.state_table(made / f"{name}.parquet", (*label_weeks, judging.last))
        pq.write_table(table, destination / f"{name}.parquet")
    files.copied(made, destination, ["calendar.json", "profiles.json"])
    vocabulary = Vocabulary.load(made / "vocabulary")
    vocabulary.save(destination / "vocabulary")
    if vocabulary.people:
        calendar = Calendar(**files.read_json(made / "calendar.json"))
        edges.write(clean, destination, vocabulary.item_ids, calendar, event=summary["item_event"])
    files.write_json(destination / "split.json", split)
    return sum(counts.values())
