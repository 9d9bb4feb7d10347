"""The BentoML service `recommender`: brings the door's real parts together and mounts its routes.

BentoML gives the process, the probes, /metrics and the pages; the routes are app.py's. Limits of time and
concurrency are the release's and are kept by app.py's lane, since a decorator is read before a release is known.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import bentoml

from bentos.recommender import eventlog, requestlog
from bentos.recommender.app import Opened, create_app
from bentos.recommender.clock import make_clock
from bentos.recommender.door import Door
from bentos.recommender.eventlog import EventLog
from bentos.recommender.lane import Lane
from bentos.recommender.metrics import Metrics
from bentos.recommender.requestlog import RequestLog
from bentos.release import INTENT, RANKING, Release
from feature_repo import artifacts
from feature_repo.errors import SpecError, UserError
from feature_repo.update import Folding
from feature_repo.vocabulary import Vocabulary

MODEL_ALIAS = "release"  # the Bento's model that holds the release folder
RELEASE_FOLDER = "INTENTFLOW_RELEASE"  # on a cluster: where the init container put the release
ERROR_FILE = "INTENTFLOW_ERROR_FILE"  # where `serve` looks for the reason of a failed start

WRITE_S = 30.0  # a full request of events of as many users

app = create_app()


@bentoml.service(
    name="recommender",
    workers=1,
    traffic={"timeout": 65},  # above the longest `serving.timeout_s`: the lane answers first
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(app, path="/")
class Recommender:
    """Recommends items to users whose next intents it predicts."""

    def __init__(self) -> None:
        try:
            opened = open_door(os.environ)
        except Exception as error:  # whatever it is, `serve` must hear of it: BentoML would try again for ever
            if path := os.environ.get(ERROR_FILE):
                code = error.exit_code if isinstance(error, UserError) else 1
                artifacts.write_json(Path(path), {"code": code, "message": str(error)})
            raise
        app.state.opened = self._opened = opened

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let running requests end, then close the logs."""
        self._opened.reads.close()
        self._opened.writes.close()
        self._opened.door.close()


def open_door(environment: Mapping[str, str]) -> Opened:
    """Load the release and its models, open store and logs, and answer once to warm up."""
    import torch

    from components.intent.score import IntentScorer
    from components.ranking.score import Ranker
    from feature_repo.online import OnlineProfiles

    home, key = Path(required(environment, "INTENTFLOW_HOME")), pseudonym_key(environment)
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", "1")))
    release = Release.load(release_folder(environment))
    metrics, ranker = Metrics(release), Ranker.load(release.folder / RANKING)
    door = Door(
        release,
        IntentScorer.load(release.folder / INTENT),
        ranker,
        OnlineProfiles.open(release.name, folding(release, ranker.vocabulary)),
        RequestLog(home / requestlog.FOLDER, on_failure=metrics.unlogged.inc),
        make_clock(environment.get("INTENTFLOW_CLOCK", "wall"), release.data_end),
        events=EventLog(home / eventlog.FOLDER),
        key=key,
    )
    door.warm_up()
    most, timeout_s = release.serving.max_concurrency, release.serving.timeout_s
    reads = Lane(timeout_s=timeout_s, max_concurrency=most)
    writes = Lane(timeout_s=max(timeout_s, WRITE_S), max_concurrency=most, threads=1)  # the event log has one writer
    service = Recommender.openapi_spec.asdict()  # type: ignore[attr-defined]  # the decorator made it a Service
    return Opened(door, reads, writes, metrics, service)


def folding(release: Release, vocabulary: Vocabulary) -> Folding:
    """Return how events move a profile: as the release's features were made."""
    return Folding(
        calendar=release.calendar,
        vocabulary=vocabulary,
        windows_days=release.profiles.windows_days,
        item_event=release.ranking.event,
    )


def release_folder(environment: Mapping[str, str]) -> Path:
    """Find the release: where the environment says, else the Bento's own model."""
    if folder := environment.get(RELEASE_FOLDER):
        return Path(folder)
    return Path(bentoml.models.get(MODEL_ALIAS).path)


def pseudonym_key(environment: Mapping[str, str]) -> str:
    """Return the key that user ids are hashed with; it must be the one that profiles were made with."""
    key = required(environment, "INTENTFLOW_PSEUDONYM_KEY")
    try:
        bytes.fromhex(key)
    except ValueError:
        raise SpecError("INTENTFLOW_PSEUDONYM_KEY: must be hexadecimal, as `openssl rand -hex 32` prints") from None
    return key


def required(environment: Mapping[str, str], name: str) -> str:
    """Return a variable that must be set."""
    if not environment.get(name):
        raise SpecError(f"{name} is not set; `intentflow serve` sets it, and a Deployment's ConfigMap and Secret do")
    return environment[name]
