"""Replay logged answers through the offline path: models and features must give what they gave then.

Scores: a logged user row goes through the release's models again. Features: the row itself is compared with the feature
files and the event log (`offline_rows.py`). The first difference is named, with both values. This only reads; the gate
(components/registry/gates.py) and the rollout decide whether a difference stops a promotion.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bentos.release import INTENT, RANKING, Release
from feature_repo import columns, release_folder
from feature_repo.errors import SpecError, StoreAway
from feature_repo.fallback import Fallback
from pipelines import namespace
from pipelines.answers import offline_rows
from pipelines.answers.past_catalogue import PastCatalogue, changed_since
from pipelines.environment import Installation

if TYPE_CHECKING:
    from components.intent.forecasts.score import ForecastScorer
    from components.intent.score import IntentScorer
    from components.ranking.rules.book import RuleBook
    from components.ranking.score import Ranker

SAMPLE = 200  # logged answers, the newest
SCORES = 1e-5  # by how much a score may differ
REPLAYED = ("recommend", "intents", "rank")
Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """A value that was served and what the offline path gives."""

    request_id: str
    user_id: str  # a pseudonym
    field: str
    online: Any
    offline: Any


def parity(place: Installation, release_id: str | None = None, *, sample: int = SAMPLE) -> dict[str, Any]:
    """Check the newest logged answers of a release, the champion's where none is named.

    `passed` says that answers were compared and none differs: where nothing was compared nothing is known.
    """
    from pipelines.releases import release as releases

    if release_id is None:
        with releases.variables(place):
            folder = releases.assembled(place, releases.resolved(place))
        release_id = folder.parent.name
    folder = releases.models_of(place.home, release_id)
    if not release_folder.holds(folder):
        raise SpecError(
            f"parity: no release {release_id} in {place.home / releases.RELEASES}; `intentflow release` fetches one"
        )
    cluster = namespace.watched(place.environment)
    shipped = bool(cluster and place.environment.requests.url)
    answers = (
        logged_in_store(place.environment.requests.url, release_id, sample=sample)
        if shipped
        else logged(place.home, release_id, sample=sample)
    )
    if not answers:
        where = "request logs stay with their pods (requests.url ships them), and " if cluster and not shipped else ""
        return _document(
            release_id, [], [], reason=f"{where}no answer of release {release_id} is logged here yet: nothing to replay"
        )
    with releases.variables(place):  # they say whose releases are loaded
        release = Release.verified(folder)
    gone = changed_since(place, answers)
    found = list(scores_of(place, release, [a for a in answers if str(a[columns.REQUEST_ID]) not in gone]))
    unscored = (
        f"scores of {len(gone)} were not compared: people in their catalogue were forgotten since" if gone else ""
    )
    if shipped:
        why = "features were not recomputed: the pods' newest events are not in the store"
        return _document(release_id, answers, found, reason="; ".join(filter(None, (why, unscored))))
    offline = offline_rows.Offline.of(place, release, [str(answer[columns.USER_ID]) for answer in answers])
    if offline is None:
        why = "; ".join(filter(None, (_features_unchecked(place), unscored)))
        return _document(release_id, answers, found, reason=why)
    # Features first: a wrong one moves scores too, and it is the one to name.
    found = [d for answer in answers for d in features_of(offline, answer)] + found
    memories, why = memories_of(place, offline, answers)
    return _document(release_id, answers, found + memories, reason="; ".join(filter(None, (why, unscored))))


def logged(home: Path, release_id: str, *, sample: int) -> list[Answer]:
    """Return the newest answers of a release that its models made."""
    from bentos.recommender.logs import requestlog
    from feature_repo.logs import request_log

    return _newest(request_log.read(home / requestlog.FOLDER, newest_first=True), release_id, sample)


def logged_in_store(url: str, release_id: str, *, sample: int) -> list[Answer]:
    """Return the same of what doors have shipped."""
    from feature_repo.logs import object_store, shipped_log

    with object_store.reached(url) as store:
        return _newest(shipped_log.read(store, newest_first=True), release_id, sample)


def _newest(answers: Iterator[dict[str, Any]], release_id: str, sample: int) -> list[Answer]:
    ours = (
        answer
        for answer in answers
        if answer[columns.RELEASE] == release_id
        and answer["endpoint"] in REPLAYED
        and answer["rung"] in columns.MODELLED
        and not answer["degraded"]
    )
    return list(itertools.islice(ours, sample))


def scores_of(place: Installation, release: Release, answers: Sequence[Answer]) -> Iterator[Difference]:
    """Score logged rows with the release's models again, over the catalogue that each answer rests on."""
    from components.intent.forecasts.score import ForecastScorer
    from components.intent.score import IntentScorer
    from components.ranking.score import Ranker

    forecasts = ForecastScorer.served(release.folder / INTENT)
    scorer, ranker = IntentScorer.served(release.folder / INTENT), Ranker.served(release.folder / RANKING)
    past, segments = PastCatalogue(place, ranker), Fallback.load(release.folder / RANKING).names
    for answer in answers:
        try:
            then = past.ranker_of(answer)
        except SpecError as gone:
            yield _difference(answer, columns.CATALOGUE_VERSION, answer[columns.CATALOGUE_VERSION], str(gone))
            continue
        yield from rescored(scorer, then, answer)
        if answer["endpoint"] == "recommend":
            yield from rules_kept(answer, past.rules_of(answer, then, release), then, segments)
        if forecasts is not None:
            yield from forecast_again(forecasts, answer)


