"""Explain a logged answer: release, rung, features, events, intents and items, from the request log.

The raw user id is hashed first and never printed. The reasons for items come from the release's ranker, which is asked
again with the logged row, where the release is on this machine.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.content import words
from feature_repo import columns, files, release_folder
from feature_repo.errors import SpecError, StoreAway
from feature_repo.logs import request_log
from feature_repo.privacy.pseudonyms import pseudonym, ring
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Vocabulary
from pipelines.answers import offline_rows
from pipelines.answers.past_catalogue import PastCatalogue
from pipelines.environment import Installation
from pipelines.releases.release import models_of, variables
from pipelines.runs import local

if TYPE_CHECKING:
    from components.intent.causes import Explained

NEAR = 3  # answers that are named where none fits
APART_S = 1.0  # an answer of that second is the one that was asked for
LATEST = 10  # events shown
MOST_INTENTS, MOST_FEATURES = 5, 12
MOST_EXPLAINED, MOST_CAUSES = 3, 5  # intents, and causes of each in the text
TELLING = ("events_total", "sessions_total", "items_total", "weeks_total", "last_at", "value_total")


def why(
    place: Installation,
    *,
    user: str | None = None,
    at: str | None = None,
    request_id: str | None = None,
    picture: Path | None = None,
) -> dict[str, Any]:
    """Explain one logged answer: by its id, or the one that a user got at a time (the last before it).

    `picture` is an SVG file to write, of what the answer's likeliest intents rest on.
    """
    if (user is None) == (request_id is None):
        raise SpecError("why: give --user (with --at, or the latest answer counts) or --request, one of them")
    answer = _asked_for(place, user=user, at=at, request_id=request_id)
    folder = models_of(place.home, str(answer[columns.RELEASE]))
    with variables(place):  # they say whose releases are loaded
        here = ReleaseFolder.verified(folder) if release_folder.holds(folder) else None
    causes = _causes(here, answer)
    if picture is not None:
        _draw(picture, answer, causes)
    return {
        "request_id": answer[columns.REQUEST_ID],
        "logged_at": answer["logged_at"],
        "endpoint": answer["endpoint"],
        "release": answer[columns.RELEASE],
        "judged": dict(here.judged) if here else {},
        "policy": answer["policy"],
        "baselines": dict(here.baselines) if here else {},
        "verb": place.spec.verb,
        "step": place.spec.data.step,
        columns.CATALOGUE_VERSION: answer.get(columns.CATALOGUE_VERSION),
        "user_id": answer[columns.USER_ID],
        "now": _iso(answer["now"]),
        "rung": answer["rung"],
        columns.ALGORITHM: (answer["asked"] or {}).get(columns.ALGORITHM),
        "degraded": answer["degraded"],
        "latency_ms": answer["latency_ms"],
        "mirrored": bool(answer.get("mirrored")),
        "trace_id": answer.get("trace_id"),
        "asked": answer["asked"],
        "features": _features(answer),
        "events": _events(place, answer),
        **(_told(place, here, answer) if here else _untold(answer)),
        "causes": [one.document() for one in causes],
        **_forecast_causes(here, answer),
        **({"picture": str(picture)} if picture else {}),
    }


def _causes(here: ReleaseFolder | None, answer: Mapping[str, Any]) -> list["Explained"]:
    """Say what the likeliest intents of an answer rest on; [] where no model of a release that is here gave them."""
    from bentos.recommender.logs import requestlog
    from components.intent import causes
    from components.intent.score import IntentScorer

    if here is None or answer["rung"] not in columns.MODELLED:
        return []
    best = np.argsort(-np.asarray(answer["probabilities"]), kind="stable")[:MOST_EXPLAINED]
    return causes.explain(IntentScorer.served(here.intent), requestlog.rows_of(answer), best.tolist())


def _forecast_causes(here: ReleaseFolder | None, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the forecasts for the user rest on; nothing where a release has none, or no model answered."""
    from bentos.recommender.logs import requestlog
    from components.intent.forecasts import causes
    from components.intent.forecasts.score import ForecastScorer

    if here is None or answer["rung"] not in columns.MODELLED:
        return {}
    scorer = ForecastScorer.served(here.intent)
    if scorer is None:
        return {}
    names = Vocabulary.load(here.intent / "vocabulary").target_names
    found = causes.explain(scorer, requestlog.rows_of(answer), targets=names)
    return {"forecast_causes": [one.document() for one in found]}


