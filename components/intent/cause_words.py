"""Causes in words of the domain: what a number, a step or another target's rate is to a person.

`words` of a cause completes "The model goes by ...". A number without words of its own keeps its name.
"""

from collections.abc import Sequence

from components.intent import attribution
from components.intent.attribution import Cause
from feature_repo import columns
from feature_repo.clock import WEEK, Pace, Step

NUMBERS = {  # of one target, by the names in encode.FREQUENCY
    "slow_logit": "how often, over the last months",
    "fast_logit": "how often, of late",
    "lifetime_logit": "in how many of all {step}s",
    "expected_logit": "how active the user is, and how popular it is",
    "share_1w_logit": "how popular it was in the last {step}",
    "share_4w_logit": "how popular it was in the last four {step}s",
    "share_slow_logit": "how popular it is over the last months",
    "given_active": "in how many of the active {step}s",
    "given_active_recent": "in how many of the last active {step}s",
    "bought": "that it ever happened",
    "repeated": "that it happened in more than one {step}",
    "weeks_log": "the number of {step}s in which it happened",
    "recency": "how many {step}s ago it last happened",
    "gap": "how many {step}s lie between two times",
    "overdue": "how late it is by its usual gap",
    "days_since": "how many days ago it last happened",
    "active_since": "how many active {step}s have passed without it",
}
PROFILE = {  # of the user
    "days_idle": "days since the last event",
    "weeks_idle": "{step}s since the last event",
    "tenure": "how long the user has been here",
    "active_recent": "in how many of the last {step}s the user was active",
    "value_a_session": "money a visit",
    "weekend_share": "share of events at weekends",
    "evening_share": "share of events in the evening",
    "hour_sin": "the hour of the day",
    "hour_cos": "the hour of the day",
    "weekday_sin": "the day of the week",
    "weekday_cos": "the day of the week",
}
COUNTED = {
    "events": "events",
    "sessions": "visits",
    "weeks": "active {step}s",
    "items": "different items",
    "quantity": "quantity",
    "value": "money",
    "discount": "money taken off",
}


def words(cause: Cause, targets: Sequence[str], *, pace: Pace, step: Step = WEEK, happened: Sequence[str] = ()) -> str:
    """Say a cause; `happened` are the targets that a step or an event holds.

    >>> words(Cause("rate", "1", 0.2), ["buy:SOUP", "buy:FISH"], pace=Pace())
    'how often buy:FISH'
    >>> words(Cause("step", "3", 0.2), [], pace=Pace(), happened=["buy:SOUP"])
    '3 weeks ago: buy:SOUP'
    >>> words(Cause("event", "1", 0.2), [], pace=Pace(), happened=["buy:SOUP"])
    'the last event: buy:SOUP'
    """
    if cause.kind == attribution.NUMBER:
        return NUMBERS[cause.name].format(step=step)
    if cause.kind == attribution.RATE:
        return f"how often {targets[int(cause.name)]}"
    if cause.kind == attribution.SEGMENT:
        return "the user's segment"
    if cause.kind == attribution.EVENT:
        which = "the last event" if cause.name == "1" else f"event {cause.name} from the last"
        return f"{which}: {', '.join(happened) or 'nothing that is predicted'}"
    if cause.kind == attribution.TEXT:
        return "what the user had, as text"
    if cause.kind == attribution.STEP:
        return f"{pace.counted(int(cause.name))} ago: {', '.join(happened) or 'nothing that is predicted'}"
    return of_profile(cause.name, step)


def of_profile(name: str, step: Step = WEEK) -> str:
    """Say a number of the profile.

    >>> of_profile("sessions_28d"), of_profile("value_total"), of_profile("my_own"), of_profile("sessions_6h")
    ('visits in the last 28 days', 'money a week since the first event', 'my own', 'visits in the last 6 hours')
    """
    if name in PROFILE:
        return PROFILE[name].format(step=step)
    if (found := columns.window_of(name)) and found[0] in COUNTED:
        return f"{COUNTED[found[0]].format(step=step)} in the last {columns.window_in_words(found[1])}"
    stem, _, tail = name.rpartition("_")
    when = {"total": f"a {step} since the first event", "slow": f"a {step}, of late above all"}.get(tail)
    return f"{COUNTED[stem].format(step=step)} {when}" if when and stem in COUNTED else name.replace("_", " ")
