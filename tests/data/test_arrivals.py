"""A source that grows: what came when, what repeats, and that asking again changes nothing."""

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.data.arrivals import FILE, FOLDER, Record
from components.data.ingest import ingest
from components.data.snapshot import Snapshot
from components.data.spec import Data
from feature_repo import files

KEY = "00" * 16
UTC = dt.UTC
FIRST, SECOND, THIRD = (dt.datetime(2024, 3, day, tzinfo=UTC) for day in (1, 8, 15))
HEAD = "user_id,item_id,timestamp\n"
JANUARY = ["1,tea,2024-01-01T10:00:00Z", "2,tea,2024-01-09T10:00:00Z", "1,milk,2024-01-16T10:00:00Z"]
JANUARY += ["2,milk,2024-01-24T10:00:00Z"]
FEBRUARY = ["2,milk,2024-02-02T10:00:00Z", "1,tea,2024-02-06T10:00:00Z"]
LATE = "3,tea,2024-01-10T12:00:00Z"  # of January, and comes in February's file


class Shop:
    """A folder of daily exports, its state folder, and what ingest makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.tables = folder, folder / "home", folder / "tables"

    def write(self, name: str, lines: list[str], *, head: str = HEAD) -> None:
        """Write one export."""
        (self.folder / name).write_text(head + "".join(f"{line}\n" for line in lines))

    def data(self, **columns: str) -> Data:
        """Declare the exports."""
        source = {"type": "csv", "events": {"path": "day-*.csv", "columns": columns}}
        split = {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}
        return Data.model_validate({"source": source, "split": split})

    def ingest(self, now: dt.datetime, *, clock: str = "wall", accepted: bool = True, **columns: str) -> Snapshot:
        """Ingest, and let the contract have its say."""
        data = self.data(**columns)
        found = ingest(data, self.tables, key=KEY, base=self.folder, now=now, home=self.home, clock=clock)
        files.write_json(self.home / "contract" / "contract.json", {"passed": accepted})
        return found

    @property
    def bytes(self) -> dict[str, bytes]:
        """Every file of the tables."""
        return {path.name: path.read_bytes() for path in sorted(self.tables.iterdir())}


@pytest.fixture
def exports(tmp_path) -> Shop:
    """A shop with January's export."""
    found = Shop(tmp_path)
    found.write("day-1.csv", JANUARY)
    return found


@pytest.fixture
def known(exports, rows):
    """When each event became known: time of the event -> created_at, in order of time."""
    return lambda: [(row["timestamp"], row["created_at"]) for row in rows(exports.tables / "events.parquet")]


def _at(line: str) -> dt.datetime:
    return dt.datetime.fromisoformat(line.rpartition(",")[2])


def test_what_was_there_from_the_start_was_known_when_it_happened(exports, known):
    exports.ingest(FIRST)
    assert known() == [(_at(line), _at(line)) for line in JANUARY]


def test_rows_of_a_later_file_are_appended_and_known_from_then_on(exports, known):
    exports.ingest(FIRST)
    exports.write("day-2.csv", [*FEBRUARY, LATE])
    assert exports.ingest(SECOND).late == 3
    late = {_at(line) for line in (*FEBRUARY, LATE)}
    assert known() == sorted((_at(x), SECOND if _at(x) in late else _at(x)) for x in (*JANUARY, *FEBRUARY, LATE))


def test_on_the_clock_of_the_data_rows_arrive_at_its_new_end(exports, known):
    exports.ingest(FIRST, clock="data_end")
    exports.write("day-2.csv", [*FEBRUARY, LATE])
    exports.ingest(SECOND, clock="data_end")
    assert dict(known())[_at(LATE)] == _at(FEBRUARY[-1])


def test_an_event_that_two_files_bring_is_kept_once(exports, known):
    exports.write("day-2.csv", [JANUARY[-1], *FEBRUARY])
    found = exports.ingest(FIRST)
    assert (found.rows["events"], found.repeats) == (6, 1)
    exports.write("day-3.csv", [*JANUARY, *FEBRUARY])
    assert exports.ingest(SECOND).rows["events"] == 6
    assert all(at == created for at, created in known())


def test_an_event_that_one_file_repeats_is_left_for_the_contract(exports):
    exports.write("day-1.csv", [*JANUARY, JANUARY[0]])
    exports.write("day-2.csv", JANUARY)
    assert exports.ingest(FIRST).rows["events"] == 5