def _draw(picture: Path, answer: Mapping[str, Any], causes: list["Explained"]) -> None:
    from components.intent import cause_picture

    if not causes:
        raise SpecError(
            f"--picture: the answer {answer[columns.REQUEST_ID]} came from no network or trees of a release that is on "
            f"this machine (rung {answer['rung']}), so nothing says what its intents rest on; leave --picture out, or "
            "name another answer"
        )
    title = f"What the intents of answer {answer[columns.REQUEST_ID]} rest on, release {answer[columns.RELEASE]}"
    with files.written(picture) as aside:
        aside.write_text(cause_picture.svg(title, causes), encoding="utf-8")


def _asked_for(place: Installation, *, user: str | None, at: str | None, request_id: str | None) -> dict[str, Any]:
    folder = place.home / columns.REQUESTS_FOLDER
    if request_id is not None:
        for answer in request_log.read(folder, newest_first=True):
            if answer[columns.REQUEST_ID] == request_id:
                return answer
        raise SpecError(f"--request: no answer '{request_id}' in {folder}; `why --user U` finds a user's answers")
    names = {pseudonym(str(user), key) for key in ring(place.variables)}
    theirs = [a for a in request_log.read(folder) if a[columns.USER_ID] in names and not a.get("mirrored")]
    if not theirs:
        have = [str(a["logged_at"]) for a in request_log.read(folder, newest_first=True)][:1]
        raise SpecError(
            f"--user: no logged answer for this user in {folder}; the log's latest answer is of {have[0]}"
            if have
            else f"--user: {folder} has no answer yet; `intentflow serve` and ask for one"
        )
    theirs.sort(key=lambda a: str(a["logged_at"]))
    if at is None:
        return theirs[-1]
    instant = _instant(at)
    before = [a for a in theirs if _logged(a) <= instant + APART_S]
    if not before:
        nearest = ", ".join(str(a["logged_at"]) for a in theirs[:NEAR])
        raise SpecError(f"--at: this user had no answer by {at}; the nearest are of {nearest}")
    return before[-1]


