"""The BentoML service `recommender`: brings the door's real parts together and mounts its routes.

BentoML gives the process, the probes, /metrics and the pages; the routes are app.py's. Limits of time and
concurrency are the release's; bounded pools keep them, since BentoML reads its decorator before a release is known.
"""

import asyncio
import functools
import gc
import ipaddress
import os
import signal
import threading

import bentoml

from bentos import threads
from bentos.access import Access
from bentos.http.auth import check
from bentos.http.bounded_pool import ALONE, BoundedPool
from bentos.http.event_bounds import EventBounds
from bentos.http.guard import PAGES, PROBES, Guard
from bentos.http.known_paths import KnownPaths
from bentos.http.limits import Limits
from bentos.http.own_port import OwnPort
from bentos.http.tracing import Tracing
from bentos.recommender import ports, words
from bentos.recommender.app import DoorContext, create_app, scopes
from bentos.recommender.catalogue import Grow
from bentos.recommender.door import Door
from bentos.recommender.logs import eventlog, requestlog
from bentos.recommender.logs.compactor import Compactor
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.leftovers import Leftovers
from bentos.recommender.logs.requestlog import RequestLog
from bentos.recommender.metrics import Metrics, forget_the_dead
from bentos.recommender.settings import Settings, reading_threads
from bentos.release import INTENT, RANKING, Release
from bentos.remote import RemoteRanker, RemoteScorer
from components.intent.decisions import Thresholds
from components.intent.forecasts.score import ForecastScorer
from components.intent.sessions.score import SessionScorer, held
from components.step import reason_left
from feature_repo import lazy_pandas
from feature_repo.endpoints import POPULAR
from feature_repo.errors import SpecError
from feature_repo.fallback import Fallback
from feature_repo.privacy import sealing
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.release_folder import SESSION
from feature_repo.update import Folding
from feature_repo.vocabulary import Vocabulary

EVENT_THREADS = 8  # requests of events that share a turn (logs/shared_turn.py)
WRITE_S = 30.0  # at most for a full request of events, each of another user

app = create_app()


@bentoml.service(
    name="recommender",
    workers=1,
    traffic={"timeout": 65},  # above the longest `serving.timeout_s`: the pools answer first
    logging={"access": {"enabled": False}},
    # tracing.py makes the spans; BentoML's own, which nobody reads, cost a tenth of an answer.
    tracing={"excluded_urls": [".*"]},
)
@bentoml.asgi_app(app, path="/")
class Recommender:
    """Recommends items to users whose next intents it predicts."""

    def __init__(self) -> None:
        with reason_left():  # where `serve` reads it: BentoML would try again for ever
            settings = Settings.read(os.environ)
            check_reach(settings.access, listening())
            opened = open_door(settings)
        app.state.opened = self._opened = opened
        app.state.draining = False
        app.state.ports, app.state.shared = settings.ports, settings.shared
        gc.collect()
        gc.freeze()  # what was loaded stays: a full collection over it holds answers up for .2 to .6 s
        drain_first(settings.access.drain_s)

    async def __is_ready__(self) -> bool:
        """Tell whether to send requests here; BentoML asks only once the models are warm."""
        return not app.state.draining

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let running requests end, then close the logs."""
        self._opened.reads.close()
        self._opened.writes.close()
        if self._opened.events is not None:
            self._opened.events.close()
        self._opened.door.close()
        if self._opened.tracing is not None:
            self._opened.tracing.close()


guarded = functools.partial(Guard, state=app.state, scopes=scopes())
Recommender.add_asgi_middleware(  # type: ignore[attr-defined]
    KnownPaths,
    known=frozenset((*scopes(), *PAGES, *PROBES, "/metrics", POPULAR)),
    guard=guarded,
    endpoints=app.state.endpoints,
)
Recommender.add_asgi_middleware(OwnPort, state=app.state)  # type: ignore[attr-defined]
Recommender.add_asgi_middleware(Guard, state=app.state, scopes=scopes())  # type: ignore[attr-defined]


def listening() -> list[str]:
    """Return the addresses that this process listens on."""
    import psutil

    found = psutil.Process().net_connections(kind="inet")
    return [one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN]


def check_reach(access: Access, addresses: list[str]) -> None:
    """Refuse to serve unauthenticated callers on other addresses than loopback, unless the environment allows it."""
    wide = [ip for ip in addresses if not ipaddress.ip_address(ip).is_loopback]
    if wide and access.auth == "none" and not access.anyone:
        raise SpecError(
            f"serving.auth: none, but the service listens on {wide[0]}; set auth: keys or jwt, or anyone: true "
            "where something else keeps strangers out (docs/security.md)"
        )


def drain_first(drain_s: float) -> None:
    """At SIGTERM be not ready for a while, still answering, and only then let the server end."""
    ends = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(ends):
        return
    loop = asyncio.get_running_loop()

    def drain(number: int, _: object) -> None:
        app.state.draining = True
        loop.call_soon_threadsafe(loop.call_later, drain_s, ends, number, None)

    signal.signal(signal.SIGTERM, drain)


def open_door(settings: Settings) -> DoorContext:
    """Load the release's models, open store and logs, and answer once to warm up."""
    from feature_repo.documents.opened import document_log_if_any
    from feature_repo.online.profiles import OnlineProfiles

    lazy_pandas.unknown_to_arrow()
    sealing.given()  # a key that is none is refused before anything is written under it
    release = Release.verified(settings.release.folder)  # before anything of it is loaded
    forget_the_dead(os.environ)
    metrics, (ranker, grow), scorer = Metrics(release), _ranker(settings), _scorer(settings)
    folds, forecasts = folding(release, ranker.vocabulary), ForecastScorer.served(release.folder / INTENT)
    events = EventLog(
        settings.home / eventlog.FOLDER,
        max_age_s=requestlog.MAX_AGE_S if settings.requests_url else None,
        on_failure=metrics.unstored,
    )
    with lazy_pandas.deferred():
        profiles = OnlineProfiles.open(release.name, folds)
    door = Door(
        release,
        scorer,
        ranker,
        profiles,
        RequestLog(
            settings.home / requestlog.FOLDER,
            sample=release.serving.log.sample,
            sample_key=settings.key,
            store=settings.requests_url,
            keep_bytes=settings.logs_keep_bytes,
            events=events,
            leftovers=Leftovers.begin(settings.home, settings.doors) if settings.doors else None,
            compactor=Compactor(),
            on_failure=metrics.unlogged.inc,
            on_turn=lambda status: metrics.logs_seen(status, events),
        ),
        settings.clock,
        events=events,
        fallback=Fallback.load(release.folder / RANKING),
        key=settings.key,
        tombstones=settings.tombstones,
        documents=document_log_if_any(release.name),
        sessions=_sessions(release),
        forecasts=forecasts,
        explains_forecasts=None if forecasts is None else _explains_forecasts(forecasts, scorer),
        grow=grow,
        thresholds=Thresholds.read(release.folder / INTENT, scorer.vocabulary.target_names),
        explains=_explains(scorer),
        folds=folds,
    )
    door.warm_up(folds)
    most, timeout_s = release.serving.max_concurrency, release.serving.timeout_s
    threads_ = reading_threads(os.environ)
    reads = BoundedPool(timeout_s=timeout_s, max_concurrency=most, threads=threads_, inline=threads_ == ALONE)
    longest_s = max(timeout_s, WRITE_S)
    writes = BoundedPool(timeout_s=longest_s, max_concurrency=most, threads=1)
    events_ = BoundedPool(timeout_s=longest_s, max_concurrency=most, threads=EVENT_THREADS)  # that wait for one writer
    service = Recommender.openapi_spec.asdict()  # type: ignore[attr-defined]  # the decorator made it a Service
    access, hide = settings.access, functools.partial(pseudonym, key=settings.key)
    return DoorContext(
        door,
        reads,
        writes,
        metrics,
        service,
        check=check(access, hide=hide),
        bounds=EventBounds(
            access.bounds, store=settings.limits_store, shared=settings.shared, hide=hide, refused=metrics.beyond
        ),
        limits=Limits(
            {str(scope): text for scope, text in access.limits.items()},
            store=settings.limits_store,
            shared=settings.shared,
        ),
        open_pages=frozenset(("metrics", "docs") if access.auth == "none" else access.open),
        shadow_token=settings.shadow_token,
        auth=access.auth,
        events=events_,
        words=words.opened(release, settings.home, metrics),
        tracing=Tracing(settings.otlp, share=settings.otlp_share, release=release.id) if settings.otlp else None,
    )


