"""Guess what each kind of event says of an item, by the word that names it: the draft of `models.ranking.kinds`.

Behind `intentflow init`. Weights are a ladder, not a measurement: looked at 1, put aside to have 3, had 5; what says
that an item was not wanted is below 0, what takes something back names what it takes back. A kind of an unknown word
gets 0, which says nothing of the item, and is named in the draft.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.data.guess_names import plain

LEAST_KNOWN = 0.5  # share of the events whose kinds are known words, at least: below it nothing is drafted

BOUGHT = (
    "purchase", "purchased", "buy", "bought", "order", "ordered", "transaction", "pay", "paid", "payment",
    "购买", "下单", "支付",
)  # fmt: skip
CARTED = ("cart", "addtocart", "basket", "addtobasket", "加购", "加购物车")
KEPT = (
    "like", "liked", "favorite", "favourite", "fav", "love", "save", "saved", "wishlist", "bookmark", "share",
    "thumbsup", "upvote", "收藏", "点赞", "分享",
)  # fmt: skip
FOLLOWED = ("follow", "followed", "subscribe", "subscribed", "关注")
SEEN = (
    "view", "viewed", "click", "clicked", "open", "opened", "read", "detail", "browse", "pageview", "pv", "play",
    "played", "listen", "watch", "watched", "stream", "浏览", "点击", "播放", "阅读", "观看",
)  # fmt: skip
HIDDEN = (
    "hide",
    "hidden",
    "block",
    "blocked",
    "report",
    "reported",
    "mute",
    "notinterested",
    "屏蔽",
    "不感兴趣",
    "拉黑",
)
NOT = {"no", "not", "non", "failed", "without"}  # beside a word of something wanted they say that it did not happen


@dataclass(frozen=True)
class Sign:
    """What the words of a kind say of an item."""

    words: tuple[str, ...]
    weight: int
    undoes: tuple[str, ...] = ()  # words of the kinds that it takes back
    hides: bool = False
    shown: bool = False  # an impression


SIGNS = (  # a name of several words means the first of these that one of them means: remove_from_cart is no cart
    Sign(("impression", "impressions", "shown", "exposure", "exposed", "曝光", "展示"), 0, shown=True),
    Sign(("unhide", "unblock", "unmute", "取消屏蔽"), 0, undoes=HIDDEN),
    Sign(("removefromcart", "cartremove", "remove", "移出购物车"), 0, undoes=CARTED),
    Sign(("return", "returned", "refund", "refunded", "cancel", "cancelled", "退货", "退款"), -1, undoes=BOUGHT),
    Sign(("unfollow", "unfollowed", "unsubscribe", "取消关注"), -1, undoes=FOLLOWED),
    Sign(("unlike", "unliked", "unsave", "unfavorite", "unfavourite", "取消点赞", "取消收藏"), 0, undoes=KEPT),
    Sign(HIDDEN, -2, hides=True),
    Sign(("dislike", "disliked", "thumbsdown", "downvote", "hate", "踩"), -2),
    Sign(("skip", "skipped", "dismiss", "dismissed", "跳过"), -1),
    Sign(BOUGHT, 5),
    Sign(("checkout", "结算"), 4),
    Sign(CARTED, 3),
    Sign(FOLLOWED, 3),
    Sign(KEPT, 3),
    Sign(SEEN, 1),
)


@dataclass(frozen=True)
class Kinds:
    """The kinds of events of a file as the spec declares them."""

    weights: dict[str, int] = field(default_factory=dict)
    hide: tuple[str, ...] = ()
    undo: dict[str, str] = field(default_factory=dict)
    impression: str = ""
    unknown: tuple[str, ...] = ()  # kinds of the weight 0 only since their words are not known

    def __bool__(self) -> bool:
        return bool(self.weights)

    def fields(self) -> dict[str, Any]:
        """Return the fields of `models.ranking`, those left out that say nothing."""
        said: dict[str, Any] = {"kinds": self.weights, "hide": list(self.hide), "undo": self.undo}
        return {name: value for name, value in (said | {"impression": self.impression}).items() if value}


def sign_of(kind: str) -> Sign | None:
    """Return what a kind's name says; None where no word of it is known.

    >>> [sign_of(kind).weight for kind in ("view_item", "addToCart", "remove_from_cart", "Purchase", "not-interested")]
    [1, 3, 0, 5, -2]
    >>> sign_of("payment_failed"), sign_of("step_2")
    (None, None)
    """
    parts = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+|[^\W_a-zA-Z0-9]+", kind)
    words = {"".join(parts[i:j]).lower() for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)}
    whole = next((sign for sign in SIGNS if plain(kind) in sign.words), None)
    found = whole or next((sign for sign in SIGNS if words & set(sign.words)), None)
    return None if found and found.weight > 0 and words & NOT else found


def is_(kind: str, words: Iterable[str]) -> bool:
    """Tell whether a kind means what one of SIGNS' groups of words does.

    >>> is_("view_item", SEEN), is_("remove_from_cart", CARTED)
    (True, False)
    """
    sign = sign_of(kind)
    return sign is not None and bool(set(sign.words) & set(words))


def guess_kinds(rows: Mapping[str, int]) -> Kinds:
    """Weigh the kinds of events that have items, given each one's rows; nothing where too little of them is known.

    >>> guess_kinds({"play": 90, "skip": 30, "seek": 5}).fields()
    {'kinds': {'play': 1, 'skip': -1, 'seek': 0}}
    >>> guess_kinds({"view": 9, "step_2": 80}).fields()
    {}
    """
    signs = {kind: sign for kind in rows if (sign := sign_of(kind)) is not None}
    known = sum(rows[kind] for kind in signs)
    wanted = [kind for kind, sign in signs.items() if sign.weight > 0]
    if len(signs) < 2 or not wanted or known < LEAST_KNOWN * sum(rows.values()):
        return Kinds()
    return Kinds(
        weights={kind: signs[kind].weight if kind in signs else 0 for kind in rows},
        hide=tuple(kind for kind, sign in signs.items() if sign.hides),
        undo=_undo(signs),
        impression=next((kind for kind, sign in signs.items() if sign.shown), ""),
        unknown=tuple(kind for kind in rows if kind not in signs),
    )


def _undo(signs: Mapping[str, Sign]) -> dict[str, str]:
    """Pair each kind that takes back with the one that it takes back: the one of its own word, else the first."""
    found = {}
    for kind, sign in signs.items():
        taken = [other for other in signs if sign.undoes and is_(other, sign.undoes) and not signs[other].undoes]
        own = [other for other in taken if plain(other) in plain(kind)]
        if taken:
            found[kind] = (own or taken)[0]
    return found
