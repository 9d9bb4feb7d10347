"""Event memories as they were known at training cutoffs: what a model of sequences trains on, through Feast.

`profiles.memory: training` keeps them; the newest rows have theirs in any case (docs/online.md). Nothing is trained
here, and the models of today read none.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.profiles.training import training_set
from feature_repo import columns, files, memory, services
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.online import feast_store

TRAINING = columns.OF_TRAINING


def retrieve(profiles: Path, wanted: training_set.Entities, *, windows_days: tuple[float, ...]) -> pa.Table:
    """Return user_id, week, now and the memory as known at the start of each pair's week, in the order of `wanted`.

    A pair without any event before its week has the empty memory.
    """
    kept = files.read_json(profiles / "profiles.json").get(columns.MEMORY, "")
    if kept not in (TRAINING, columns.OF_TEXTS):
        raise DataError(
            f"{profiles}: event memories are kept of {kept or 'no'} rows only, so those of training weeks would all be "
            f"empty; set profiles.memory: {TRAINING} and run again"
        )
    calendar = Calendar(**files.read_json(profiles / "calendar.json"))
    with feast_store.offline(TRAINING, profiles, windows_days=windows_days) as feast:
        table = training_set.retrieve(feast, services.MEMORY, wanted, calendar)
    place = table.schema.get_field_index(columns.MEMORY)
    return table.set_column(place, columns.MEMORY, pc.fill_null(table[columns.MEMORY], memory.EMPTY))
