"""Which of several rankers ordered an answer: in the answer, its log line, a ranking service, lists, parity and why."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from bentos import wire
from bentos.endpoints.explain import ExplainRequest
from bentos.endpoints.rank import RankRequest
from bentos.endpoints.recommend import RecommendRequest
from bentos.ranking import service as ranking
from bentos.remote import RemoteRanker
from components.ranking import batch, bundle, examples
from components.ranking.baseline_net import BaselineNet
from components.ranking.bundle import Bundle
from components.ranking.choice import ALL, Cell, Choice
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from components.ranking.train import train
from feature_repo import columns, files
from feature_repo.fallback import RUNG
from feature_repo.logs import request_log
from pipelines.answers import explain, parity
from tests.bentos.conftest import TinyRanker, World, asked
from tests.ranking import board
from tests.ranking.board import SPEC, checkerboard

pytestmark = pytest.mark.world
PER_INTENT = {ALL: "frequency", (0, None): "popular", (1, None): "network"}


class Chooses(TinyRanker):
    """Says which algorithm spoke, as a bundle does."""

    def recommend(self, *args: Any, **options: Any) -> list[SimpleNamespace]:
        found = super().recommend(*args, **options)
        for one in found:
            one.algorithm = "tifu"
        return found

    def algorithm_of(self, *_: Any) -> str:
        return "tifu"


class Fails(TinyRanker):
    """Fails whatever it is asked."""

    def recommend(self, *args: Any, **options: Any) -> list[SimpleNamespace]:
        raise ValueError("no")

    def score(self, *args: Any) -> Any:
        raise ValueError("no")

    def algorithm_of(self, *_: Any) -> str:
        raise ValueError("no")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model folder of a bundle in which even users are answered by `popular`, odd ones by the network."""
    at = tmp_path_factory.mktemp("bundle")
    world = examples.load(*board.write(at / "world", checkerboard()), SPEC)
    trained = train(world, SPEC)
    cells = {key: Cell(name, 1, 1) for key, name in PER_INTENT.items()}
    choice = Choice(("intent",), ("frequency", "popular", "network"), world.vocabulary.targets, cells)
    nets = {name: BaselineNet(name) for name in ("frequency", "popular")} | dict(trained.ranker.nets)
    bundle = replace(trained.ranker, net=Bundle(nets, choice))
    (at / "ranking").mkdir()
    bundle.save(at / "ranking")
    return at / "ranking"


@pytest.fixture
def chosen(world: World) -> World:
    world.ranker = Chooses(world.ranker.vocabulary)
    world.knows("ann", 3, 1)
    return world


def test_the_answer_and_its_log_line_say_which_algorithm_spoke(chosen: World) -> None:
    door = chosen.door()
    assert asked(door, RecommendRequest(user_id="ann", k=2)).algorithm == "tifu"
    door.close()
    (line,) = request_log.read(chosen.folder / "requests")
    assert line["asked"][columns.ALGORITHM] == "tifu"


ASKS = (
    lambda user: RecommendRequest(user_id=user, k=2),
    lambda user: RankRequest(user_id=user, item_ids=["i1", "i2"]),
    lambda user: ExplainRequest(user_id=user, item_id="i1"),
)


@pytest.mark.parametrize("ask", ASKS)
def test_every_answer_of_scores_names_its_algorithm_and_one_without_a_model_none(
    ask: Callable[[str], Any], world: World
) -> None:
    world.knows("ann", 3, 1)
    door = world.door()
    assert asked(door, ask("ann")).algorithm == "network"
    assert asked(door, ask("nobody")).algorithm is None
    world.ranker = Chooses(world.ranker.vocabulary)
    assert asked(world.door(), ask("ann")).algorithm == "tifu"
    world.ranker = Fails(world.ranker.vocabulary)
    assert asked(world.door(), ask("ann")).algorithm is None
    door.close()


def test_log_lines_name_it_where_the_release_chooses_alone(world: World) -> None:
    world.knows("ann", 3, 1)
    choose = Ranking.model_validate({"choose": {"by": ["intent"], "among": ["network", "tifu"], "on": "validation"}})
    for chooses in (False, True):
        door = world.door()
        if chooses:
            door.release = replace(door.release, ranking=choose)
        for ask in ASKS[1:]:
            asked(door, ask("ann"))
        door.close()
    lines = list(request_log.read(world.folder / "requests"))
    assert [line["asked"].get(columns.ALGORITHM) for line in lines] == [None, None, "network", "network"]


def test_a_release_of_one_ranker_logs_none(world: World) -> None:
    world.knows("ann", 3, 1)
    door = world.door()
    asked(door, RecommendRequest(user_id="ann", k=2))
    door.close()
    assert all(columns.ALGORITHM not in line["asked"] for line in request_log.read(world.folder / "requests"))


def _row(user: str, week: int = 21) -> Any:
    return board.user_rows(board.known_row(user, checkerboard()[user], week))


