"""What a release earned: how often users acted on what it recommended, from the request log and the event log.

An answer counts once its user's time to act has passed, so that a release that began later is not at a disadvantage.
That is a matter of the wall's clock; whether an event followed an answer is one of the data's, which both logs keep.
Answers to mirrored requests reached nobody and are left out.
"""

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from feature_repo import columns
from pipelines.rollout.hands import Rewarded


def rewarded(home: Path, releases: Sequence[str], *, since_s: float, within_s: float) -> dict[str, Rewarded]:
    """Join the logs of a state folder."""
    from bentos.recommender import eventlog, requestlog
    from bentos.recommender.lines import files, read

    now = time.time()
    answers = requestlog.read(home / requestlog.FOLDER, since_s=since_s)
    recent = [path for path in files(home / eventlog.FOLDER) if path.stat().st_mtime >= since_s]
    events = (line for path in recent for line in read(path) if columns.ITEM_ID in line)
    return joined(answers, events, releases, since_s=since_s, until_s=now - within_s, within_s=within_s)


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
    acted: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        acted[str(event[columns.USER_ID]), str(event[columns.ITEM_ID])].append(float(event[columns.TIMESTAMP]))
    counts = {release: [0, 0] for release in releases}
    for answer in answers:
        if answer[columns.RELEASE] not in counts or answer["endpoint"] != "recommend":
            continue
        if answer.get("mirrored") or not since_s <= _seconds(answer["logged_at"]) <= until_s:
            continue
        user, at = str(answer[columns.USER_ID]), float(answer["now"])
        times = (t for item in answer["items"] for t in acted.get((user, str(item[columns.ITEM_ID])), ()))
        counts[answer[columns.RELEASE]][0] += 1
        counts[answer[columns.RELEASE]][1] += any(at <= t <= at + within_s for t in times)
    return {release: Rewarded(*pair) for release, pair in counts.items()}


def _seconds(at: Any) -> float:
    """Return a wall time of the log as epoch seconds."""
    instant = at if isinstance(at, dt.datetime) else dt.datetime.fromisoformat(str(at))
    return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp()
