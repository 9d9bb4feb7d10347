"""What the intent model goes by over all users: how much worse it is where one kind of input is another user's.

Permutation importance (Breiman, 2001; Fisher, Rudin and Dominici, 2019): the inputs of a kind are shuffled over the
validation rows, all of a kind together, and the loss is what the cross-entropy rises by, with an interval over users.
Kinds are whole families of numbers: numbers that say the same would each seem to matter nothing by themselves.

Letters: B rows, C targets, F numbers a target, P numbers a user.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from components import verdicts
from components.intent import metrics
from components.intent.decisions import headline
from components.intent.encode import FREQUENCY, Encoded, profile_names, windows_of
from components.intent.examples import Examples
from components.intent.score import IntentScorer
from feature_repo import columns
from feature_repo.markdown import words

FILE = "importance.json"
ROWS = 512  # validation rows, at most
RESAMPLES = 200
NUMBERS: Mapping[str, tuple[str, ...]] = {  # kinds of what is known of a user and a target
    "how often the user does it": ("slow_logit", "fast_logit", "lifetime_logit", "given_active", "given_active_recent"),
    "whether and in how many steps it happened": ("bought", "repeated", "weeks_log"),
    "how long ago, and how late by the usual gap": ("recency", "gap", "overdue", "days_since", "active_since"),
    "how popular it is": ("share_1w_logit", "share_4w_logit", "share_slow_logit", "expected_logit"),
}
STEPS, EVENTS, SEGMENT = "what happened step by step", "the last events, one by one", "the user's segment"
TEXT = "what the user had, as text"
PROFILE = "totals and habits of the user"
IN_WINDOW = "activity in the last {}"


@dataclass(frozen=True)
class Importance:
    """What one kind of input is worth."""

    kind: str
    loss: float  # rise of the mean cross-entropy over the headline's targets
    interval: tuple[float, float]  # each end at verdicts.LEVEL
    rows: int
    users: int

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def measure(scorer: IntentScorer, examples: Examples, *, rows: int = ROWS, seed: int = 0) -> list[Importance]:
    """Return the importance of each kind, the largest first; [] of a rate, which reads nothing else."""
    if scorer.said_of is None:
        return []
    part = examples.part("validate")
    index = part[np.unique(np.linspace(0, len(part) - 1, min(rows, len(part))).astype(np.int64))]
    encoded, head = scorer.encode(examples.rows.take(index)), headline(examples.vocabulary)
    labels, user = examples.labels[index][:, head], np.unique(examples.users[index], return_inverse=True)[1]
    users = int(user.max()) + 1
    drawn, order = verdicts.draws(users, resamples=RESAMPLES), np.random.default_rng(seed).permutation(len(index))
    before = metrics.cross_entropy(labels, scorer.said_of(encoded)[:, head])  # [B]
    names = scorer.profile or profile_names(windows_of(examples.rows), scorer.calendar.pace)
    found = []
    for kind, shuffled in shuffles(encoded, order, names):
        rise = metrics.cross_entropy(labels, scorer.said_of(shuffled)[:, head]) - before
        sums, counts = np.bincount(user, rise, users), np.bincount(user, minlength=users)
        loss = float(rise.mean())
        low, high = verdicts.interval(loss, verdicts.means(sums, counts, drawn), users=users)
        found.append(Importance(kind, round(loss, 6), (round(low, 6), round(high, 6)), len(index), users))
    return sorted(found, key=lambda one: -one.loss)


def shuffles(encoded: Encoded, order: np.ndarray, names: Sequence[str]) -> list[tuple[str, Encoded]]:
    """Return for each kind the rows with that kind's inputs in another order [B] of users."""
    found = []
    for kind, numbers in NUMBERS.items():
        at = [FREQUENCY.index(name) for name in numbers]
        frequency = encoded.frequency.copy()
        frequency[:, :, at] = encoded.frequency[order][:, :, at]
        found.append((kind, replace(encoded, frequency=frequency)))
    found.append((STEPS, replace(encoded, sequence=encoded.sequence[order], active=encoded.active[order])))
    if encoded.event_codes is not None and encoded.event_numbers is not None:
        codes, numbers_of_events = encoded.event_codes[order], encoded.event_numbers[order]
        found.append((EVENTS, replace(encoded, event_codes=codes, event_numbers=numbers_of_events)))
    if encoded.text is not None:
        found.append((TEXT, replace(encoded, text=encoded.text[order])))
    found.append((SEGMENT, replace(encoded, segment=encoded.segment[order])))
    for kind, places in families(names).items():
        profile = encoded.profile.copy()
        profile[:, places] = encoded.profile[order][:, places]
        found.append((kind, replace(encoded, profile=profile)))
    return found


def families(names: Sequence[str]) -> dict[str, list[int]]:
    """Put the profile's numbers in families: by window of days or hours, and the rest.

    >>> families(["events_7d", "tenure", "value_7d", "events_6h"])
    {'activity in the last 7 days': [0, 2], 'totals and habits of the user': [1], 'activity in the last 6 hours': [3]}
    """
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        window = columns.window_of(name)
        kind = PROFILE if window is None else IN_WINDOW.format(columns.window_in_words(window[1]))
        found.setdefault(kind, []).append(place)
    return found


def page(found: Sequence[Importance]) -> str:
    """Return the model card's section, '' where nothing was measured."""
    if not found:
        return ""
    lines = ["| what it goes by | loss without | interval |", "| --- | ---: | --- |"]
    lines += [
        f"| {words(one.kind)} | {one.loss:+.4f} | {one.interval[0]:+.4f} to {one.interval[1]:+.4f} |" for one in found
    ]
    return (
        "## What the model goes by\n\n"
        + "\n".join(lines)
        + f"\n\nBy how much the cross-entropy rises where these inputs are another user's, on {found[0].rows} "
        f"validation rows of {found[0].users} users; each end of an interval is {verdicts.LEVEL:.0%} sure. Kinds that "
        "say the same stand in for each other, so a small loss does not mean that a kind is not read.\n"
    )