def test_the_same_files_give_the_same_bytes(exports):
    exports.ingest(FIRST)
    exports.write("day-2.csv", [*FEBRUARY, LATE])
    second = exports.ingest(SECOND)
    before, record = exports.bytes, (exports.home / FOLDER / FILE).read_bytes()
    assert exports.ingest(THIRD) == second
    assert exports.bytes == before
    assert (exports.home / FOLDER / FILE).read_bytes() == record


def test_the_digest_tells_when_rows_came(exports, tmp_path):
    exports.ingest(FIRST)
    exports.write("day-2.csv", [LATE])
    grown = exports.ingest(SECOND)
    other = ingest(exports.data(), tmp_path / "other", key=KEY, base=exports.folder, now=SECOND, home=tmp_path / "new")
    assert other.rows == grown.rows
    assert other.digest != grown.digest


def test_a_changed_file_keeps_the_times_of_its_unchanged_rows(exports, known):
    exports.ingest(FIRST)
    exports.write("day-1.csv", [JANUARY[0], JANUARY[1].replace("tea", "milk"), *JANUARY[2:]])
    exports.ingest(SECOND)
    assert known() == [(_at(line), SECOND if line == JANUARY[1] else _at(line)) for line in JANUARY]


def test_a_vanished_file_takes_its_rows_and_brings_them_back_with_their_times(exports, known):
    exports.ingest(FIRST)
    exports.write("day-2.csv", FEBRUARY)
    exports.ingest(SECOND)
    before, text = exports.bytes, (exports.folder / "day-2.csv").read_text()
    (exports.folder / "day-2.csv").unlink()
    assert exports.ingest(THIRD).rows["events"] == 4
    (exports.folder / "day-2.csv").write_text(text)
    exports.ingest(THIRD)
    assert exports.bytes == before


def test_until_the_contract_has_let_data_through_nothing_is_late(exports, known):
    exports.ingest(FIRST, accepted=False)
    exports.write("day-1.csv", [line.replace("tea", "green tea") for line in JANUARY])
    exports.ingest(SECOND)
    assert all(at == created for at, created in known())


def test_times_of_the_source_stand(exports, known):
    head, own = "user_id,item_id,timestamp,created_at\n", "2024-02-20T00:00:00Z"
    exports.write("day-1.csv", [f"{line},{own}" for line in JANUARY], head=head)
    exports.ingest(FIRST)
    exports.write("day-2.csv", [f"{line}," for line in FEBRUARY], head=head)
    exports.ingest(SECOND)
    assert {created for _, created in known()[:4]} == {dt.datetime.fromisoformat(own)}
    assert all(at == created for at, created in known()[4:])


def test_a_spec_can_say_that_all_rows_were_known_when_they_happened(exports, known):
    exports.ingest(FIRST, created_at="timestamp")
    exports.write("day-2.csv", [LATE])
    exports.ingest(SECOND, created_at="timestamp")
    assert all(at == created for at, created in known())


def test_read_in_another_way_the_source_starts_anew(exports, known):
    exports.ingest(FIRST)
    exports.ingest(SECOND, event="item_id")
    assert all(at == created for at, created in known())
    assert len(list((exports.home / FOLDER).glob("*.parquet"))) == 1


def test_the_record_holds_no_ids(exports):
    exports.write("day-1.csv", [line.replace("1,", "ann@example.org,", 1) for line in JANUARY])
    exports.ingest(FIRST)
    for path in (exports.home / FOLDER).iterdir():
        assert b"ann" not in path.read_bytes()


KILLED = """
import datetime as dt, sys, time
from pathlib import Path
from components.data import arrivals
from tests.data.test_arrivals import Shop, SECOND
from feature_repo import files
written = files.write_json
def waits(path, value):
    if path.name == arrivals.FILE:
        print("now", flush=True)
        time.sleep(60)
    written(path, value)
files.write_json = waits
Shop(Path(sys.argv[1])).ingest(SECOND)
"""


@pytest.mark.process
def test_killed_before_the_record_is_written_nothing_was_delivered(exports, known):
    exports.ingest(FIRST)
    before = exports.bytes
    exports.write("day-2.csv", [*FEBRUARY, LATE])
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(exports.folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert exports.bytes == before
    reading = files.read_json(exports.home / FOLDER / FILE)["reading"]
    assert len(Record.load(exports.home, reading).deliveries) == 1
    exports.ingest(THIRD)
    assert dict(known())[_at(LATE)] == THIRD
    assert not list((exports.home / FOLDER).glob(".*.part"))
