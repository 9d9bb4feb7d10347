"""Results of a toy recommender as the pipeline leaves them, and the two stores that they are registered in."""

import contextlib
import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import requests
import torch

from components import resamples, twins
from components.intent import encode as intent_encode
from components.intent.context import TargetContext
from components.intent.model import IntentNet
from components.intent.score import IntentScorer
from components.intent.shape import Shape
from components.ranking import feature_names
from components.ranking.catalogue import Catalogue
from components.ranking.models.listwise_mlp import RankingNet
from components.ranking.neighbours import Neighbours
from components.ranking.score import Ranker
from components.ranking.spec import Candidates
from components.registry import client as mlflow_client
from components.registry import frames, model_versions
from components.registry.gate_inputs import Group, Measurements
from components.registry.gates import evaluate
from components.registry.lineage import Folders, Lineage
from components.registry.register import RegisteredParts, register
from components.registry.release import Release
from components.registry.release import make as make_release
from components.registry.spec import Gate
from components.resamples import MODEL, Line
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.vocabulary import Target, Vocabulary
from tests.mlflow_database import Begun
from tests.patience import patient

START_S = patient(120)
# The server keeps what the other store keeps, and takes five times as long: CI asks it as well.
EITHER = pytest.mark.parametrize("store", ["sqlite", pytest.param("server", marks=pytest.mark.slow)], indirect=True)
CALENDAR = Calendar("2016-12-26", "America/New_York")
LAST = dt.datetime(2017, 12, 31, 4, 30, tzinfo=dt.UTC)
TITLES = ("apple", "pear", "leek soup", "pea soup", "bread", "tea")
SEGMENTS = "5e95e95e95e9"  # digest of the segments that rows count
CODE = model_versions.CODE  # what a model carries
LINEAGE = Lineage(
    spec="5bec5bec5bec",
    git="c0ffee",
    lock="10c10c10c10c",
    feature_services={"intent_v1": "aaaa", "ranking_v1": "bbbb"},
    params={"intent": {"architecture": "cnn", "width": 8}, "ranking": {"candidates": {"history": 10}}},
)
SERVING = {"profiles": {"windows_days": [7, 28, 91], "ttl_days": 120}, "intents": [], "serving": {"k": 3}}


def write_evaluation(folder: Path, metric: str, model: float, baselines: dict[str, float], *, spread: float) -> None:
    """Write the resamples and the card of a model beside its baselines into an evaluation folder."""
    rng = np.random.default_rng(0)
    lines = [
        Line(metric, value + spread * rng.standard_normal(50), 500, 90, side)
        for side, value in ((MODEL, model), *baselines.items())
    ]
    resamples.write(folder, lines, rows_digest="r0w5")
    (folder / "card.md").write_text("# Card\n")


def vocabulary(*titles: str) -> Vocabulary:
    """Fruit and soup to buy, and a visit."""
    ids = [f"i{n}" for n in range(len(titles))]
    items = pa.table(
        {
            "item_index": range(len(titles)),
            "item_id": ids,
            "title": list(titles),
            "category": ["FRUIT", "FRUIT", "SOUP", "SOUP", "BREAD", "TEA"][: len(titles)],
            "category_path": ["A > FRUIT", "A > FRUIT", "A > SOUP", "A > SOUP", "B > BREAD", "B > TEA"][: len(titles)],
            "brand": ["x"] * len(titles),
            "price": [1.0] * len(titles),
        }
    )
    targets = (
        Target("buy", "FRUIT", "purchase", "category"),
        Target("buy", "SOUP", "purchase", "category"),
        Target("visit", None, None, None),
    )
    pairs = pa.table(
        {"item_id": ids[:4], "target_id": [0, 0, 1, 1][: len(ids[:4])], "kind": ["purchase"] * len(ids[:4])}
    )
    return Vocabulary(targets, items, pairs)


