"""What people were shown, and what they then did: the logs of a window, for the console's KPIs.

Reads this machine's logs, or what doors shipped. Which act follows from which answer is said by the joiner of the
rewards table (components/policy/rewards.py); which kinds of events are acts, by the spec.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_repo import columns
from feature_repo.clock import DAY_S
from feature_repo.errors import SpecError
from pipelines import namespace
from pipelines.environment import Installation

if TYPE_CHECKING:
    from components.policy.rewards import Found, Kpi, Rewarded

MOST = 20_000  # answers, the newest: some seconds of reading
READ = (
    columns.REQUEST_ID, "endpoint", "logged_at", columns.RELEASE, columns.USER_ID, "now", "rung", "degraded", "items",
    "mirrored", "sample",
)  # fmt: skip
CLICKED, BOUGHT, REVENUE = "_clicked", "_bought", "_revenue"  # no name that policy.rewards may give
NO_KIND = frozenset({"\0"})  # a KPI without kinds takes every event


@dataclass(frozen=True)
class Shown:
    """The answers that people saw in a window, oldest first, and what they brought by KPI."""

    rewarded: "tuple[Rewarded, ...]"
    found: "Found"
    kpis: "dict[str, Kpi]"  # CLICKED, BOUGHT, REVENUE
    declared: "dict[str, Kpi]"  # by policy.rewards
    valued: int  # events of the kind that is bought, which carry a value
    unvalued: int  # and such as carry none
    capped: bool


def shown(place: Installation, *, days: int, now_s: float | None = None) -> Shown:
    """Read the last days, by the wall clock."""
    from components.policy.rewards import Found, attributed

    now_s = time.time() if now_s is None else now_s
    since_s = now_s - days * DAY_S
    answers, capped = _newest(place, since_s)
    events = list(events_since(place, since_s)) if answers else []
    kinds = {str(event.get(columns.EVENT)) for event in events}
    standard = _standard(place, kinds)
    declared = {one.name: one.kpi() for one in place.spec.policy.rewards}
    found = Found()
    asked = [*standard.values(), *declared.values()]
    made = attributed(answers, events, asked, now_s=now_s, bots=place.spec.policy.bots.rule(), found=found)
    bought = [event for event in events if standard[BOUGHT].takes(event)]
    valued = sum(event.get(columns.VALUE) is not None for event in bought)
    return Shown(tuple(made), found, standard, declared, valued, len(bought) - valued, capped)


def _standard(place: Installation, kinds: set[str]) -> "dict[str, Kpi]":
    """Return what a click, a purchase and revenue are here, by what the spec says of kinds of events."""
    from components.policy.rewards import Kpi

    ranking = place.spec.models.ranking
    signs, within_s = ranking.signs(place.spec.data.without_item), place.spec.promotion.rollout.reward_s
    acts = frozenset(kinds - set(signs.unwanted) - {signs.shown}) or NO_KIND
    main = frozenset({ranking.main_event}) if ranking.main_event else acts
    return {
        CLICKED: Kpi(CLICKED, within_s=within_s, events=acts),
        BOUGHT: Kpi(BOUGHT, within_s=within_s, events=main),
        REVENUE: Kpi(REVENUE, within_s=within_s, events=main, amount=columns.VALUE),
    }


def _newest(place: Installation, since_s: float) -> tuple[list[Mapping[str, Any]], bool]:
    """Return the newest MOST answers of /recommend since then, oldest first, and whether there are more."""
    from components.policy.rewards import logged_s

    found: list[Mapping[str, Any]] = []
    for some in answers_since(place, since_s):
        found += [one for one in some if logged_s(one) >= since_s]
        if len(found) > MOST:
            break
    found.sort(key=logged_s)
    return found[-MOST:], len(found) > MOST


def answers_since(place: Installation, since_s: float) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield the logged answers of /recommend, a file's at a time, the newest file first."""
    import pyarrow.compute as pc

    from feature_repo.logs import object_store, request_log, shipped_log

    if not place.environment.requests.url and namespace.watched(place.environment):
        raise SpecError(
            "figures: request logs stay with the doors' pods, so nothing can be counted here; give "
            "`requests: {url: …}` in the environment, so that they are shipped"
        )
    if place.environment.requests.url:
        with object_store.reached(place.environment.requests.url) as store:
            answers = shipped_log.read(store, names=READ, since_s=since_s, newest_first=True)
            yield from ([one] for one in answers if one["endpoint"] == "recommend")
        return
    for table in request_log.tables(place.home / columns.REQUESTS_FOLDER, names=READ, since_s=since_s):
        yield table.filter(pc.equal(table["endpoint"], "recommend"))[-MOST - 1 :].to_pylist()


def events_since(place: Installation, since_s: float) -> Iterator[Mapping[str, Any]]:
    """Yield what users' clients sent, of files that were written since then."""
    from bentos.recommender.logs import json_lines
    from feature_repo.logs import object_store, shipped_log

    if place.environment.requests.url:
        with object_store.reached(place.environment.requests.url) as store:
            yield from shipped_log.read_events(store)
        return
    for path in json_lines.files(place.home / columns.EVENTS_FOLDER):
        there = path if path.exists() else path.with_name(f"{path.name}{json_lines.PACKED}")  # compressed meanwhile
        if there.stat().st_mtime >= since_s:
            yield from json_lines.read(there)


def catalogue(place: Installation, release: str) -> set[str]:
    """Return the items of a release that is here; empty where it is not."""
    from feature_repo.errors import DataError
    from feature_repo.release_folder import ReleaseFolder
    from feature_repo.vocabulary import Vocabulary
    from pipelines.releases.release import models_of

    try:
        folder = ReleaseFolder.described(models_of(place.home, release))
        return set(Vocabulary.load(folder.ranking / "vocabulary").item_ids)
    except (DataError, OSError):
        return set()


def users_of(made: "Sequence[Rewarded]") -> dict[str, int]:
    """Number the users of answers."""
    return {user: n for n, user in enumerate(dict.fromkeys(str(one.answer[columns.USER_ID]) for one in made))}
