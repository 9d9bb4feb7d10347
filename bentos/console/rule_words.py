"""A rule in a sentence of the visitor's language, and a cost in words. Names, items and conditions stay as they are."""

from collections.abc import Mapping
from typing import Any

from bentos.console import words
from bentos.console.ports.rules import Cost
from bentos.console.rule_forms import HUNDRED, times_told

SAYS = {
    "filter": "rules.says_filter",
    "cap": "rules.says_cap",
    "pin": "rules.says_pin",
    "boost": "rules.says_boost",
    "bury": "rules.says_bury",
    "price": "rules.says_price",
    "stock": "rules.says_stock",
    "bought": "rules.says_bought",
    "shown": "rules.says_shown",
    "new": "rules.says_new",
}
OPERATORS = {
    "=": "rules.op_equal",
    "!=": "rules.op_unequal",
    "<": "rules.op_below",
    "<=": "rules.op_at_most",
    ">": "rules.op_above",
    ">=": "rules.op_at_least",
    "in": "rules.op_in",
    "not in": "rules.op_not_in",
    "has": "rules.op_has",
    "starts with": "rules.op_starts",
    "is known": "rules.op_known",
    "is unknown": "rules.op_unknown",
}
STOPS = {"en": (", ", "."), "zh": ("，", "。")}
TIMES = {"start": "rules.says_start", "end": "rules.says_end"}
FIGURES = {
    "ndcg_at_10": "rules.ndcg_at_10",
    "recall_at_10": "rules.recall_at_10",
    "coverage": "rules.coverage",
    "popularity": "rules.popularity",
    "novelty": "rules.novelty",
}


def sentence(language: words.Language, document: Mapping[str, Any], timezone: str) -> str:
    """Say what a rule does, where, for whom and when."""
    kind = str(document.get("kind", ""))
    if kind not in SAYS:  # a newer version's
        return str(dict(document))

    def say(key: str, **values: Any) -> str:
        return words.text(language, key, **values)

    parts = [say(SAYS[kind], **_values(document, say))]
    if places := document.get("placements"):
        parts.append(say("rules.says_placements", names=", ".join(places)))
    if segments := document.get("segments"):
        parts.append(say("rules.says_segments", names=", ".join(segments)))
    parts += [say(TIMES[name], at=at, zone=timezone) for name, at in times_told(document, timezone)]
    comma, stop = STOPS[language]
    return comma.join(parts) + stop


def _values(document: Mapping[str, Any], say: Any) -> dict[str, Any]:
    """Return all that a kind's sentence may name."""
    where = document.get("where") or say("rules.says_all")
    least, most = document.get("least"), document.get("most")
    if document.get("kind") == "stock" and least is None:
        least = 1
    places = document.get("places")
    unknown = say("rules.says_unknown_show" if document.get("unknown") == "show" else "rules.says_unknown_hide")
    return {
        "where": where,
        "column": document.get("column", ""),
        "at_most": document.get("at_most", ""),
        "item": document.get("item", ""),
        "place": document.get("place", ""),
        "places": say("rules.says_to_end") if places is None else say("rules.says_places", n=places),
        "least": say("rules.says_no_bound") if least is None else f"{least:g}",
        "most": say("rules.says_no_bound") if most is None else f"{most:g}",
        "unknown": unknown,
        "days": f"{document.get('days', 0):g}",
        "event": document.get("event") or say("rules.says_any_event"),
        "share": f"{document.get('share', 0) * HUNDRED:g}",
    }


def verdict(cost: Cost) -> str:
    """Return the key of what a cost says in a word, by the interval of the change.

    >>> verdict(Cost({}, {}, (-0.01, -0.02, -0.005), 0.0, 9)), verdict(Cost({}, {}, (0.0, -0.1, 0.1), 0.0, 9))
    ('rules.cost_worse', 'rules.cost_unclear')
    """
    _, low, high = cost.ndcg_change
    if not cost.rows or low != low or high != high:  # nothing was counted
        return "rules.cost_nothing"
    if low == high == 0:
        return "rules.cost_same"
    return "rules.cost_worse" if high < 0 else "rules.cost_better" if low > 0 else "rules.cost_unclear"


def cost_in_words(language: words.Language, cost: Cost) -> str:
    """Say what a cost says, with its figures."""
    mean, low, high = (f"{one:+.4f}" for one in cost.ndcg_change)
    return words.text(language, verdict(cost), mean=mean, low=low, high=high)
