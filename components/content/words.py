"""What a recommender's users do to items, in words: "listened to", "bought".

Texts, reports and the command line speak with this verb, so that a song is listened to and a friend is messaged. The
verb follows from the kind of event that the spec counts; `content.verbs` names the kinds that the table lacks.
"""

from collections.abc import Iterable, Mapping

from feature_repo.clock import WEEK, Pace, Step

CHOSE = "chose"  # where the spec counts several kinds of events, or one that nobody has given a verb
VERBS = {
    "add_to_cart": "put in the cart",
    "book": "booked",
    "buy": "bought",
    "cart": "put in the cart",
    "click": "clicked",
    "download": "downloaded",
    "favorite": "liked",
    "follow": "followed",
    "like": "liked",
    "listen": "listened to",
    "message": "messaged",
    "order": "ordered",
    "play": "played",
    "purchase": "bought",
    "rate": "rated",
    "rating": "rated",
    "read": "read",
    "save": "saved",
    "share": "shared",
    "stream": "streamed",
    "subscribe": "subscribed to",
    "view": "viewed",
    "visit": "visited",
    "watch": "watched",
}

BASELINES = {  # what a baseline says, where one serves in a model's place
    "global_rate": "how often all users do it",
    "personal_rate": "how often this user did it, drawn towards all users' rate",
    "decayed_rate": "how often this user did it, lately above all, drawn towards all users' rate",
    "popular": "what most users {did} in the last four {steps}",
    "popular_now": "what most users {did} in the last {step}",
    "unseen_popular": "what most users {did} in the last four {steps} and this one has not",
    "personal_frequency": "what this user {did} in the most {steps}, then what is popular",
    "personal_popular": "what this user {did} in the most {steps}, the popular of them first",
    "decayed_personal": "what this user {did} in the most {steps}, lately above all, then what is popular",
    "wrote_to_me": "who acted on this user, lately above all, then who is popular",
    "repeat_and_wrote": "whom this user {did} and who acted on this user, lately above all, then who is popular",
    "latest_contact": "whom this user {did}, or who acted on this user, last; then who is popular",
    "common_neighbours": "who has the most acquaintances in common with this user, then who is popular",
    "adamic_adar": "who has the rarest acquaintances in common with this user, then who is popular",
    "last_event": "what this user {did} last, then what is popular",
    "item_knn": "what lies near what this user {did}, then what is popular",
}


def verb(ranked: str | None, intents: Iterable[str | None], declared: Mapping[str, str]) -> str:
    """Return the past tense of what users do to items.

    The kind that ranking counts speaks; where it counts any, the one kind that all intents with a kind share.

    >>> verb(None, ["listen", None], {}), verb("stroll", [], {"stroll": "walked to"}), verb(None, ["view", "buy"], {})
    ('listened to', 'walked to', 'chose')
    """
    kinds = {ranked} if ranked else {kind for kind in intents if kind}
    if len(kinds) != 1:
        return CHOSE
    kind = kinds.pop()
    return declared.get(kind) or VERBS.get(kind.lower(), CHOSE)


def baseline(name: str, did: str = CHOSE, step: Step = WEEK) -> str:
    """Return what a baseline's answers are, in words; it counts in steps of the clock.

    >>> baseline("item_knn", "bought")
    'what lies near what this user bought, then what is popular'
    """
    return BASELINES[name].format(did=did, step=step, steps=f"{step}s")


def reason(name: str, value: float, did: str = CHOSE, step: Step = WEEK) -> str:
    """Return a ranker's reason as a person reads it; it counts in steps of the clock.

    >>> reason("weeks_bought", 24.0, "bought"), reason("popular_share", 0.1927)
    ('bought in 24 weeks', 'popular share 0.1927')
    >>> reason("weeks_since", 3.0, "read", "hour")
    'last 3 hours ago'
    """
    weeks = Pace(step).counted(value)
    if name == "weeks_bought":
        return f"{did} in {weeks}"
    if name == "weeks_since":
        return f"last {weeks} ago"
    if name == "category_weeks":
        return f"{did} others of its category in {weeks}"
    if name == "wrote_weeks":
        return f"wrote to you in {weeks}"
    if name == "wrote_since":
        return f"wrote to you {weeks} ago"
    if name == "common_acquaintances":
        return f"{value:g} {'person' if value == 1 else 'people'} you both know"
    if name == "friends_of_friends":
        return f"{value:g} of your people {'is' if value == 1 else 'are'} in touch with them"
    return f"{name.replace('_', ' ')} {value:g}"
