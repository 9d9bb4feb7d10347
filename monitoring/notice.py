"""Tell whom `monitoring.notify` names of a verdict, once: by a signed call, when its class or its signals change.

A verdict that was told is not told again while it stays the same; that it has passed is told too. What did not arrive
is tried again with the next check, under the same id, so that a receiver can tell it from another. A failure is logged
and left on the mark `notice`, which the loop exports (`intentflow_drift_untold`); it fails no check. Address and secret
come from the variables that the spec names, and stand in no log and no file.
"""

import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.registry import heartbeats
from feature_repo import files, signed_calls
from feature_repo.errors import SpecError
from monitoring.page import sentences, words
from monitoring.page.words import Words
from monitoring.reason_classes import NONE, UNDECIDED
from monitoring.spec import Notify

if TYPE_CHECKING:
    from monitoring.drift.watch_record import SignalVerdict

MOST = 20  # signals in a call
log = logging.getLogger("intentflow")
Mark = Mapping[str, Any]
Send = Callable[..., str]


@dataclass(frozen=True)
class Told:
    """What a check found, as far as a call says it."""

    name: str
    verdict: str
    reason: str  # class
    sentence: str  # the check's own, in English
    starts: str  # of the period, ISO 8601
    release: str
    alarms: Sequence["SignalVerdict"] = ()

    @property
    def key(self) -> list[Any]:
        """Return what makes it another verdict than the one before."""
        return [self.reason, sorted(alarm.signal for alarm in self.alarms)]


def tell(
    found: Told, spec: Notify | None, *, variables: Mapping[str, str], before: Mark, send: Send = signed_calls.send
) -> Mark | None:
    """Tell of a verdict if that is due; return the new mark, None where nothing is to be kept. `before` is the last."""
    if spec is None or found.reason == UNDECIDED:
        return None
    now = found.key if found.reason in spec.classes else [NONE, []]
    told = before.get("told", [NONE, []])
    if now == told:
        return dict(before) | {"problem": ""} if before.get("problem") else None
    passed = now[0] == NONE
    body = json.dumps(document(found, passed=passed), ensure_ascii=False, default=str).encode()
    delivery = f"{found.name}-{files.digest([now, found.starts, told])}"
    try:
        url, secret = addressed(spec, variables)
        problem = send(url, body, secret=secret, delivery=delivery)
    except SpecError as error:
        problem = str(error)
    if problem:
        log.warning("the verdict was not told (%s); the next check tries again", problem)
    return {"at": round(time.time()), "reason": found.reason, "told": told if problem else now, "problem": problem}


def addressed(spec: Notify, variables: Mapping[str, str]) -> tuple[str, str]:
    """Return address and secret; a name without a value must not mean that nobody is told, or nothing signed."""
    named = {"url_env": spec.url_env, **({"secret_env": spec.secret_env} if spec.secret_env else {})}
    for field, name in named.items():
        if not variables.get(name):
            what = "the address, https://…" if field == "url_env" else "the secret that both sides share"
            raise SpecError(f"monitoring.notify.{field}: {name} is not set; export {what}, or leave the field out")
    url = variables[spec.url_env]
    if not url.startswith(("https://", "http://")):
        raise SpecError(
            f"monitoring.notify.url_env: {spec.url_env} holds no address; give one, such as https://host/path"
        )
    return url, variables.get(spec.secret_env or "", "")


def leave(name: str, mark: Mark | None) -> None:
    """Keep the mark of what was told."""
    if mark is not None:
        heartbeats.leave(name, heartbeats.NOTICE, mark)


def document(found: Told, *, passed: bool = False) -> dict[str, Any]:
    """Return what a call says; `text` is what chat programs show, `text_zh` the same in Chinese."""
    head = words.PASSED if found.reason == NONE else words.HEADLINES[found.reason]
    first = sentences.changed(found.alarms[0]) if found.alarms and not passed else Words(found.sentence, found.sentence)
    text = words.MESSAGE.filled(name=found.name, head=head, first=first)
    return {
        "text": text.en,
        "text_zh": text.zh,
        "type": "drift.passed" if passed else f"drift.{found.reason}",
        "recommender": found.name,
        "verdict": found.verdict,
        "class": found.reason,
        "reason": found.sentence,
        "period": found.starts,
        "since": min((one.since_starts for one in found.alarms), key=dt.datetime.fromisoformat, default=None),
        "release": found.release,
        "alarms": [_alarm(one) for one in found.alarms[:MOST]],
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _alarm(one: "SignalVerdict") -> dict[str, Any]:
    said = sentences.changed(one)
    return {
        "signal": one.signal,
        "class": one.reason,
        "when": one.when,
        "direction": one.direction,
        "value": one.value,
        "usual": list(one.interval),
        "since": one.since_starts,
        "said": said.en,
        "said_zh": said.zh,
    }
