"""Which items users had, for rows of a run whose spec reads none: what sides that read text are judged on."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from components.intent.examples import Examples
from components.profiles.training import training_set
from feature_repo import columns, files, services
from feature_repo.online import feast_store
from feature_repo.rows import UserRows

AT_ONCE = 50_000  # rows that are retrieved together: bounds memory


def added(examples: Examples, profiles: Path) -> Examples:
    """Return examples whose rows hold the items of users' pasts, as known at their cutoffs."""
    rows = examples.rows
    if all(name in rows.lists for name in columns.TOLD_LISTS):
        return examples
    windows = tuple(files.read_json(profiles / "profiles.json")["windows_days"])
    people = examples.vocabulary.people
    parts = []
    with feast_store.offline("bench", profiles, windows_days=windows, people=people) as feast:
        for start in range(0, len(rows), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            wanted = training_set.Entities(pa.array(rows.user_id[some], pa.string()), examples.week[some])
            table = training_set.retrieve(feast, services.RANKING, wanted, examples.calendar)
            kept = [columns.USER_ID, "now", columns.STATE_AT, *columns.TOLD_LISTS]
            parts.append(UserRows.from_arrow(table.select(kept)))
    found = parts[0]
    for part in parts[1:]:
        found = UserRows.joined(found, part)
    return replace(examples, rows=replace(rows, lists={**rows.lists, **found.lists}))