def rescored(scorer: "IntentScorer", ranker: "Ranker", answer: Answer) -> Iterator[Difference]:
    """Compare an answer's probabilities, then the scores of its items, with what its row gives now."""
    from bentos.recommender.logs import requestlog

    rows, names = requestlog.rows_of(answer), scorer.vocabulary.target_names
    served, again = np.asarray(answer["probabilities"]), np.asarray(scorer.predict(rows)[0], dtype=np.float64)
    if len(served) != len(again):
        yield _difference(answer, "probabilities", f"{len(served)} of them", f"{len(again)} of them")
        return
    for target in np.flatnonzero(~np.isclose(served, again, rtol=0.0, atol=SCORES)):
        yield _difference(answer, f"probability of {names[target]}", float(served[target]), float(again[target]))
    if (algorithm := answer["asked"].get(columns.PLACEMENT_ALGORITHM)) is not None:
        ranker = ranker.by(algorithm)
    spoke = answer["asked"].get(columns.ALGORITHM)
    offline_spoke = (ranker.chosen(rows, again.astype(np.float32)) or {}).get(columns.ALGORITHM)
    listed = answer["endpoint"] == "recommend" and answer["items"]
    if (listed or (spoke and answer["endpoint"] == "rank")) and spoke != offline_spoke:
        yield _difference(answer, columns.ALGORITHM, spoke, offline_spoke)
        return
    shown = {str(i[columns.ITEM_ID]): float(i["score"]) for i in answer["items"] or ()}
    if answer["endpoint"] == "rank":
        shown = dict(zip(answer["asked"]["item_ids"], answer["asked"]["scores"], strict=True))
    index = ranker.vocabulary.index_of_item
    if shown and all(item in index for item in shown):
        places = np.asarray([index[item] for item in shown])
        offline = ranker.score(rows, again, places)
        for (item, score), value in zip(shown.items(), offline, strict=True):
            if not np.isclose(score, value, rtol=SCORES, atol=SCORES):
                yield _difference(answer, f"score of item {item}", score, float(value))


def rules_kept(answer: Answer, rules: "RuleBook", ranker: "Ranker", segments: Sequence[str]) -> Iterator[Difference]:
    """Compare the rules that held with those of the answer's version, and its list with what they allow."""
    from bentos.recommender.logs import requestlog
    from components.ranking.rules import past
    from components.ranking.rules.book import Asked
    from components.ranking.rules.listing import violations

    logged, rows, index = answer["asked"], requestlog.rows_of(answer), ranker.vocabulary.index_of_item
    number = rows.numbers.get(columns.SEGMENT)
    segment = segments[int(number[0])] if number is not None and 0 <= number[0] < len(segments) else None
    had, shown = past.of_row(rows, ranker.vocabulary.signs)
    asked = Asked(int(rows.now[0]), logged.get("placement"), segment, had, shown)
    held = rules.for_list(asked)
    names = [one.rule.name for one in held]
    if names != (served := list(logged.get("rules") or ())):
        yield _difference(answer, "rules", ", ".join(served) or "none", ", ".join(names) or "none")
        return
    items = [index[item] for i in answer["items"] or () if (item := str(i[columns.ITEM_ID])) in index]
    unmet = {*(logged.get("rules_unmet") or ())}
    for broken in violations(items, [one for one in held if one.rule.name not in unmet], asked):
        yield _difference(answer, f"rule {broken.rule}", broken.why, "is not allowed")


