"""The verb `seal`: which logs it brings under the key, and what it says where it cannot."""

from pathlib import Path

import pytest

from bentos.recommender.logs import json_lines
from bentos.recommender.logs.eventlog import EventLog
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError
from feature_repo.privacy import sealing
from pipelines.environment import FOLDER, Installation, place
from pipelines.privacy.seal_logs import seal

KEY = "0c" * 32
EVENT = {"key": "id:1", "user_id": "0123456789abcdef", "item_id": "tea", "timestamp": 7, "created_at": 7}
SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EventLog:
    """An event log of before there was a key, still open."""
    monkeypatch.setenv(sealing.KEYS, "")
    log = EventLog(tmp_path / "state" / "grocery" / "events")
    log.append([EVENT])
    return log


def at(folder: Path, *, keyed: bool) -> Installation:
    environment = folder / "environment.yaml"
    environment.write_text((FOLDER / "local.yaml").read_text() + ("privacy: {key_env: SHOP_KEY}\n" if keyed else ""))
    outside = {"INTENTFLOW_STATE": str(folder / "state"), "SHOP_KEY": KEY}
    return place(SPEC, str(environment), variables=outside)


def test_the_logs_of_the_state_folder_come_under_the_key(plain: EventLog, tmp_path: Path) -> None:
    plain.close()
    found = seal(at(tmp_path, keyed=True))
    (path,) = json_lines.files(plain.folder)
    assert path.read_bytes().startswith(f"~{found.key}:".encode())
    assert found.document() | {"key": ""} == {
        "key": "", "files": 1, "lines": 1, "answers": 0, "open": 0, "open_lines": 0, "not_reached": [],
    }  # fmt: skip
    assert found.text() == f"Sealed     1 lines and 0 answers of 1 files, key {found.key}"
    assert seal(at(tmp_path, keyed=True)).text().startswith("Sealed     nothing: no file of a log is in plain")


def test_while_a_service_appends_it_says_what_stays_in_plain_and_fails(plain: EventLog, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"seal: 1 lines of 1 files are in plain .* stop the service"):
        seal(at(tmp_path, keyed=True))
    plain.close()


def test_without_a_key_there_is_nothing_to_seal_with(plain: EventLog, tmp_path: Path) -> None:
    plain.close()
    with pytest.raises(SpecError, match=r"^local: privacy.key_env names no key, so logs stay in plain"):
        seal(at(tmp_path, keyed=False))
