"""Files of days that are over become one; however often that is killed, every answer is read once."""

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_repo.errors import ServerError
from feature_repo.logs import request_log, shipped_log
from feature_repo.logs.object_store import opened, reached
from pipelines.jobs.merge import MergeReport, merge
from tests.pipelines.jobs.conftest import NOW, Killed, answer, closed, mortal

POD = "recommender-0a1b2c3d4e5f-7d9f8b6c5-{}"


def here(folder):
    """Three files of a day that is over, one of today."""
    closed(folder, "2026-03-08.00000.parquet", [answer(n) for n in range(4)])
    closed(folder, "2026-03-08.00001.parquet", [answer(n) for n in range(4, 6)])
    closed(folder, "2026-03-08.00003.parquet", [answer(n, user="bo") for n in range(6, 11)])
    closed(folder, "2026-03-10.00000.parquet", [answer(0, day="2026-03-10")])
    return sorted([f"2026-03-08-{n}" for n in range(11)] + ["2026-03-10-0"])


def fleet(folder):
    """Two pods of a service and a third of another, on two days."""
    closed(folder / POD.format("aaaaa"), "2026-03-08.00000.parquet", [answer(n) for n in range(3)])
    closed(folder / POD.format("aaaaa"), "2026-03-09.00000.parquet", [answer(0, day="2026-03-09")])
    closed(folder / POD.format("bbbbb"), "2026-03-08.00000.parquet", [answer(n) for n in range(3, 5)])
    closed(folder / "recommender-other-7d9f8b6c5-ccccc", "2026-03-08.00000.parquet", [answer(9)])
    return [
        "2026-03-08-0",
        "2026-03-08-1",
        "2026-03-08-2",
        "2026-03-08-3",
        "2026-03-08-4",
        "2026-03-08-9",
        "2026-03-09-0",
    ]


def ids(found):
    return sorted(line["request_id"] for line in found)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_day_that_is_over_becomes_one_file_with_the_answers_as_they_were(tmp_path):
    expected = here(tmp_path)
    before = {line["request_id"]: line for line in request_log.read(tmp_path)}
    assert merge(opened(str(tmp_path)), now=NOW, settle_hours=2) == MergeReport(days=1, files=3, answers=11)
    assert names(tmp_path) == ["2026-03-08.day.parquet", "2026-03-10.00000.parquet"]
    after = list(request_log.read(tmp_path))
    assert ids(after) == expected
    assert {line["request_id"]: line for line in after} == before
    assert request_log.table(tmp_path, names=["request_id"]).num_rows == 12
    assert pq.read_metadata(tmp_path / "2026-03-08.day.parquet").num_row_groups == 1
    assert merge(opened(str(tmp_path)), now=NOW, settle_hours=2) == MergeReport()


def test_a_day_waits_until_it_has_settled(tmp_path):
    closed(tmp_path, "2026-03-09.00000.parquet", [answer(0, day="2026-03-09")])
    midnight = dt.datetime(2026, 3, 10, 1, 59, tzinfo=dt.UTC)
    assert merge(opened(str(tmp_path)), now=midnight, settle_hours=2).days == 0
    assert merge(opened(str(tmp_path)), now=midnight + dt.timedelta(minutes=2), settle_hours=2).days == 1


def test_pods_of_a_service_share_a_file_a_day_in_a_store(tmp_path):
    expected = fleet(tmp_path)
    assert merge(opened(f"file://{tmp_path}"), now=NOW, settle_hours=2) == MergeReport(days=3, files=4, answers=7)
    assert names(tmp_path) == [
        "_days/recommender-0a1b2c3d4e5f/2026-03-08.day.parquet",
        "_days/recommender-0a1b2c3d4e5f/2026-03-09.day.parquet",
        "_days/recommender-other/2026-03-08.day.parquet",
    ]
    assert ids(shipped_log.read(opened(f"file://{tmp_path}"))) == expected


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("world", [here, fleet])
def test_no_answer_is_lost_or_doubled_wherever_it_is_killed(tmp_path, world, after):
    killed = 0
    for left in range(30):
        folder = tmp_path / str(left)
        expected = world(folder)
        everything = (
            (lambda f: ids(request_log.read(f))) if world is here else (lambda f: ids(shipped_log.read(opened(str(f)))))
        )
        try:
            merge(mortal(folder, left=left, after=after), now=NOW, settle_hours=2)
        except Killed:
            killed += 1
            assert everything(folder) == expected
            if world is here:
                assert sorted(request_log.table(folder, names=["request_id"])["request_id"].to_pylist()) == expected
            merge(opened(str(folder)), now=NOW, settle_hours=2)
        assert everything(folder) == expected
        assert not [name for name in names(folder) if name.endswith(".part")]
        assert len(names(folder)) == (2 if world is here else 3)
    assert killed == (6 if world is here else 13)