def forecast_again(forecasts: "ForecastScorer", answer: Answer) -> Iterator[Difference]:
    """Compare the forecasts that an answer's models gave with what its row gives now."""
    from bentos.recommender.logs import requestlog

    served = [one for one in answer["asked"].get("forecasts") or () if one["basis"] == "model"]
    again = {one["name"]: _leaves(one) for one in forecasts.said(requestlog.rows_of(answer))} if served else {}
    for one in served:
        offline = again.get(one["name"], {})
        for name, value in _leaves(one).items():
            if name not in offline or not np.isclose(value, offline[name], rtol=SCORES, atol=SCORES):
                yield _difference(answer, f"forecast {one['name']}: {name}", value, offline.get(name, "none"))


def _leaves(one: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a forecast, its probabilities by value."""
    plain = {name: float(value) for name, value in one.items() if isinstance(value, int | float)}
    return plain | {f"probability of {value}": float(p) for value, p in (one.get("probabilities") or {}).items()}


def features_of(offline: offline_rows.Offline, answer: Answer) -> Iterator[Difference]:
    """Compare a logged row with the one that the user's events give."""
    expected = offline.row(answer)
    if expected is None:
        return
    for field, online, again in offline_rows.contrasts(answer, expected):
        yield _difference(answer, field, online, again)


def memories_of(
    place: Installation, offline: offline_rows.Offline, answers: Sequence[Answer]
) -> tuple[list[Difference], str]:
    """Compare the event memories that the store has of the answers' users; say why where it cannot be asked."""
    from feature_repo.online.profiles import OnlineProfiles
    from pipelines.answers import memory_parity
    from pipelines.releases import release as releases

    newest = {str(answer[columns.USER_ID]): answer for answer in reversed(answers)}
    try:
        with releases.variables(place):
            profiles = OnlineProfiles.open(place.spec.name, offline.folding)
            found = list(memory_parity.differences(profiles, offline, sorted(newest)))
    except StoreAway as away:
        return [], f"event memories were not compared: {away}"
    return [_difference(newest[user], columns.MEMORY, ours, theirs) for user, ours, theirs in found], ""


def text(document: Mapping[str, Any]) -> str:
    """Return the document as a person reads it."""
    head = "parity holds" if document["passed"] else "PARITY BROKEN" if document["checked"] else "parity not checked"
    lines = [f"{head}: {document['reason']}"]
    lines += [f"  {field}: {count} answers" for field, count in list(document["by_field"].items())[:10]]
    return "\n".join(lines)


def _features_unchecked(place: Installation) -> str:
    return (
        f"features were not recomputed: {place.home} has no feature files of the release's vocabulary, or they have "
        "another calendar or other windows"
    )


def _difference(answer: Answer, field: str, online: Any, offline: Any) -> Difference:
    return Difference(str(answer[columns.REQUEST_ID]), str(answer[columns.USER_ID]), field, online, offline)


def _document(
    release_id: str, answers: Sequence[Answer], found: Sequence[Difference], *, reason: str
) -> dict[str, Any]:
    wrong = {d.request_id for d in found}
    first = found[0] if found else None
    if first is not None:
        reason = (
            f"{len(wrong)} of {len(answers)} logged answers differ when replayed; first {first.field} of user "
            f"{first.user_id} (request {first.request_id}): served {first.online}, offline {first.offline}"
        )
    elif answers:
        reason = f"{len(answers)} logged answers were replayed and none differs" + (reason and f"; {reason}")
    fields = Counter(field for _, field in {(d.request_id, d.field) for d in found})
    return {
        "release": release_id,
        "checked": len(answers),
        "mismatches": len(wrong),
        "by_field": dict(fields.most_common()),
        "first": vars(first) if first else None,
        "passed": bool(answers) and not found,
        "reason": reason,
    }