def intent_model(folder: Path, words: Vocabulary, *, seed: int) -> None:
    """Write an intent model as training leaves it, its network with the weights that it was born with."""
    torch.manual_seed(seed)
    example = frames.user_rows(
        frames.example(lists=frames.INTENT_LISTS, windows_days=(7, 28, 91), last=LAST, calendar=CALENDAR)
    )
    context = TargetContext(np.array([53]), np.full((1, 3, 3), 0.3, dtype=np.float32))
    encoded = intent_encode.encode(example, context, calendar=CALENDAR, n_targets=3)
    shape = Shape(
        "cnn", width=8, layers=1, dropout=0.0, targets=3, weeks=encoded.sequence.shape[1],
        frequency=encoded.frequency.shape[2], profile=encoded.profile.shape[1], segments=8,
    )  # fmt: skip
    IntentScorer(IntentNet(shape), words, context, CALENDAR).save(folder)
    (folder / "out_of_time.parquet").write_bytes(b"users and weeks")
    files.write_json(folder / "training.json", {"seconds": time.time()})


def ranking_model(folder: Path, words: Vocabulary, *, seed: int) -> None:
    """Write a ranking model as training leaves it, its network with the weights that it was born with."""
    torch.manual_seed(seed)
    n = len(words.item_ids)
    share = np.linspace(0.6, 0.1, n)
    state = pa.table({
        "week": [53] * n, "item_index": range(n), "share_1w": share, "share_4w": share, "share_slow": share,
        "price": [1.0] * n, "repeat_share": [0.5] * n,
    })  # fmt: skip
    Ranker(
        net=RankingNet(len(feature_names.FEATURES), width=8, dropout=0.0),
        vocabulary=words,
        item_state=state,
        catalogue=Catalogue.of(words, state),
        neighbours=Neighbours(
            np.zeros((n, 1), np.int32),
            np.zeros((n, 1), np.float32),
            np.zeros((n, 1), np.float32),
            np.ones(n, np.float32),
        ),
        calendar=CALENDAR,
        spec=Candidates(),
    ).save(folder)
    files.write_json(folder / "training.json", {"seconds": time.time()})


def result(folder: Path, *, seed: int, quality: float) -> Folders:
    """Write the folders of one pipeline run whose models reach `quality` where the baselines reach .25."""
    made = Folders(
        *(
            folder / part
            for part in (
                *("clean", "intent", "intent_evaluation", "ranking", "ranking_evaluation"),
                *("session", "forecasts"),
            )
        )
    )
    for place in vars(made).values():
        place.mkdir(parents=True, exist_ok=True)
    words = replace(vocabulary(*TITLES), segments=SEGMENTS)
    intent_model(made.intent, words, seed=seed)
    ranking_model(made.ranking, words, seed=seed)
    snapshot = {
        "source": "toy", "digest": "da7ada7ada7a", "rows": {"events": 9}, "first": "2017-01-01T05:00:00+00:00",
        "last": LAST.isoformat(), "calendar": {"first_day": CALENDAR.first_day, "timezone": CALENDAR.timezone},
        "weeks": 53, "last_week_complete": False,
    }  # fmt: skip
    files.write_json(made.clean / "snapshot.json", snapshot)
    (made.clean / "contract.html").write_text("<p>passed</p>")
    for place, metric, baseline in (
        (made.intent_evaluation, "map", "decayed_rate"),
        (made.ranking_evaluation, "ndcg_at_10", "personal_frequency"),
    ):
        numbers = {"test": {metric: quality, "rows": 100}, "baselines": {baseline: {metric: 0.25}}}
        files.write_json(
            place / "metrics.json", numbers | {"cohorts": {"new": {metric: None}, "old": {metric: quality}}}
        )
        (place / "card.md").write_text("# Card\n")
    (made.ranking_evaluation / "segments.html").write_text("<p>soup, bread</p>")
    return made


@dataclass
class Server:
    """A real `mlflow server` on a loopback port."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--workers", "1"),
            *("--artifacts-destination", str(self.artifacts)),
        ]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.uri}/health", timeout=patient(5)).ok:
                    return
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            time.sleep(0.3)
        raise AssertionError(f"no MLflow server after {START_S} s: {(self.folder / 'server.log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End the server and its worker at once, as a machine that fails does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session", autouse=True)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, where a test asks for it; it starts while the tests that need none run."""
    server = Server(tmp_path_factory.mktemp("server"))
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    if asked & {"server", "store"}:
        server.start()
    yield server
    server.kill()


