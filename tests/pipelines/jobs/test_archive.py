"""Old files of the event log are compressed and read as before; forgetting and renaming reach them, and parquet too."""

import datetime as dt
import json

import pytest

from bentos.recommender.logs import json_lines, renaming, trace_people, traces
from bentos.recommender.logs.eventlog import EventLog
from feature_repo import files
from feature_repo.logs import request_log
from feature_repo.logs.object_store import opened
from pipelines.answers import offline_rows
from pipelines.jobs import archive
from pipelines.jobs.merge import merge
from tests.pipelines.jobs.conftest import NOW, answer, closed

ANA, BO = "a" * 16, "b" * 16
PEOPLE = trace_people.People(("raw-ana-1",), (ANA,))


def events(folder, day="2026-01-05"):
    """Two people's events of a day, one of them never folded."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [
        {"key": f"k{n}", "user_id": user, "item_id": "soup", "timestamp": n} for n, user in enumerate((ANA, BO, ANA))
    ]
    text = [json.dumps(line, separators=(",", ":")) for line in [*found, {"folded": ["k0", "k1"]}]]
    (folder / f"{day}.00000.jsonl").write_text("\n".join(text) + "\n")
    return folder


def test_old_closed_files_are_compressed_and_every_reader_sees_the_same(tmp_path):
    folder = events(tmp_path / "events")
    events(folder, day="2026-03-09")
    before = offline_rows.accepted(folder)
    assert archive.compress(folder, now=NOW, after_days=30) == 1
    assert sorted(p.name for p in folder.iterdir()) == ["2026-01-05.00000.jsonl.gz", "2026-03-09.00000.jsonl"]
    assert offline_rows.accepted(folder) == before
    log = EventLog(folder)
    assert (log.unfolded, [e["key"] for e in log.unseen([{"key": "k0"}, {"key": "k9"}])]) == (1, ["k9"])
    log.close()
    assert archive.compress(folder, now=NOW, after_days=30) == 0
    assert archive.compress(folder, now=NOW, after_days=0) == 0


def test_a_file_that_is_written_to_is_left_alone(tmp_path):
    log = json_lines.Lines(tmp_path, today=lambda: "2026-01-05")
    log.append(b'{"key":"k"}')
    assert archive.compress(tmp_path, now=NOW, after_days=30) == 0
    log.close()
    assert archive.compress(tmp_path, now=NOW, after_days=30) == 1


@pytest.mark.parametrize("dies", ["replace", "unlink"])
def test_a_kill_loses_no_event(tmp_path, monkeypatch, dies):
    folder = events(tmp_path / "events")
    before = offline_rows.accepted(folder)

    class Killed(BaseException):
        pass

    def die(*_arguments, **_options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", die) if dies == "replace" else patch.setattr(
            archive.Path, "unlink", lambda self, missing_ok=False: die() if self.suffix == ".jsonl" else None
        )
        with pytest.raises(Killed):
            archive.compress(folder, now=NOW, after_days=30)
    assert offline_rows.accepted(folder) == before
    archive.compress(folder, now=NOW, after_days=30)
    assert offline_rows.accepted(folder) == before
    assert [p.name for p in folder.glob("2026*")] == ["2026-01-05.00000.jsonl.gz"]


def logs(home):
    """Both logs of a state folder, merged and compressed."""
    requests = home / "requests"
    closed(requests, "2026-03-08.00000.parquet", [answer(n, user=ANA if n % 2 else BO) for n in range(6)])
    closed(requests, "2026-03-10.00000.parquet", [answer(9, day="2026-03-10", user=ANA)])
    merge(opened(str(requests)), now=NOW, settle_hours=2)
    archive.compress(events(home / "events"), now=NOW, after_days=30)
    return requests, home / "events"


def test_forgetting_takes_a_person_out_of_merged_and_compressed_files(tmp_path):
    requests, folder = logs(tmp_path)
    assert sum(traces.find([tmp_path], PEOPLE).hits.values()) >= 6
    traces.mask_keys(folder, PEOPLE)
    for path in list(traces.walk([tmp_path])):
        traces.clean(path, PEOPLE)
    assert not traces.find([tmp_path], PEOPLE).hits
    assert [line["user_id"] for line in request_log.read(requests)] == [BO] * 3
    left = [line for path in json_lines.files(folder) for line in json_lines.read(path)]
    assert [line["key"] for line in left if "key" in line] == ["k1"]
    assert [line["folded"] for line in left if "folded" in line] == [["xx", "k1"]]


def test_renaming_reaches_merged_and_compressed_files_and_drops_who_is_unknown(tmp_path):
    requests, folder = logs(tmp_path)
    new = {ANA.encode(): b"c" * 16, BO.encode(): None}
    counts = [renaming.replace_users(path, new.get) for path in [*requests.iterdir(), *folder.iterdir()]]
    assert (sum(c[0] for c in counts), sum(c[1] for c in counts)) == (3 + 1 + 2, 3 + 1)
    assert {line["user_id"] for line in request_log.read(requests)} == {"c" * 16}
    assert list(offline_rows.accepted(folder)) == ["c" * 16]


def test_a_closed_parquet_file_of_the_request_log_is_forgotten_and_renamed_row_by_row(tmp_path):
    path = closed(
        tmp_path / "requests",
        "2026-03-08.00000.parquet",
        [answer(n, user=ANA) for n in range(2)] + [answer(5, user=BO)],
    )
    assert renaming.replace_users(path, {ANA.encode(): b"d" * 16, BO.encode(): BO.encode()}.get) == (2, 0)
    assert sorted(line["user_id"] for line in request_log.read_file(path)) == [BO, "d" * 16, "d" * 16]
    assert traces.clean(path, trace_people.People((), ("d" * 16,))) == 2
    assert [line["request_id"] for line in request_log.read_file(path)] == ["2026-03-08-5"]
    assert dt.datetime.fromisoformat(next(iter(request_log.read_file(path)))["logged_at"]).tzinfo is not None
