"""What users wrote, where the spec keeps it: the same in training rows, in the store and after a push."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from components.profiles.online import materialise
from feature_repo import columns, event_lists, masks
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.rows import UserRows
from feature_repo.update import Event
from tests import worlds
from tests.profiles.conftest import RANKING, SPLIT, Made

pytestmark = pytest.mark.world
PROFILES = {"windows_days": [7, 28, 91], "segments": {"k": 2}}


def texts(rows: UserRows, b: int) -> list[str]:
    return event_lists.texts_of(*(rows.lists[name].row(b) for name in columns.EVENT_TEXT_LISTS))


def written(told: Made, user: str, *, before: float) -> list[str]:
    """Return what a user wrote at the last events before an instant, in the order of a memory."""
    mine = [
        (int(event[columns.TIMESTAMP].timestamp()), event["session_id"], event["item_id"], event[columns.TEXT] or "")
        for event in pq.read_table(told.clean / "events.parquet").to_pylist()
        if event["user_id"] == user and event[columns.TIMESTAMP].timestamp() < before
    ]
    return [text for *_, text in sorted(mine)][-columns.MEMORY_EVENTS :]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return the checkerboard's folders, every third event with a text that tells its instant."""
    folder, world = tmp_path_factory.mktemp("texts"), worlds.checkerboard(users=6)
    made = Made(world, world.write(folder / "clean"), folder / "profiles", folder / "rows")
    path = made.clean / "events.parquet"
    events = pq.read_table(path)
    at = [int(instant.timestamp()) for instant in events[columns.TIMESTAMP].to_pylist()]
    said = [masks.written(f"said {seconds // 60 % 997}") if n % 3 == 0 else None for n, seconds in enumerate(at)]
    pq.write_table(events.append_column(columns.TEXT, pa.array(said, pa.string())), path)
    profiles = json.dumps(PROFILES | {"memory": columns.OF_TEXTS})
    steps.run_profiles(profiles, SPLIT, json.dumps(worlds.VOCABULARY), clean=made.clean, destination=made.profiles)
    steps.run_training_set(SPLIT, RANKING, clean=made.clean, profiles=made.profiles, destination=made.rows)
    return made


def test_a_training_row_holds_what_was_written_before_its_week(told: Made) -> None:
    table = pq.read_table(told.rows / "intent.parquet")
    rows = UserRows.from_arrow(table.drop(["week", "label_ids"]))
    for b in range(0, table.num_rows, 5):
        assert texts(rows, b) == written(told, rows.user_id[b], before=rows.now[b])
    assert any(any(texts(rows, b)) for b in range(len(rows)))


@pytest.mark.usefixtures("own_store")
def test_the_store_holds_them_and_a_push_adds_to_them(told: Made) -> None:
    steps.run_materialise("world", profiles=told.profiles, release_version="1")
    folds, user = materialise.folding(told.profiles), told.world.users[2]
    assert (folds.events, folds.texts) == (True, True)
    profiles, end = OnlineProfiles.open("world", folds), int(materialise.data_end(told.profiles).timestamp())
    before = texts(profiles.read([user], now=end), 0)
    assert before == written(told, user, before=end)
    profiles.push_all({user: [Event("i1", "review", end + 5, "new", text="far too sweet")]})
    assert texts(profiles.read([user], now=end + 9), 0) == [*before, "far too sweet"][-columns.MEMORY_EVENTS :]
    new = profiles.read(["nobody"], now=end)
    assert texts(new, 0) == []
    profiles.push_all({"nobody": [Event("i1", "search", end + 7, "s", text="dry wine")]})
    assert texts(profiles.read(["nobody"], now=end + 9), 0) == ["dry wine"]
