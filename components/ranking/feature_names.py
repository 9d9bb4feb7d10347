"""What a ranker may see of a candidate, by name: the features of any shop, and those of what a spec declares.

A model keeps the names it was trained with, in their order; what each is, encode.py and derived.py say.
"""

from collections.abc import Sequence

from components.ranking import places
from components.ranking.baselines import FORMULAS
from components.ranking.derived import KNOWLEDGE, SINCE_OF, SLOW_OF, UNWANTED
from components.ranking.sources import OF_LEARNT
from feature_repo.signs import NONE, Signs

FEATURES = (
    "had", "weeks_bought", "week_rate", "slow", "fast", "slow_rate", "fast_slow", "weeks_since", "last_week", "gap",
    "overdue", "first_since",  # the user's record with the item
    "share_1w", "share_4w", "share_slow", "trend", "repeat_share", "price", "price_relative", "price_known",  # the item
    "near", "affinity",  # the item beside the user's history
    "intent", "intent_share", "target_weeks", "target_slow", "target_since", "target_gap", "of_target",  # its category
    "kind_slow", "of_kind", "brand_share",  # its category path and brand
    "visit", "user_rate", "user_slow", "tenure", "idle", "basket", "variety",  # the user
    "offer_flyer", "offer_display", "offer_coupon", "offer_flyer_before", "offer_display_before",
    "offer_flyer_usual", "offer_display_usual",  # the item's offers of the week, of the one before, and usually
)  # fmt: skip
# Known, but in no model by default: on the validation weeks they moved NDCG@10 by less than its noise, .001.
UNUSED = (
    "price_change", "item_gap", "item_gap_spread", "item_overdue",  # the item against what is usual for it
    "discount_share", "discounted_share",  # the user's sensitivity to price: of money, of lines
)  # fmt: skip
# Of items that are people: the person beside the user.
PEOPLE = (
    "wrote_weeks", "wrote_slow", "wrote_since", "wrote_days", "unanswered", "mutual",  # what they did to the user
    "acted_days", "contact_days",  # how long ago, finer than weeks, the user acted on them, and either on the other
    "common_acquaintances", "adamic_adar", "friends_of_friends",  # whom both know
)  # fmt: skip
# Where vectors of items are declared: the item's text and image beside those of the user's history.
CONTENT = ("content", "content_known")
# Where knowledge is declared, KNOWLEDGE; where sources that are fitted are asked for, what each makes of the item.
KNOWN = FEATURES + UNUSED + PEOPLE + CONTENT + KNOWLEDGE + tuple(OF_LEARNT.values())
# Where training starts from a baseline's order: the item's place in it.
PLACES = tuple(places.feature(name) for name in FORMULAS)
# Beside them where kinds of events are declared: what the user did not want of the item, its category and its brand.
SHOWN = ("shown", "shown_since", "ctr")  # where impressions are logged; SLOW_OF and SINCE_OF are records by kind


def features(
    signs: Signs = NONE,
    *,
    people: bool = False,
    content: bool = False,
    knowledge: bool = False,
    learnt: Sequence[str] = (),
    start: str | None = None,
) -> tuple[str, ...]:
    """Name what a model sees, in its order, of items that are people or others, with vectors (`content`) or without.

    `learnt` are the fitted sources, whose scores it sees too; `start` is the baseline whose order training starts from.

    >>> features(Signs((("cart", 3.0), ("view", 1.0))))[-4:]
    ('slow:cart', 'since:cart', 'slow:view', 'since:view')
    >>> features(people=True)[:len(FEATURES)] == features() == FEATURES
    True
    """
    kinds = list(signs.wanted) if len(signs.wanted) > 1 else []  # of a single one, "slow" says it
    by_kind = tuple(f"{name}{kind}" for kind in kinds for name in (SLOW_OF, SINCE_OF))
    signed = (UNWANTED if signs.unwanted else ()) + (SHOWN if signs.shown else ()) + by_kind
    scores = tuple(OF_LEARNT[name] for name in learnt)
    started = () if start is None else (places.feature(start),)
    return (
        FEATURES
        + (PEOPLE if people else ())
        + (CONTENT if content else ())
        + (KNOWLEDGE if knowledge else ())
        + signed
        + scores
        + started
    )
