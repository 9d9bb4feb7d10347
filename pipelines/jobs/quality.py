"""Realised quality as labels ripen: `intentflow quality`, job `quality`.

Answers come from the request log (of this machine, or what doors shipped), what users did from the source's clean
tables and from the event log, whose lines may be newer. How late labels come is the spec's `monitoring.quality`, or
measured of the source: the time by which 99 % of its last events became known. Labels are ripe by the source's own end.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.clock import DAY_S, epoch
from feature_repo.errors import DataError, ServerError, SpecError
from feature_repo.release_folder import ReleaseFolder
from monitoring.quality.joined import Events, Reading, Rule
from pipelines import namespace
from pipelines.environment import Installation
from pipelines.jobs import sources
from pipelines.leases.lease import Lease
from pipelines.releases import release as releases
from pipelines.runs import local

NEWEST = 20_000  # events whose delay is measured
DELAYED = 0.99
EVENT_COLUMNS = [columns.USER_ID, columns.ITEM_ID, columns.EVENT, columns.TIMESTAMP]


def quality(place: Installation, lease: Lease) -> dict[str, Any]:
    """Do the job `quality`: measure what is ripe, keep it, leave the mark."""
    with local.alone(place.home):
        last = local.last_run(place.home)
        clean = sources.clean(place) if last is None else last.folders["clean"]
    lease.require()
    found = look(place, clean=clean)
    return {key: found[key] for key in ("reason", "why", "period", "measured", "lines")}


def look(place: Installation, *, clean: Path | None = None) -> dict[str, Any]:
    """Measure what answers turned out to be worth; the clean tables are the last run's, unless others are given."""
    from monitoring.quality import steps

    last = local.last_run(place.home)
    if clean is None and last is not None:
        clean = last.folders["clean"]
    if clean is None:
        raise SpecError(f"{place.home}: no finished run to take labels from; `intentflow run {place.spec_path}`")
    spec = place.spec.monitoring.quality
    snapshot = files.read_json(clean / "snapshot.json")
    delay_s = delay(clean / "events.parquet") if spec.label_delay_days is None else spec.label_delay_days * DAY_S
    reward_s = place.spec.promotion.rollout.reward_s
    rule = Rule(delay_s, reward_s, known_until=epoch(snapshot["last"]) + 1)
    left_out: dict[str, str] = {}
    with releases.variables(place):
        found = steps.look(
            place.spec.name,
            place.home,
            answers=_answers(place),
            events=Events.of(_events(place, clean)),
            reading_of=_readings(place, left_out),
            rule=rule,
            spec=spec,
            calendar=Calendar(**snapshot["calendar"]),
            limit=place.spec.monitoring.sample,
        )
    return found | {
        "label_delay_days": round(delay_s / DAY_S, 3),
        "known_until": snapshot["last"],
        "left_out": left_out,
    }


def delay(events: Path) -> float:
    """Return after how many seconds 99 % of a source's last events were known; 0 where it tells no such time."""
    table = pq.read_table(events, columns=[columns.TIMESTAMP, columns.CREATED_AT])
    at, known = (np.asarray(table[name].cast("int64").to_numpy()) for name in table.column_names)
    newest = np.argsort(at, kind="stable")[-NEWEST:]
    late = np.maximum(known[newest] - at[newest], 0)
    return float(np.quantile(late, DELAYED, method="inverted_cdf")) / 1e6 if len(late) else 0.0


def _answers(place: Installation) -> Iterator[dict[str, Any]]:
    """Yield the logged answers, oldest first: of this machine, or what doors shipped."""
    from feature_repo.logs import object_store, request_log, shipped_log

    if namespace.watched(place.environment):
        if not place.environment.requests.url:
            raise SpecError(
                "quality: request logs stay with their pods; give `requests: {url: …}` in the environment, so that "
                "they are shipped"
            )
        with object_store.reached(place.environment.requests.url) as store:
            yield from shipped_log.read(store)
        return
    yield from request_log.read(place.home / columns.REQUESTS_FOLDER)


