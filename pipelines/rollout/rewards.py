"""A release's rewards: how often users acted on what it recommended, from the request log and the event log.

An answer counts once its user's time to act has passed, so that a release that began later is not at a disadvantage.
The wall clock decides on that; whether an event followed an answer is decided on the data's clock, which both logs
keep. Answers to mirrored requests reached nobody and are left out. Which event follows from which answer is said by the
joiner of the rewards table (components/policy/rewards.py); any kind of event counts here, for each answer that showed
its item. While the pseudonyms' key is being changed both names of a person are one (components/data/new_names.py).
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.policy.rewards import Kpi, attributed, logged_s
from feature_repo import columns
from feature_repo.release_folder import ReleaseFolder
from pipelines.environment import Installation
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.people import names_of

READ = [columns.REQUEST_ID, "endpoint", "logged_at", columns.RELEASE, columns.USER_ID, "now", "items", "mirrored"]
USERS = 500  # at a time


def rewarded(place: Installation, releases: Sequence[str], *, since_s: float) -> dict[str, Rewarded]:
    """Join the logs of a state folder."""
    from bentos.recommender.logs import eventlog, requestlog
    from bentos.recommender.logs.json_lines import files, read

    now, names, within_s = time.time(), names_of(place), place.spec.promotion.rollout.reward_s
    answers = names.lines(requestlog.read(place.home / requestlog.FOLDER, since_s=since_s))
    recent = [path for path in files(place.home / eventlog.FOLDER) if path.stat().st_mtime >= since_s]
    events = names.lines(line for path in recent for line in read(path) if columns.ITEM_ID in line)
    return joined(answers, events, releases, since_s=since_s, until_s=now - within_s, within_s=within_s)


def rewarded_of_store(place: Installation, releases: Mapping[str, Path], *, since_s: float) -> dict[str, Rewarded]:
    """Join the answers that doors shipped with the pushed events that the online store keeps; by release folder.

    An event that a batch has taken in meanwhile is in the store's list no more: both releases miss it alike.
    """
    from feature_repo.logs import object_store, shipped_log

    within_s, names = place.spec.promotion.rollout.reward_s, names_of(place)
    with object_store.reached(place.environment.requests.url) as store:
        found = shipped_log.read(store, names=READ, since_s=since_s)
        answers = [answer for answer in found if answer[columns.RELEASE] in releases]
    users = names.every(str(answer[columns.USER_ID]) for answer in answers)
    events = names.lines(_pushed(place.spec.name, releases.values(), users))
    until_s = time.time() - within_s
    return joined(names.lines(answers), events, list(releases), since_s=since_s, until_s=until_s, within_s=within_s)


def _pushed(project: str, folders: Iterable[Path], users: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what users did since the last batch, from the rows of the releases' vocabularies."""
    from feature_repo.online.feast_store import Online, space
    from feature_repo.online.profiles import decoded
    from feature_repo.views import PUSHED

    about = [ReleaseFolder.read(folder) for folder in folders]
    for vocabulary, windows in {r.vocabulary: r.slices["profiles"]["windows_days"] for r in about}.items():
        online = Online.open(space(project, vocabulary), windows_days=tuple(windows))
        for first in range(0, len(users), USERS):
            some = users[first : first + USERS]
            for user, row in zip(some, online.read(PUSHED, some), strict=True):
                for event in decoded(row):
                    yield {columns.USER_ID: user, columns.ITEM_ID: event.item_id, columns.TIMESTAMP: event.at}


def joined(
    answers: Iterable[Mapping[str, Any]],
    events: Iterable[Mapping[str, Any]],
    releases: Sequence[str],
    *,
    since_s: float,
    until_s: float,
    within_s: float,
) -> dict[str, Rewarded]:
    """Count answers of each release since then whose time to act has passed, and those that were acted on."""
    counts = {release: [0, 0] for release in releases}
    meant = (a for a in answers if a[columns.RELEASE] in counts and since_s <= logged_s(a) <= until_s)
    acted = Kpi("acted", within_s=within_s, credit="every")
    for one in attributed(meant, events, [acted], now_s=until_s + within_s):
        counts[one.answer[columns.RELEASE]][0] += 1
        counts[one.answer[columns.RELEASE]][1] += any(one.rewards[acted.name])
    return {release: Rewarded(*pair) for release, pair in counts.items()}