@pytest.fixture
def server(started: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, answering, as the environment's MLflow."""
    started.wait()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", started.uri)
    monkeypatch.delenv("INTENTFLOW_MLFLOW_ARTIFACTS", raising=False)
    return started


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of MLflow without a server."""
    return tmp_path_factory.mktemp("sqlite")


@pytest.fixture
def sqlite(database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MLflow without a server as the environment's: the folder of its artifacts."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}/mlflow/mlflow.db")
    monkeypatch.setenv("INTENTFLOW_MLFLOW_ARTIFACTS", str(database / "artifacts"))
    return database / "artifacts"


@pytest.fixture(params=["sqlite", "server"])
def store(request: pytest.FixtureRequest) -> Path:
    """Each of the two stores in turn, or those that a test names: the folder of its artifacts."""
    found = request.getfixturevalue(request.param)
    return found.artifacts if isinstance(found, Server) else found


@pytest.fixture(autouse=True)
def little_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let models carry hardly any code, which is a hundred files for each: what loads them here has it.

    The models of `shared` carry it all.
    """
    monkeypatch.setattr(model_versions, "CODE", CODE[:1])


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A recommender's name that no other test uses."""
    return f"toy{abs(hash(request.node.nodeid)) % 10**8}"


@pytest.fixture(scope="session")
def lineage() -> Lineage:
    return LINEAGE


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Folders]:
    """Make the folders of one pipeline run; another seed gives other models, another `quality` other metrics."""

    def build(*, seed: int = 0, quality: float = 0.30) -> Folders:
        return result(tmp_path / f"result-{seed}", seed=seed, quality=quality)

    return build


@pytest.fixture
def own_rows(tmp_path: Path) -> list[SimpleNamespace]:
    """What the steps before `register` say of a champion that was judged on the same data: nothing, for both parts."""
    folder = tmp_path / "own-rows"
    folder.mkdir()
    twins.write(twins.Twin("1", why=twins.SAME_DATA), folder)
    return [SimpleNamespace(path=str(folder))] * 2


@dataclass(frozen=True)
class Shared:
    """A result that was registered once for many tests, in one store."""

    name: str
    folders: Folders
    registered: RegisteredParts
    artifacts: Path
    begun: Begun

    def folder_of(self, part: str) -> Path:
        """Where the store keeps the files of a part's model."""
        with mlflow_client.connected() as client:
            version = client.get_model_version(f"{self.name}-{part}", self.registered.versions[part].version)
            place = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
        return self.artifacts / place.removeprefix("mlflow-artifacts:/")

    def release(self, *, spec: str = "5bec5bec5bec", passed: bool = True, quality: float = 0.3) -> Release:
        """Release the registered models under another spec's digest."""
        lineage = LINEAGE.model_copy(update={"spec": spec})
        registered = replace(self.registered, result=replace(self.registered.result, lineage=lineage))
        gate = Gate(metric="intent.map", against="value", limit=0.0 if passed else 1.0)
        metrics = {"intent.map": quality}
        verdict = evaluate([gate], Measurements(Group(metrics)), champion=None)
        with tempfile.TemporaryDirectory() as scratch:
            return make_release(
                self.name, registered, serving=SERVING, verdict=verdict, metrics=metrics, scratch=Path(scratch)
            )


@pytest.fixture(scope="session")
def kept() -> dict[Path, Shared]:
    return {}


@pytest.fixture
def shared(store: Path, kept: dict[Path, Shared], tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """The shared result, without any release or alias, and nothing that tests before wrote beside it."""
    if store not in kept:
        uri = os.environ["MLFLOW_TRACKING_URI"]
        file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite") else store.parent / "mlflow.db"
        begun = Begun(file, tmp_path_factory.mktemp("begun"))
        folders = result(tmp_path_factory.mktemp("shared"), seed=0, quality=0.30)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model_versions, "CODE", CODE)
            registered = begun.at("shared", lambda: register("shared", folders, lineage=LINEAGE))
        kept[store] = Shared("shared", folders, registered, store, begun)
    else:
        kept[store].begun.again("shared")
        with mlflow_client.connected():
            pass  # MLflow leaves its address in the process's variables, which programs that tests start inherit
    return kept[store]
