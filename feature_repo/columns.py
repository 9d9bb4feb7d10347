"""Every column name of the platform, once. The canonical tables, the feature rows, the request log."""

import re

# Canonical tables -----------------------------------------------------------------------------------
USER_ID = "user_id"
ITEM_ID = "item_id"
EVENT = "event"
TIMESTAMP = "timestamp"  # UTC, when it happened
CREATED_AT = "created_at"  # UTC, when it became known; equals timestamp where a source has none
SESSION_ID = "session_id"
QUANTITY = "quantity"
VALUE = "value"  # money paid for the line, in the source's currency
DISCOUNT = "discount"  # money taken off the line, >= 0

# How much the user liked it, or how often: stars, plays. No money and no count of pieces. Only where a source maps it.
STRENGTH = "strength"
TEXT = "text"  # what a user wrote, free: a review, a comment, a search; masked before it is kept (masks.py)

EVENTS = (USER_ID, ITEM_ID, EVENT, TIMESTAMP, CREATED_AT, SESSION_ID, QUANTITY, VALUE, DISCOUNT)
EVENTS_REQUIRED = (USER_ID, ITEM_ID, TIMESTAMP)

TITLE = "title"
CATEGORY = "category"
CATEGORY_PATH = "category_path"  # 'GROCERY > SOFT DRINKS > COLA', widest first
BRAND = "brand"
PRICE = "price"
FIRST_SEEN = "first_seen"

KNOWLEDGE = "knowledge"  # of items: what triples say of them, "relation: entity"
EDGES = (ITEM_ID, "relation", "entity")  # of the triples
ITEMS = (ITEM_ID, TITLE, CATEGORY, CATEGORY_PATH, BRAND, PRICE, FIRST_SEEN)  # attributes may follow
ITEMS_REQUIRED = (ITEM_ID,)
USERS_REQUIRED = (USER_ID,)

KIND = "kind"  # 'flyer', 'display', 'coupon' …
VALID_FROM = "valid_from"  # UTC
VALID_TO = "valid_to"  # UTC, exclusive
SHARE = "share"  # 0..1, of the places where the offer holds
CAMPAIGN = "campaign"

OFFERS = (ITEM_ID, KIND, VALID_FROM, VALID_TO, SHARE, CAMPAIGN, CREATED_AT)  # created_at: when it became known
OFFERS_REQUIRED = (ITEM_ID, VALID_FROM, VALID_TO)

# Feature rows: the key and the time a row was known at -------------------------------------------------
WEEK = "week"  # number of the cutoff's week in the recommender's calendar
STATE_AT = "state_at"  # the row holds what was known before this instant
EVENT_TIMESTAMP = "event_timestamp"  # the same instant under the name that Feast asks for
TARGET_ID = "target_id"  # position in the target vocabulary: one (intent, value) pair
ITEM_INDEX = "item_index"  # position in the item vocabulary

WINDOWS_DAYS = (7, 28, 91)


def windowed(name: str, days: float) -> str:
    """Name a count over the last `days` days, or hours where these are no whole days.

    >>> windowed("sessions", 28), windowed("sessions", 0.25)
    ('sessions_28d', 'sessions_6h')
    """
    return f"{name}_{days:.0f}d" if days == int(days) else f"{name}_{days * 24:.0f}h"


def window_of(column: str) -> tuple[str, float] | None:
    """Read what `windowed` names: what is counted, and over how many days; None where a column has no window.

    >>> window_of("sessions_28d"), window_of("log_value_6h"), window_of("value_total")
    (('sessions', 28), ('log_value', 0.25), None)
    """
    found = re.fullmatch(r"(\w+)_(\d+)([dh])", column)
    if found is None:
        return None
    return found[1], int(found[2]) if found[3] == "d" else int(found[2]) / 24


def window_in_words(days: float) -> str:
    """Say how long a window is.

    >>> window_in_words(28), window_in_words(1), window_in_words(0.25)
    ('28 days', '1 day', '6 hours')
    """
    count, unit = (days, "day") if days == int(days) else (days * 24, "hour")
    return f"{count:.0f} {unit}" if round(count) == 1 else f"{count:.0f} {unit}s"


WINDOWED = ("events", "sessions", "quantity", "value", "discount")

# Scalars of the user row. Times are epoch seconds (UTC); counts are lifetime unless a window is named.
PROFILE_TIMES = ("first_at", "last_at")
PROFILE_TOTALS = (
    "events_total",
    "sessions_total",
    "weeks_total",
    "items_total",
    "quantity_total",
    "value_total",
    "discount_total",
    "discounted_total",  # events with a discount
    "weekend_share",
    "evening_share",
    "sessions_slow",  # sum of .96 ** age in weeks
    "value_slow",
)
SEGMENT = "segment"
LAST_SESSION = "last_session_id"  # tells whether the next event opens a session
VOCABULARY = "vocabulary"  # digest of the vocabulary that the row's lists are aligned to
MEMORY = "memory"  # the user's last events in order, as feature_repo/memory.py writes them
TEXTS = (LAST_SESSION, VOCABULARY, MEMORY)  # cells that are neither numbers nor lists


def profile_columns(windows_days: tuple[float, ...] = WINDOWS_DAYS) -> tuple[str, ...]:
    """Name the numeric profile features in the order that models see them (segment excluded)."""
    windows = tuple(windowed(name, days) for days in windows_days for name in WINDOWED)
    return PROFILE_TIMES + PROFILE_TOTALS + windows


