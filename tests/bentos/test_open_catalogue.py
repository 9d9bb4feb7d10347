"""Two real doors over one store: an item put by HTTP is recommended before training, a killed door loses nothing."""

import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests

from bentos import keys, wire
from bentos.build import build
from bentos.client import Recommender, Unanswered
from bentos.endpoints.items import ItemChange
from bentos.endpoints.rules import LiveRule, RulePreview
from bentos.http.headers import CATALOGUE
from bentos.http.problems import Rejected
from bentos.ranking.service import load
from bentos.recommender.logs import requestlog
from bentos.recommender.service import folding
from bentos.release import INTENT, RANKING, Release
from bentos.remote import CatalogueAway, Remote, RemoteRanker
from bentos.serve import Serving, serve
from components.intent.score import IntentScorer
from components.ranking import open_catalogue
from components.ranking.score import Ranker
from feature_repo.documents.changes import ITEM, Change, Entry, newest_of
from feature_repo.documents.log import Snapshot
from feature_repo.documents.shelf import Head
from feature_repo.live_items import live
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.privacy.pseudonyms import pseudonym
from tests.bentos import toy
from tests.patience import patient

# Three starts of a door; recommender/test_item_changes.py and test_rule_changes.py have two in one process.
pytestmark = [pytest.mark.process, pytest.mark.slow]
LIVE_S = 5.0  # a change is on every door by then
NEW = ItemChange(item_id="new", title="Something new", category="C0")  # even users like C0 and C2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Doors:
    """Two doors of one release over one store, with logs of their own; only a key for admin may change items."""

    running: list[Serving]
    starts: list[Callable[[], Serving]]
    admin: str
    other: str
    homes: list[Path]

    def client(self, number: int, key: str | None = None) -> Recommender:
        return Recommender(self.running[number].url, api_key=key or self.other)

    def shows(self, number: int, user: str = "u00", k: int = 8) -> list[str]:
        return [item.item_id for item in self.client(number).recommend(user, k=k).items]

    def soon(self, number: int, holds: Callable[[list[str]], bool], user: str = "u00") -> list[str]:
        """Ask until an answer is as it should be, for at most the promised time."""
        deadline = time.monotonic() + patient(LIVE_S)
        while not holds(found := self.shows(number, user)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found


@pytest.fixture(scope="module")
def doors(trained_toy: toy.Toy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("doors")
    store = folder / "feast"
    shutil.copytree(trained_toy.home / "feast", store)  # other tests read the toy's own
    made = {scope: keys.make(folder / "keys.json", name=scope, scopes=(scope,)) for scope in ("admin", "recommend")}  # type: ignore[arg-type,index]
    homes, starts = [folder / "a", folder / "b"], []
    for home in homes:
        variables = trained_toy.variables | {
            "INTENTFLOW_HOME": str(home),
            "INTENTFLOW_FEAST": trained_toy.variables["INTENTFLOW_FEAST"].replace(
                str(trained_toy.home / "feast"), str(store)
            ),
            "INTENTFLOW_SERVING": f'{{"auth": "keys", "keys_file": "{folder / "keys.json"}"}}',
        }
        home.mkdir()
        (home / "bentoml").symlink_to(folder / "bentoml", target_is_directory=True)
        tag = build(trained_toy.release, home=folder)
        port = free_port()
        starts.append(lambda tag=tag, port=port, env=variables: serve(tag, port=port, env=env))
    running = [start() for start in starts]
    found = Doors(running, starts, made["admin"], made["recommend"], homes)
    yield found
    for one in found.running:
        one.stop()


def test_an_item_put_by_http_is_recommended_before_any_training_and_vanishes_when_withdrawn(doors: Doors) -> None:
    before = doors.shows(1)
    with pytest.raises(Unanswered, match="admin is not among its scopes"):
        doors.client(0).items(items=[NEW])
    admin = doors.client(0, doors.admin)
    assert (admin.items(items=[NEW], change_id="c1").version, doors.shows(1, "u01").count("new")) == (1, 0)
    assert "new" in doors.shows(0), "the door that took it shows it at once"
    assert "new" in doors.soon(1, lambda found: "new" in found)
    assert "new" not in doors.shows(1, "u01")[:6], "an odd user likes C1 and C3"
    item = next(item for item in doors.client(1).recommend("u00", k=8).items if item.item_id == "new")
    assert (item.title, item.source) == ("Something new", "new")

    # A door that is killed at once has lost nothing, and starts with what the log says.
    parent = psutil.Process(doors.running[0].process.pid)
    processes = [parent, *parent.children(recursive=True)]  # BentoML's worker leads a group of its own
    for one in processes:
        one.kill()
    psutil.wait_procs(processes, timeout=patient(10))
    doors.running[0].process.wait(patient(10))
    best = before[0]
    other = doors.client(1, doors.admin)
    gone = other.items(items=[ItemChange(item_id=best, available=False), ItemChange(item_id="new", available=False)])
    assert (gone.version, {item.outcome for item in gone.items}) == (2, {"withdrawn"})
    assert not {best, "new"} & {*doors.shows(1, k=20)}
    assert not {best} & {*doors.shows(1, "nobody", k=20)}, "nor as what is popular with everyone"
    doors.running[0] = doors.starts[0]()
    assert not {best, "new"} & {*doors.shows(0, k=20)}
    assert doors.client(0, doors.admin).items(items=[NEW], change_id="c1").repeated, "sent again, it is the same change"

    back = doors.client(0, doors.admin).items(undo=2)
    assert back.version == 3
    found = doors.soon(1, lambda found: "new" in found and found[0] == best)
    assert "new" in found
    assert found[0] == best


def test_answers_log_lines_and_headers_carry_the_version(doors: Doors) -> None:
    version = doors.client(0, doors.admin).items(items=[ItemChange(item_id="i1", title="Item one")]).version
    ask = {"user_id": "u00", "k": 3}
    reply = requests.post(
        f"{doors.running[0].url}/recommend", json=ask, headers={"X-API-Key": doors.other}, timeout=patient(10)
    )
    assert (reply.json()["catalogue_version"], reply.headers[CATALOGUE]) == (version, str(version))
    line = next(
        line
        for line in requestlog.read(doors.homes[0] / requestlog.FOLDER)
        if line["request_id"] == reply.json()["request_id"]
    )
    assert line["catalogue_version"] == version


def test_rules_put_by_http_hold_on_every_door_and_on_no_key_but_admins(doors: Doors) -> None:
    before = doors.shows(1)
    hide = LiveRule.model_validate({"kind": "filter", "name": "best", "where": f"item_id = '{before[0]}'"})
    with pytest.raises(Unanswered, match="admin is not among its scopes"):
        doors.client(0).rules(rules=[hide])
    admin = doors.client(0, doors.admin)
    seen = admin.rules(rules=[hide], preview=RulePreview(user_id="u00", k=8))
    assert seen.preview is not None
    assert [item.item_id for item in seen.preview.before.items] == before
    assert before[0] not in [item.item_id for item in seen.preview.after.items]
    assert doors.shows(0) == before, "a preview changes nothing"
    written = admin.rules(rules=[hide], change_id="r1")
    assert before[0] not in doors.shows(0), "the door that took it keeps to it at once"
    assert before[0] not in doors.soon(1, lambda found: before[0] not in found)
    answer = doors.client(1).recommend("u00", k=8)
    assert answer.rules is not None
    assert (answer.rules.names, answer.catalogue_version) == (["best"], written.version)
    line = next(
        line for line in requestlog.read(doors.homes[1] / requestlog.FOLDER) if line["request_id"] == answer.request_id
    )
    assert (line["catalogue_version"], line["asked"]["rules"]) == (written.version, ["best"])
    assert admin.rules(undo=written.version).changed[0].outcome == "taken back"
    assert doors.soon(1, lambda found: found == before) == before


class InProcess(Remote):
    """The service `ranking`, asked without a socket."""

    def ask(
        self, path: str, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        given, said = wire.unpacked(wire.packed(arrays, fields))
        try:
            return wire.unpacked(CALLS[self.url][path](given, said))
        except Rejected:  # 412, which the client of a socket turns into this
            raise CatalogueAway(path) from None


CALLS: dict[str, Any] = {}


def test_a_ranker_behind_a_service_ranks_the_same_new_items(trained_toy: toy.Toy) -> None:
    release = Release.load(trained_toy.release)
    CALLS["here"] = load(release)[1]
    ranker, scorer = Ranker.served(release.folder / RANKING), IntentScorer.served(release.folder / INTENT)
    change = Change(1, "", "", ITEM, (Entry("new", {"category": "C0"}), Entry("i0", {"available": False})))
    newest = newest_of([change])
    items, held = live(ranker.vocabulary, newest), Snapshot(Head("log", 1), {(one.kind, one.id): one for one in newest})
    whole = open_catalogue.over(ranker, items)
    apart = RemoteRanker(InProcess("here", release.id, release.vocabulary, 1.0), ranker.vocabulary).over(items, held)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in trained_toy.variables.items():
            patch.setenv(name, value)
        rows = OnlineProfiles.open(release.name, folding(release, ranker.vocabulary)).read(
            [pseudonym("u00", toy.KEY)], now=release.data_end
        )
    chances = scorer.predict(rows)[0]
    mine, theirs = (one.recommend(rows, chances, k=9, exclude=frozenset()) for one in (whole, apart))
    assert [one.item_index for one in mine] == [one.item_index for one in theirs]
    assert len(ranker.vocabulary.item_ids) in [one.item_index for one in theirs]
    assert 0 not in [one.item_index for one in theirs]
