"""`forget` where items are people: which vocabularies of an environment's folders it empties rows of, and when not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bentos.recommender.logs import trace_people, traces
from feature_repo import signing
from pipelines.privacy.removal import Removal
from tests.feature_repo.test_erasure import ANN, BOB, release, signer, words

PEOPLE = trace_people.People((), (BOB,))


def removal(home: Path) -> Removal:
    away = SimpleNamespace(artifacts="", tracking_uri="http://mlflow")
    environment = SimpleNamespace(mlflow=away, evidently="", feast=SimpleNamespace(online_store={}))
    return Removal(cast(Any, SimpleNamespace(home=home, environment=environment)), PEOPLE, (), lambda stage: None)


@pytest.fixture(autouse=True)
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (signing.KEY, signing.PUBLIC):
        monkeypatch.delenv(name, raising=False)


def test_every_vocabulary_below_the_state_folder_is_emptied_once(tmp_path: Path) -> None:
    release(tmp_path / "models" / "r1")  # what the service loads
    words().save(tmp_path / "runs" / "one" / "profiles" / "vocabulary")
    found = removal(tmp_path)
    gone = found._item_tables(traces.find([tmp_path], PEOPLE))
    assert gone == {
        "models/r1/intent/vocabulary": 3,
        "models/r1/ranking/vocabulary": 3,
        "runs/one/profiles/vocabulary": 3,
    }
    assert traces.find([tmp_path], PEOPLE).item_tables == []
    assert found._item_tables(traces.find([tmp_path], PEOPLE)) == {}
    assert BOB not in traces.items_named([tmp_path])
    assert ANN in traces.items_named([tmp_path])


def test_without_the_key_that_signs_releases_tables_stay_and_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = signer()
    monkeypatch.setenv(signing.PUBLIC, mine.public)
    release(tmp_path / "models" / "r1", mine)
    assert removal(tmp_path)._item_tables(traces.find([tmp_path], PEOPLE)) == {}
    assert len(traces.find([tmp_path], PEOPLE).item_tables) == 6
    monkeypatch.setenv(signing.KEY, "11" * 32)
    assert len(removal(tmp_path)._item_tables(traces.find([tmp_path], PEOPLE))) == 2
    assert traces.find([tmp_path], PEOPLE).item_tables == []
