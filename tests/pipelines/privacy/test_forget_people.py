"""Forgetting where items are people, from the first run to the door: one whom the release learnt, one who came later.

Slow, since it runs a whole demo and a service; what each part does is tested in seconds elsewhere.
"""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from benchmarks import servers
from bentos.client import Recommender, Unanswered
from bentos.endpoints.schemas import Event
from feature_repo.documents.changes import PERSON
from feature_repo.documents.log import Snapshot
from feature_repo.documents.opened import document_log
from feature_repo.ids import is_erased
from feature_repo.privacy.pseudonyms import KEY, pseudonym
from feature_repo.vocabulary import Vocabulary
from pipelines.answers.explain import why
from pipelines.answers.parity import parity
from pipelines.environment import FOLDER, Installation, place
from pipelines.jobs import run
from pipelines.privacy import rotate_key
from pipelines.releases import release, serving
from pipelines.releases.release import variables
from tests import people_worlds
from tests.pipelines.conftest import RAW, Shop
from tests.pipelines.privacy.test_forget import hidden, holding, intentflow

LEARNT, LATER, STAYS = f"{RAW}p03", f"{RAW}p24", f"{RAW}p00"
SPEC = {
    "apiVersion": "intentflow/v1",
    "kind": "Recommender",
    "name": "shop",
    "data": {
        "source": {
            "type": "csv",
            "events": {"path": "messages.csv", "columns": {"user_id": "src", "item_id": "dst", "timestamp": "at"}},
            "items": {"from": "users"},
        },
        "split": {"warmup_weeks": 3, "validate_weeks": 2, "test_weeks": 3},
    },
    "profiles": {"windows_days": [7, 28], "segments": {"method": "kmeans", "k": 2}},
    "intents": [{"name": "message", "event": "event"}],
    "models": {
        "intent": {"width": 8, "layers": 1, "epochs": 1},
        "ranking": {"min_item_sessions": 1, "min_item_users": 1, "repeat": "forbid", "epochs": 1, "width": 8},
    },
    "promotion": {"gates": [{"metric": "ranking.ndcg_at_10", "limit": 0.0, "min_rows": 1, "min_users": 1}]},
}


def written(folder: Path) -> Shop:
    """Write a network's messages and its spec, and an environment whose job brings who came later."""
    with (folder / "messages.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["src", "dst", "at"])
        for e in people_worlds.newcomers().events:
            rows.writerow([f"{RAW}{e['user_id']}", f"{RAW}{e['item_id']}", e["timestamp"].isoformat()])  # type: ignore[attr-defined]
    (folder / "shop.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    environment = yaml.safe_load((FOLDER / "local.yaml").read_text()) | {"jobs": {"materialise": {"later_items": 20}}}
    (folder / "bringing.yaml").write_text(yaml.safe_dump(environment))
    return Shop(folder)


def opened(shop: Shop) -> Installation:
    return place(shop.spec, str(shop.folder / "bringing.yaml"), variables=shop.environment())


def shown(client: Recommender, user: str) -> list[str]:
    return [one.item_id for one in client.recommend(user, k=25).items]


def gone(client: Recommender, item: str) -> bool:
    try:
        client.explain(STAYS, item)
    except Unanswered as refused:
        return "is no item" in str(refused)
    return False


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.timeout(1500)
def test_from_the_first_run_to_the_door_who_is_forgotten_is_shown_to_nobody(tmp_path: Path) -> None:
    shop = written(tmp_path)
    done = shop.run("demo", str(shop.spec), "--user", STAYS, timeout=900)
    assert done.returncode == 0, done.stderr
    here, names = opened(shop), {raw: hidden(shop, raw) for raw in (LEARNT, LATER, STAYS)}
    assert run.run(here, "materialise").counts["later_people"] >= 2
    released = release.release(here)
    with serving.asked(here, released) as url, Recommender(url) as client:
        before = shown(client, STAYS)
        assert names[LATER] in before, "who came after training is recommended, without one"
        assert names[STAYS] not in before
        follow = Event.model_validate({"user_id": f"{RAW}p07", "item_id": names[LATER], "event": "event"})
        assert names[LATER] in shown(client, f"{RAW}p07")
        assert client.events([follow]).accepted == 1
        assert names[LATER] not in shown(client, f"{RAW}p07")
        assert parity(here)["passed"], parity(here)
        told = intentflow(shop, "forget", str(shop.spec), "--user", LEARNT, "--user", LATER, "--json")
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["removed"]["online store, documents that name them"] > 0
        for raw in (LEARNT, LATER):
            assert names[raw] not in {one for n in range(10) for one in shown(client, f"{RAW}p0{n}")}
            assert gone(client, raw)
            assert gone(client, names[raw])
    for name in (LEARNT, LATER, names[LEARNT], names[LATER]):
        assert holding(shop, name) == set()
    found = parity(here)
    assert found["passed"], found["reason"]
    answer = why(here, user=STAYS)
    assert answer["items"]
    assert not {names[LEARNT], names[LATER]} & {item["item_id"] for item in answer["items"]}
    words = Vocabulary.load(released.folder / "ranking" / "vocabulary")
    assert sum(map(is_erased, words.item_ids)) == 1, "the row of whom the release learnt is empty"
    with variables(here):
        log = document_log("shop")
    assert not {names[LEARNT], names[LATER]} & log.people()
    assert run.run(here, "materialise").outcome == "done"
    with variables(here):
        assert not {names[LEARNT], names[LATER]} & document_log("shop").people()
    with serving.asked(here, release.release(here)) as url, Recommender(url) as client:  # from the emptied release
        everyone = {one for n in range(10) for one in shown(client, f"{RAW}p0{n}")}
        assert not {names[LEARNT], names[LATER]} & everyone
        assert not [one for one in everyone if is_erased(one)]


def test_a_change_of_keys_takes_people_of_the_old_key_out_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv(KEY, "0b" * 16)
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(str(tmp_path / "registry.db"), store))
    old, new, other = pseudonym("ann", "0a" * 16), pseudonym("ann", "0b" * 16), pseudonym("bob", "0b" * 16)
    log = document_log("people")
    said = {one: {"as_person": {"by": [[tie, "", 1]], "to": []}} for one, tie in ((old, old[::-1]), (new, other))}
    at = people_worlds.newcomers().calendar.start(1)
    log.put(PERSON, list(said.items()), who="job", at=at, after=Snapshot())
    here = cast(Any, SimpleNamespace(spec=SimpleNamespace(name="people"), home=tmp_path))
    assert rotate_key._drop_users(here, {new, other}, current="k") == 0
    assert log.people() == {new, other}
    assert old.encode() not in (tmp_path / "online.db").read_bytes()
