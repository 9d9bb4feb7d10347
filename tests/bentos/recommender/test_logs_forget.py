"""A door's own logs, cleaned where they lie: by raw ids from standard input, with a count of what is left."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bentos.recommender.logs import forget
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import KEY, PREVIOUS, pseudonym

NOW, BEFORE = "0a" * 16, "0b" * 16
ANN, BOB = "raw-user-7f3a-ann", "bob"
GIVEN = {KEY: NOW, PREVIOUS: BEFORE}


def written(home: Path) -> None:
    """Write the logs of one door: an open segment, a closed file, events and the note that they were folded."""
    (home / "requests").mkdir(parents=True)
    (home / "events").mkdir()
    names = [pseudonym(user, key) for user in (ANN, BOB) for key in (NOW, BEFORE)]
    lines = [f'{{"user_id":"{name}"}}' for name in names]
    (home / "requests" / "2024-01-02.00000.jsonl").write_text("\n".join(lines) + "\n")
    users = [pseudonym(user, NOW) for user in (ANN, BOB, ANN)]
    pq.write_table(pa.table({"user_id": users}), home / "requests" / "2024-01-01.00000.parquet")
    event = {"key": "k-ann", "user_id": pseudonym(ANN, NOW)}
    (home / "events" / "2024-01-01.00000.jsonl").write_text(
        json.dumps(event, separators=(",", ":")) + '\n{"folded":["k-ann","k-bob"]}\n'
    )


def test_half_a_file_of_a_killed_process_goes_as_nobody_can_look_into_it(tmp_path: Path) -> None:
    written(tmp_path)
    gone = 2**22 + 1  # beyond what Linux numbers processes by
    half = tmp_path / "requests" / f".2024-01-02.00000.parquet.{gone}.part"
    half.write_bytes(b"PAR1, and a person under zstd")
    assert forget.forget(tmp_path, [ANN], (NOW, BEFORE))["left"] == 0
    assert not half.exists()


def test_a_doors_logs_lose_the_person_and_keep_everybody_else(tmp_path: Path) -> None:
    written(tmp_path)
    assert forget.forget(tmp_path, [ANN], (NOW, BEFORE)) == {"files": 3, "removed": 5, "left": 0}
    text = (tmp_path / "requests" / "2024-01-02.00000.jsonl").read_text()
    assert pseudonym(BOB, NOW) in text
    assert pseudonym(ANN, BEFORE) not in text
    assert pq.read_table(tmp_path / "requests" / "2024-01-01.00000.parquet")["user_id"].to_pylist() == [
        pseudonym(BOB, NOW)
    ]
    assert '"k-bob"' in (tmp_path / "events" / "2024-01-01.00000.jsonl").read_text()
    assert "k-ann" not in (tmp_path / "events" / "2024-01-01.00000.jsonl").read_text()
    assert forget.forget(tmp_path, [ANN], (NOW, BEFORE))["removed"] == 0


def test_a_volume_with_the_folders_of_many_pods_is_looked_through(tmp_path: Path) -> None:
    for pod in ("recommender-1a", "recommender-2b"):
        written(tmp_path / pod)
    assert forget.forget(tmp_path, [ANN], (NOW, BEFORE)) == {"files": 6, "removed": 10, "left": 0}


def test_what_cannot_be_read_is_left_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path)
    monkeypatch.setattr(forget.traces, "clean", lambda path, people: 0)
    assert forget.main([str(tmp_path)], io.StringIO(f"{ANN}\n"), GIVEN) == 1
    assert json.loads(capsys.readouterr().out)["left"] == 3


MISTAKES = [("\n", ".", "no user ids"), ("ann\n", "nowhere", "no such folder")]


@pytest.mark.parametrize(("ids", "folder", "said"), MISTAKES)
def test_bad_input_is_one_line(tmp_path: Path, ids: str, folder: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        forget.main([str(tmp_path / folder)], io.StringIO(ids), GIVEN)


@pytest.mark.process
def test_the_command_takes_ids_from_standard_input_and_needs_no_pipeline(tmp_path: Path) -> None:
    written(tmp_path)
    command = [sys.executable, "-m", "bentos.recommender.logs.forget"]
    world = os.environ | GIVEN | {"INTENTFLOW_HOME": str(tmp_path)}
    done = subprocess.run(command, input=f"{ANN}\n", env=world, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"files": 3, "removed": 5, "left": 0})
    refused = subprocess.run(command, input="", env=world, capture_output=True, text=True, check=False)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