def _events(place: Installation, clean: Path) -> Iterator[tuple[str, float, str, str]]:
    """Yield (user, epoch seconds, item, kind): the source's, and those that the door took, which may be newer."""
    from bentos.recommender.logs import eventlog
    from bentos.recommender.logs.json_lines import files as log_files
    from bentos.recommender.logs.json_lines import read

    for batch in pq.ParquetFile(clean / "events.parquet").iter_batches(columns=EVENT_COLUMNS):
        users, items, kinds = (batch[name].to_pylist() for name in EVENT_COLUMNS[:3])
        at = batch[columns.TIMESTAMP].cast("int64").to_numpy() / 1e6
        yield from zip(users, at.tolist(), items, kinds, strict=True)
    for path in log_files(place.home / eventlog.FOLDER):
        for line in read(path):
            if columns.ITEM_ID in line:
                at = float(line[columns.TIMESTAMP])
                yield str(line[columns.USER_ID]), at, str(line[columns.ITEM_ID]), str(line[columns.EVENT])


def _readings(place: Installation, left_out: dict[str, str]) -> Callable[[str], Reading | None]:
    """Return who reads a release by its id, fetched from the registry where it is not here; `left_out` says why not."""
    ahead = int(place.spec.ranking_rows().get(columns.LABELS_AHEAD, 1))

    @functools.cache
    def of(release_id: str) -> Reading | None:
        try:
            return reading(ReleaseFolder.read(_folder(place, release_id)), ahead=ahead)
        except (DataError, SpecError, ServerError) as error:
            left_out[release_id] = " ".join(str(error).split())
            return None

    return of


def reading(released: ReleaseFolder, *, ahead: int = 1) -> Reading:
    """Return how a release's answers are read; one without thresholds says yes from 0.5 on.

    `ahead` are the steps that the ranker's labels look ahead.
    """
    from components.intent.decisions import Thresholds, headline
    from feature_repo.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(released.ranking / "vocabulary")
    chosen = Thresholds.read(released.intent, vocabulary.target_names)
    by_target = np.full(len(vocabulary.targets), 0.5) if chosen is None else chosen.by_target
    event = released.slices.get("ranking", {}).get("event")
    return Reading(vocabulary, by_target, headline(vocabulary), ahead, event)


def _folder(place: Installation, release_id: str) -> Path:
    from components.registry import client as mlflow_client
    from components.registry.release import model_name

    folder = releases.models_of(place.home, release_id)
    if folder.is_dir():
        return folder
    with mlflow_client.connected() as client:
        found = mlflow_client.version_tagged(client, model_name(place.spec.name), "id", release_id)
    if found is None:
        raise SpecError(f"release {release_id}: is not in the registry any more, so its answers cannot be read")
    return releases.assembled(place, str(found.version))


def text(found: dict[str, Any]) -> str:
    """Return a look as a person reads it: a line a period, what was promised beside what came true."""
    head = {"performance": "quality: fell", "none": "quality: as usual"}.get(found["reason"], "quality: undecided")
    lines = [f"{head} ({found['why']})" if found["why"] else head]
    for one in found["periods"]:
        said = ", ".join(_figure(metric, value) for metric, value in one["realised"].items())
        promised = ", ".join(f"{metric} {value:.3f}" for metric, value in one["estimate"].items())
        waits = said or ("too few users" if one["ripe"] else "labels are not ripe")
        lines.append(f"  {one['starts'][:10]} release {one['release']} {one['users']:>6} users  {waits}")
        if promised:
            lines.append(f"    promised before labels came: {promised}")
    lines += [f"  release {name} left out: {why}" for name, why in found["left_out"].items()]
    return "\n".join(lines)


def _figure(metric: str, one: dict[str, float | None]) -> str:
    low, high = one.get("low"), one.get("high")
    ends = "" if low is None or high is None else f" ({low:.3f}-{high:.3f})"
    return f"{metric} {one['value']:.3f}{ends}"