def test_a_ranking_service_says_it_too_and_the_same_items(folder: Path) -> None:
    _, calls = ranking.load(SimpleNamespace(folder=folder.parent))  # type: ignore[arg-type]
    served = Ranker.served(folder)

    class Sockets:
        """Asks the service's calls without a socket."""

        asked: ClassVar[list[str]] = []

        def ask(self, path: str, arrays: Any, fields: Any) -> Any:
            self.asked.append(path)
            return wire.unpacked(calls[path](*wire.unpacked(wire.packed(arrays, fields))))

    remote = RemoteRanker(Sockets(), served.vocabulary)  # type: ignore[arg-type]
    for user, algorithm in (("u00", "popular"), ("u01", "network")):
        chances = np.asarray(board.intents(user), np.float32)
        here = served.recommend(_row(user), chances, k=5)
        there = remote.recommend(_row(user), chances, k=5, exclude=frozenset())
        assert {one.algorithm for one in here} == {one.algorithm for one in there} == {algorithm}
        assert [one.item_index for one in here] == [one.item_index for one in there]
        assert served.algorithm_of(_row(user), chances) == remote.algorithm_of(_row(user), chances) == algorithm
    assert bundle.alone_in(folder) is None
    unasked = replace(remote, remote=None, alone="popular")  # type: ignore[arg-type]
    assert unasked.algorithm_of(_row("u01"), np.asarray(board.intents("u01"), np.float32)) == "popular"
    alone = replace(served, net=served.nets["popular"])
    assert alone.algorithm_of(_row("u01"), np.asarray(board.intents("u01"), np.float32)) == "popular"
    assert Sockets.asked.count("/algorithm") == 2, "of several, each user's is asked for"


def test_a_model_folder_says_which_algorithm_is_alone_in_it(tmp_path: Path) -> None:
    assert bundle.alone_in(tmp_path) is None
    for architecture, name in (("listwise_mlp", "network"), ("tifu", "tifu"), ("lambdamart", "lambdamart")):
        files.write_json(tmp_path / "config.json", {"architecture": architecture})
        assert bundle.alone_in(tmp_path) == name


def test_lists_of_all_users_say_it_beside_each_item(folder: Path) -> None:
    served = Ranker.served(folder)
    assert batch._schema(served).names[-1] == columns.ALGORITHM
    assert batch._schema(replace(served, net=served.nets["network"])) == batch.SCHEMA
    users = ["u00", "u01", "u02"]
    table = pa.concat_tables([board.table([board.known_row(u, checkerboard()[u], 21)]) for u in users])
    table = table.drop(["week", "bought"]).append_column(RUNG, pa.array(["fresh", "fresh", "segment"]))
    table = table.append_column(batch.GROUP, pa.array([0, 0, 0]))
    chances = np.asarray([board.intents(user) for user in users], np.float32)
    assert batch.spoke(table, chances, served) == ["popular", "network", None]


def _answer(served: Ranker, user: str, **changed: Any) -> dict[str, Any]:
    chances = np.asarray(board.intents(user), np.float32)
    shown = served.recommend(_row(user), chances, k=3)
    row = _row(user)
    items = [{columns.ITEM_ID: served.vocabulary.item_ids[one.item_index], "score": one.score} for one in shown]
    return {
        columns.REQUEST_ID: "r1", columns.USER_ID: user, "endpoint": "recommend", "items": items, "known": True,
        "now": int(row.now[0]), columns.STATE_AT: int(row.state_at[0]), "probabilities": chances.astype(float).tolist(),
        "numbers": {name: float(column[0]) for name, column in row.numbers.items()},
        "lists": {name: ragged.row(0).tolist() for name, ragged in row.lists.items()},
        "asked": {columns.ALGORITHM: shown[0].algorithm},
    } | changed  # fmt: skip


def test_parity_compares_the_algorithm_before_scores(folder: Path) -> None:
    served = Ranker.served(folder)
    scorer: Any = SimpleNamespace(
        vocabulary=served.vocabulary, predict=lambda rows: np.asarray([board.intents(rows.user_id[0])], np.float32)
    )
    for user in ("u00", "u01"):
        assert list(parity.rescored(scorer, served, _answer(served, user))) == []
    other = _answer(served, "u00", asked={columns.ALGORITHM: "tifu"})
    (found,) = parity.rescored(scorer, served, other)
    scores = {"item_ids": ["I0"], "scores": [0.0], columns.ALGORITHM: "tifu"}
    assert list(parity.rescored(scorer, served, _answer(served, "u00", endpoint="rank", asked=scores))) == [found]
    assert (found.field, found.online, found.offline) == ("algorithm", "tifu", "popular")


def test_why_names_it_and_by_what_it_was_chosen(folder: Path) -> None:
    served = Ranker.served(folder)
    chosen = served.chosen(_row("u01"), np.asarray(board.intents("u01"), np.float32))
    assert chosen == {"algorithm": "network", "intent": "buy:C1"}
    found = {"algorithm": "network", "chosen": chosen}
    assert explain._algorithm(found) == ["Algorithm  network, chosen for intent buy:C1"]
    assert explain._algorithm({"algorithm": None}) == []