def test_a_file_that_is_shipped_again_after_its_day_was_merged_doubles_nothing(tmp_path):
    expected = fleet(tmp_path)
    store = opened(str(tmp_path))
    merge(store, now=NOW, settle_hours=2)
    again = [answer(n) for n in range(3)]
    closed(tmp_path / POD.format("aaaaa"), "2026-03-08.00000.parquet", again)  # the door restarted
    assert ids(shipped_log.read(store)) == expected
    assert merge(store, now=NOW, settle_hours=2) == MergeReport(days=0, files=1, answers=0)
    closed(tmp_path / POD.format("aaaaa"), "2026-03-08.00000.parquet", [answer(77)])  # the name was used again
    assert merge(store, now=NOW, settle_hours=2) == MergeReport(days=1, files=1, answers=1)
    assert ids(shipped_log.read(store)) == sorted([*expected, "2026-03-08-77"])


def test_a_reader_whose_files_are_merged_under_it_reads_every_answer_once(tmp_path):
    expected = here(tmp_path)
    reading = request_log.read(tmp_path)
    first = [next(reading) for _ in range(5)]
    merge(opened(str(tmp_path)), now=NOW, settle_hours=2)
    assert ids([*first, *reading]) == expected
    fleet(tmp_path / "store")
    reading = shipped_log.read(opened(str(tmp_path / "store")))
    first = [next(reading)]
    merge(opened(str(tmp_path / "store")), now=NOW, settle_hours=2)
    assert len(ids([*first, *reading])) == 7


def test_a_file_that_changes_while_it_is_merged_stays(tmp_path, monkeypatch):
    closed(tmp_path, "2026-03-08.00000.parquet", [answer(0)])
    store = opened(str(tmp_path))
    looked = []

    def still():
        if not looked:  # after the listing, before the merge
            closed(tmp_path, "2026-03-08.00000.parquet", [answer(0), answer(1)])
        looked.append(1)

    assert merge(store, now=NOW, settle_hours=2, still=still).files == 0
    assert ids(request_log.read(tmp_path)) == ["2026-03-08-0", "2026-03-08-1"]
    assert merge(store, now=NOW, settle_hours=2).files == 1
    assert ids(request_log.read(tmp_path)) == ["2026-03-08-0", "2026-03-08-1"]


def test_only_the_columns_that_are_asked_for_are_read_and_newest_days_come_first(tmp_path):
    fleet(tmp_path)
    found = list(shipped_log.read(opened(str(tmp_path)), names=[*request_log.KEY, "user_id"], newest_first=True))
    assert set(found[0]) == {*request_log.KEY, "user_id"}
    assert found[0]["request_id"] == "2026-03-09-0"


def test_a_store_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "store").write_text("a file")
    with (
        pytest.raises(ServerError, match=r"^requests\.url: file:.*store"),
        reached(f"file://{tmp_path}/store") as store,
    ):
        list(shipped_log.read(store))
    with pytest.raises(ServerError, match=r"^requests\.url: what://x"), reached("what://x"):
        pass


def test_the_log_goes_on_in_a_folder_whose_day_was_merged(tmp_path):
    from bentos.recommender.logs.json_lines import Lines

    closed(tmp_path, "2026-03-08.day.parquet", [answer(0)])
    lines = Lines(tmp_path, today=lambda: "2026-03-08")  # a clock that was set back
    lines.append(b"{}")
    lines.close()
    assert names(Path(tmp_path)) == ["2026-03-08.00000.jsonl", "2026-03-08.day.parquet"]


def test_tables_come_newest_file_first_and_hold_each_answer_once(tmp_path):
    expected = here(tmp_path)
    found = [one["request_id"].to_pylist() for one in request_log.tables(tmp_path, names=["request_id"])]
    assert [some[0] for some in found] == ["2026-03-10-0", "2026-03-08-6", "2026-03-08-4", "2026-03-08-0"]
    assert sorted(name for some in found for name in some) == expected
    kept = (tmp_path / "2026-03-08.00003.parquet").read_bytes()
    merge(opened(str(tmp_path)), now=NOW, settle_hours=2)
    (tmp_path / "2026-03-08.00003.parquet").write_bytes(kept)  # the merge was killed before it deleted this one
    again = [one["request_id"].to_pylist() for one in request_log.tables(tmp_path, names=["request_id"])]
    assert again[0] == ["2026-03-10-0"]
    assert sorted(name for some in again for name in some) == expected
    newest = (tmp_path / "2026-03-10.00000.parquet").stat().st_mtime
    assert list(request_log.tables(tmp_path, names=["request_id"], since_s=newest + 60)) == []
