"""The BentoML service `recommender`: brings the door's real parts together and mounts its routes.

BentoML gives the process, the probes, /metrics and the pages; the routes are app.py's. Limits of time and
concurrency are the release's and are kept by lanes, since a decorator is read before a release is known.
"""

import os
from pathlib import Path

import bentoml

from bentos.recommender import eventlog, requestlog
from bentos.recommender.app import Opened, create_app
from bentos.recommender.door import Door
from bentos.recommender.eventlog import EventLog
from bentos.recommender.lane import Lane
from bentos.recommender.metrics import Metrics
from bentos.recommender.requestlog import RequestLog
from bentos.recommender.settings import Settings
from bentos.release import INTENT, RANKING, Release
from feature_repo import artifacts
from feature_repo.errors import UserError
from feature_repo.fallback import Fallback
from feature_repo.update import Folding
from feature_repo.vocabulary import Vocabulary

ERROR_FILE = "INTENTFLOW_ERROR_FILE"  # where bentos/serve.py looks for the reason of a failed start
WRITE_S = 30.0  # at most for a full request of events, each of another user

app = create_app()


@bentoml.service(
    name="recommender",
    workers=1,
    traffic={"timeout": 65},  # above the longest `serving.timeout_s`: the lanes answer first
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(app, path="/")
class Recommender:
    """Recommends items to users whose next intents it predicts."""

    def __init__(self) -> None:
        try:
            opened = open_door(Settings.read(os.environ))
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


def open_door(settings: Settings) -> Opened:
    """Load the release's models, open store and logs, and answer once to warm up."""
    import torch

    from components.intent.score import IntentScorer
    from components.ranking.score import Ranker
    from feature_repo.online import OnlineProfiles

    torch.set_num_threads(settings.threads)
    release = settings.release
    metrics, ranker = Metrics(release), Ranker.load(release.folder / RANKING)
    door = Door(
        release,
        IntentScorer.load(release.folder / INTENT),
        ranker,
        OnlineProfiles.open(release.name, folding(release, ranker.vocabulary)),
        RequestLog(settings.home / requestlog.FOLDER, on_failure=metrics.unlogged.inc),
        settings.clock,
        events=EventLog(settings.home / eventlog.FOLDER),
        fallback=Fallback.load(release.folder / RANKING),
        key=settings.key,
        tombstones=settings.tombstones,
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