def _features(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the row as served: numbers with the time they were known at, and what lists hold most."""
    known_at = _iso(answer[columns.STATE_AT])
    numbers = [{"name": n, "value": v, "at": known_at} for n, v in (answer["numbers"] or {}).items()]
    lists = [{"name": n, "value": v, "at": known_at} for n, v in (answer["lists"] or {}).items()]
    return numbers + lists


def _events(place: Installation, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the user's latest events that the row may have known, newest first."""
    return events_of(place, str(answer[columns.USER_ID]), before=int(answer[columns.STATE_AT]))


def events_of(place: Installation, user: str, *, before: float) -> list[dict[str, Any]]:
    """Return a pseudonym's latest events before a time (epoch seconds) that are on this machine, newest first."""
    from bentos.recommender.logs import eventlog

    run = local.last_run(place.home)
    found = [
        ("data", e) for e in (offline_rows.clean_events(run.folders["clean"], [user]).get(user, ()) if run else ())
    ]
    found += [("service", e) for e in offline_rows.accepted(place.home / eventlog.FOLDER).get(user, ())]
    known = sorted((e for e in found if e[1][columns.TIMESTAMP] < before), key=lambda e: int(e[1][columns.TIMESTAMP]))
    return [
        {
            "at": _iso(event[columns.TIMESTAMP]),
            columns.EVENT: event.get(columns.EVENT),
            columns.ITEM_ID: event[columns.ITEM_ID],
            "from": source,
        }
        for source, event in reversed(known[-LATEST:])
    ]


def _told(place: Installation, released: ReleaseFolder, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Name intents and items, and give the ranker's reasons for the items, from the row as served."""
    from bentos.recommender.logs import requestlog
    from components.ranking.score import Ranker

    rows = requestlog.rows_of(answer)
    ranker, note = Ranker.served(released.ranking), ""
    try:
        ranker = PastCatalogue(place, ranker).ranker_of(answer)
    except (SpecError, StoreAway) as missing:
        note = f"{missing}: reasons are those of the release's own items"
    vocabulary, probabilities = ranker.vocabulary, np.asarray(answer["probabilities"])
    best = np.argsort(-probabilities, kind="stable")[:MOST_INTENTS]
    intents = [{"name": vocabulary.target_names[t], "probability": float(probabilities[t])} for t in best]
    shown = answer["items"] or []
    reasons: dict[str, dict[str, float]] = {}
    if shown and answer["rung"] in columns.MODELLED:
        index = vocabulary.index_of_item
        gone = frozenset(index[i] for i in (answer["asked"] or {}).get("exclude", ()) if i in index)
        # The user may be one of them here, and so may people who came later, whom only the memory bars.
        k = len(shown) + bool(released.slices["ranking"].get("exclude_self")) + len(ranker.later.place_of)
        if (asked := answer["asked"] or {}).get(columns.PLACEMENT_ALGORITHM):
            ranker = ranker.by(asked[columns.PLACEMENT_ALGORITHM])
        if asked.get("rules"):  # they may have brought what would stand further down
            mine = {index[i[columns.ITEM_ID]] for i in shown if i[columns.ITEM_ID] in index}
            gone, k = frozenset(range(len(vocabulary.item_ids))) - mine, len(mine)
        again = ranker.recommend(rows, probabilities.astype(np.float32), k=k, exclude=gone)
        reasons = {vocabulary.item_ids[one.item_index]: dict(one.reasons) for one in again}
    chosen = ranker.chosen(rows, probabilities.astype(np.float32)) if answer["rung"] in columns.MODELLED else None
    titles = dict(zip(vocabulary.item_ids, vocabulary.items[columns.TITLE].to_pylist(), strict=True))
    items = [
        {"title": titles.get(item[columns.ITEM_ID]), **item, "reasons": reasons.get(item[columns.ITEM_ID], {})}
        for item in shown
    ]
    return {"intents": intents, "items": items, "note": note, "chosen": chosen}


def _untold(answer: Mapping[str, Any]) -> dict[str, Any]:
    note = f"release {answer[columns.RELEASE]} is not on this machine: no names, no reasons"
    return {"intents": [], "items": answer["items"] or [], "note": note, "chosen": None}


def text(found: Mapping[str, Any]) -> str:
    """Return the explanation as a person reads it."""
    numbers = {f["name"]: f["value"] for f in found["features"] if not isinstance(f["value"], list)}
    telling = [n for n in TELLING if n in numbers] + [n for n in numbers if n.endswith(("_7d", "_28d"))]
    known_at = found["features"][0]["at"] if found["features"] else "never"
    lines = [
        f"Answer     {found['request_id']} of {found['logged_at']}: /{found['endpoint']}, {found['latency_ms']:g} ms",
        f"Release    {found['release']}, policy {found['policy']}{_judged(found.get('judged', {}))}",
        *(
            f"Baseline   {part} by {name}: {words.baseline(name, found['verb'], found['step'])}; "
            "no model had passed its gates"
            for part, name in found["baselines"].items()
        ),
        *([f"Catalogue  version {found[columns.CATALOGUE_VERSION]}"] if found[columns.CATALOGUE_VERSION] else []),
        *_rule_lines(found["asked"] or {}),
        f"Rung       {found['rung']}" + (f", degraded: {found['degraded']}" if found["degraded"] else ""),
        *_algorithm(found),
        f"User       {found['user_id']}, asked about {found['now']}",
        f"Features   as known at {known_at}",
        *(f"  {name:<24} {_shown(name, numbers[name])}" for name in telling[:MOST_FEATURES]),
        "Events     the latest that it knew",
        *(f"  {e['at']}  {e['event'] or 'event'} {e['item_id'] or '-'} ({e['from']})" for e in found["events"]),
        "Intents    " + ", ".join(f"{i['name']} {i['probability']:.0%}" for i in found["intents"]),
        *(line for one in found.get("causes", []) for line in _cause_lines(one)),
        *(line for one in found.get("forecast_causes", []) for line in _forecast_lines(one)),
        "Items",
    ]
    for item in found["items"]:
        reasons = ", ".join(
            words.reason(why, value, found["verb"], found["step"])
            for why, value in list(item.get("reasons", {}).items())[:4]
        )
        name = item.get("title") or item["item_id"]
        lines.append(f"  {item['position']}. {name}  [{item['source']}]  score {item['score']:.4g}  {reasons}")
    return "\n".join([*lines, *([found["note"]] if found["note"] else [])])


def _rule_lines(asked: Mapping[str, Any]) -> list[str]:
    """Say where a list was shown and which rules held there."""
    by = f" by {asked[columns.PLACEMENT_ALGORITHM]}" if asked.get(columns.PLACEMENT_ALGORITHM) else ""
    lines = [f"Placement  {asked['placement']}{by}"] if asked.get("placement") else []
    if asked.get("rules"):
        unmet = f"; could not be kept: {', '.join(asked['rules_unmet'])}" if asked.get("rules_unmet") else ""
        lines.append(f"Rules      {', '.join(asked['rules'])}{unmet}")
    if ordered := asked.get("reranked"):  # a language model, or why it did not
        lines.append(f"Order      by {ordered}" if "@" in ordered else f"Order      the ranker's: {ordered}")
    return lines


def _algorithm(found: Mapping[str, Any]) -> list[str]:
    """Say which of several rankers ordered the items, and for which intent and length of history."""
    spoke, chosen = found.get(columns.ALGORITHM), found.get("chosen") or {}
    if not spoke:
        return []
    by = ", ".join(f"{name} {value}" for name, value in chosen.items() if name != columns.ALGORITHM)
    return [f"Algorithm  {spoke}" + (f", chosen for {by}" if by else "")]


def _cause_lines(one: Mapping[str, Any]) -> list[str]:
    """Say what an intent rests on, log odds a cause."""
    shown = one["causes"][:MOST_CAUSES]
    rest = one["others"] + sum(cause["effect"] for cause in one["causes"][MOST_CAUSES:])
    said = f"log odds {one['said']:+.2f}, of an unknown user {one['nobody']:+.2f} ({one['method']})"
    return [
        f"Causes     {one['intent']}: {said}",
        *(f"  {cause['effect']:+.3f}  {cause['words']}" for cause in shown),
        *([f"  {rest:+.3f}  all other causes"] if rest else []),
    ]


def _forecast_lines(one: Mapping[str, Any]) -> list[str]:
    """Say what a forecast rests on, a cause a line."""
    shown = one["causes"][:MOST_CAUSES]
    rest = one["others"] + sum(cause["effect"] for cause in one["causes"][MOST_CAUSES:])
    return [
        f"Forecast   {one['intent']}: {one['said']:.4g} {one['of']}".rstrip()
        + f", of an unknown user {one['nobody']:.4g}",
        *(f"  {cause['effect']:+.3f}  {cause['words']}" for cause in shown),
        *([f"  {rest:+.3f}  all other causes"] if rest else []),
    ]


def _judged(twin: Mapping[str, Any]) -> str:
    """Say which release was judged where another serves."""
    return f", refit of the judged release {twin['id']} (version {twin['version']})" if twin else ""


def _shown(name: str, value: float) -> str:
    return _iso(value) if name.endswith("_at") else f"{value:g}"


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC).isoformat() if seconds else "never"


def _logged(answer: Mapping[str, Any]) -> float:
    return _instant(str(answer["logged_at"]))


def _instant(text: str) -> float:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise SpecError(f"--at: '{text}' is no time; give ISO 8601, such as 2026-01-31T12:00:00+00:00") from None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