def _scorer(settings: Settings) -> ports.Scorer:
    """Return the intent model, in this process or behind its service."""
    if settings.intent_url:
        return RemoteScorer.open(settings.intent_url, settings.release)
    from components.intent.score import IntentScorer

    scorer = IntentScorer.served(settings.release.folder / INTENT)
    threads.limit(settings.threads)
    return scorer


def _explains(scorer: ports.Scorer) -> ports.Explains | None:
    """Return what says why, where the intent model is in this process."""
    from components.intent import causes
    from components.intent.score import IntentScorer

    return functools.partial(causes.explain, scorer, pieces=causes.QUICK) if isinstance(scorer, IntentScorer) else None


def _explains_forecasts(forecasts: ForecastScorer, scorer: ports.Scorer) -> ports.ExplainsForecasts:
    """Return what says why forecasts are what they are."""
    from components.intent.forecasts import causes

    return functools.partial(causes.explain, forecasts, targets=scorer.vocabulary.target_names)


def _sessions(release: Release) -> ports.Sessions | None:
    """Return the model of intents within a visit, in this process wherever the others are; it needs no torch."""
    folder = release.folder / INTENT / SESSION
    return SessionScorer.load(folder) if held(folder) else None


def _ranker(settings: Settings) -> tuple[ports.Ranker, Grow]:
    """Return the ranker, in this process or behind its service, and how it is laid over other items."""
    if settings.ranking_url:
        remote = RemoteRanker.open(settings.ranking_url, settings.release)
        return remote, remote.over
    from components.ranking import open_catalogue
    from components.ranking.score import Ranker

    ranker = Ranker.served(settings.release.folder / RANKING)
    threads.limit(settings.threads)
    return ranker, lambda items, _: open_catalogue.over(ranker, items)


def folding(release: Release, vocabulary: Vocabulary) -> Folding:
    """Return how events move a profile: as the release's features were made."""
    return Folding(
        calendar=release.calendar,
        vocabulary=vocabulary,
        windows_days=release.profiles.windows_days,
        item_event=release.ranking.event,
        events=release.profiles.rows_hold_events,
        texts=release.profiles.rows_hold_texts,
    )