# Lists of the user row. Lists of one family are parallel: position i of each speaks of the same key.
TARGET_LISTS = ("target_ids", "target_weeks", "target_slow", "target_fast", "target_first_at", "target_last_at")
HISTORY_LISTS = (
    "history_items",
    "history_weeks",
    "history_slow",
    "history_fast",
    "history_first_at",
    "history_last_at",
)
# Where items are people: who acted on the user, as HISTORY_LISTS hold whom the user acted on.
RECEIVED_LISTS = (
    "received_items",
    "received_weeks",
    "received_slow",
    "received_fast",
    "received_first_at",
    "received_last_at",
)
TOLD_LISTS = ("history_items", "history_weeks", "history_last_at")  # what a text of a user's past is made of
RECENT_LISTS = ("recent_targets", "recent_weeks")  # (target, week number) pairs, oldest first
ATTRIBUTES = "attributes"  # codes of what the user declared, in the vocabulary's order; 0 is unknown
MOST_ATTRIBUTES = 16
# The event memory as lists (event_lists.py), where the spec keeps it for models: an event each, oldest first;
# `event_targets` holds for each event in turn as many targets as `event_target_counts` says.
EVENT_LISTS = (
    "event_at",
    "event_kinds",
    "event_items",
    "event_values",
    "event_opens",
    "event_target_counts",
    "event_targets",
)
# Of the texts of events, where the memory holds them: `event_texts` holds for each event in turn as many bytes of UTF-8
# as `event_text_counts` says.
EVENT_TEXT_LISTS = ("event_text_counts", "event_texts")
DAILY_LISTS = ("daily_days", "daily_events", "daily_sessions", "daily_quantity", "daily_value", "daily_discount")
EVENING_HOUR = 17  # a session that starts at or after it, local time, is an evening one
SLOW_DECAY = 0.96  # per week
FAST_DECAY = 0.80  # per week
HISTORY_LIMIT = 512  # items kept in a user row, largest history_slow first; all where the vocabulary says so
RECENT_WEEKS = 16  # weeks of (target, week) pairs kept
MEMORY_EVENTS = 64  # kept in a memory
OF_TRAINING = "training"  # of `profiles.memory`: training rows have memories too, and models may read EVENT_LISTS
OF_TEXTS = "texts"  # as OF_TRAINING, and memories hold the texts of events, which models may read of EVENT_TEXT_LISTS

# How many possible rows a training row stands for; a table without the column holds all of them, once. It is made
# with the label in view, so that no model may see it.
ROW_WEIGHT = "row_weight"
LABELS_AHEAD = "labels_ahead"  # of a split: how many steps the ranker's labels look ahead, where these are several
LABEL_SHOWN = "shown_items"  # beside the ranker's labels, where impressions are logged: of the label week too
LABEL_STRENGTH = "bought_strength"  # beside the ranker's labels, where a spec weighs them: of the label week too

# State of a target or an item at an instant: shares of the active users, not counts, so that growth of
# the user base does not move them.
SHARES = ("share_1w", "share_4w", "share_slow")
GAPS = ("gap_weeks", "gap_spread")  # weeks between two weeks of one user with it: mean and standard deviation
# Offers that were known at the instant, as shares of the places: of the week that begins (and the one before it),
# and what is usual. Kinds of other names count as the first.
OFFER_KINDS = ("flyer", "display", "coupon")
TARGET_OFFERS = ("offer_flyer", "offer_display", "offer_coupon")  # share of the target's trade that is on offer
OFFER_NUMBERS = TARGET_OFFERS + (
    "offer_flyer_before",
    "offer_display_before",
    "offer_flyer_usual",
    "offer_display_usual",
)
SHOWN_SLOW = "shown_slow"  # share of the active users who were shown an item, decayed; only where that is logged
ITEM_NUMBERS = SHARES + ("price", "price_usual", "repeat_share") + GAPS + OFFER_NUMBERS
TARGET_NUMBERS = SHARES + GAPS + TARGET_OFFERS

# Request log ----------------------------------------------------------------------------------------------
REQUESTS_FOLDER = "requests"  # of its files, under the recommender's state folder
EVENTS_FOLDER = "events"  # of the event log's files, there too
HASHED_UNDER = "hashed_under"  # of a line of the event log: fingerprint of the key of its user's pseudonym
MODELLED = ("fresh", "stale")  # rungs of the ladder on which the models answer; the others: segment, popular
REQUEST_ID = "request_id"
RELEASE = "release"
CATALOGUE_VERSION = "catalogue_version"
PLACEMENT_ALGORITHM = "placement_algorithm"  # of the placement that was named, where it has its own; kept in `asked`
ALGORITHM = "algorithm"  # that ordered an answer's items, where the ranker chooses among several; kept in `asked`
REQUEST_LOG = (
    REQUEST_ID,
    "logged_at",  # UTC, wall time
    "endpoint",
    RELEASE,
    "policy",
    USER_ID,  # a pseudonym
    "now",  # epoch seconds, the time that the question was about
    STATE_AT,  # epoch seconds, as served; with `known`, `numbers` and `lists` it is the user row
    "known",
    "rung",
    "degraded",  # what failed, where a lower rung answered than should; null: nothing
    "latency_ms",
    "asked",  # the request without its user: k, context, exclude, item_ids …
    "numbers",
    "lists",
    "probabilities",  # by target, in the order of the release's vocabulary
    "items",  # item_id, position, score, source, propensity: the impressions
    "mirrored",  # a router's copy of a request: nobody saw the answer
    "trace_id",  # W3C trace context, 32 hex digits; null: none came
    "sample",  # probability with which such an answer is logged: its line counts for 1 / sample answers
    CATALOGUE_VERSION,  # of the document log that the items are as of; null: it was not read, or is older than the log
)


def of_level(level: str | None) -> str | None:
    """Name the item column of an intent's level.

    >>> of_level("items.genres"), of_level("category"), of_level(None)
    ('genres', 'category', None)
    """
    return level.removeprefix("items.") if level else None
