"""One example of each endpoint's request and answer, for /docs.json. A test holds them to the schemas."""

from dataclasses import dataclass
from typing import Any

from feature_repo import columns

SIGNED = {"release": "81233fd8eeda", "request_id": "77cae0c571094597979190466f34e6cf"}
INTENT = {"name": "buy:TROPICAL FRUIT", "probability": 0.482}
VISIT = {"name": "visit", "probability": 0.8104}
PROFILE = {
    "rung": "fresh",
    columns.STATE_AT: "2018-01-01T04:01:21Z",
    "age_days": 0.0,
    "segment": "tropical fruit, vegetables",
    "degraded": False,
    "reason": None,
}
BANANAS = {"item_id": "1082185", "title": "Tropical fruit: bananas · 40 lb"}


@dataclass(frozen=True)
class Example:
    """What is asked, and what is answered."""

    ask: dict[str, Any]
    answer: dict[str, Any]


EXAMPLES = {
    "/recommend": Example(
        {"user_id": "1", "k": 1, "context": {"page": "home"}, "exclude": ["995242"]},
        {
            "items": [
                BANANAS
                | {
                    "score": 3.5152,
                    "source": "history",
                    "propensity": 1.0,
                    "reasons": {"weeks_bought": 24.0, "weeks_since": 2.0, "intent": 0.482},
                }
            ],
            "intents": [VISIT, INTENT],
            "profile": PROFILE,
        }
        | SIGNED,
    ),
    "/intents": Example({"user_id": "1"}, {"intents": [INTENT, VISIT], "profile": PROFILE} | SIGNED),
    "/rank": Example(
        {"user_id": "1", "item_ids": ["1082185", "995242"]},
        {
            "scores": [{"item_id": "1082185", "score": 3.5152}, {"item_id": "995242", "score": 3.38}],
            "profile": PROFILE,
        }
        | SIGNED,
    ),
    "/events": Example(
        {
            "events": [
                {
                    "user_id": "1",
                    "item_id": "1082185",
                    "event": "purchase",
                    "quantity": 1,
                    "value": 2.5,
                    "event_id": "order-17-1",
                }
            ]
        },
        {"accepted": 1, "duplicates": 0, "ignored": 0, "noted": {}} | SIGNED,
    ),
    "/explain": Example(
        {"user_id": "1", "item_id": "1082185"},
        BANANAS
        | {
            "source": "history",
            "position": 1,
            "score": 3.5152,
            "intents": [INTENT, VISIT],
            "features": [{"name": "weeks_since", "value": 2.0, "at": "2018-01-01T04:01:21Z"}],
            "profile": PROFILE,
        }
        | SIGNED,
    ),
    "/describe": Example(
        {"user_id": "1", "item_ids": ["1082185"]},
        {
            "items": [
                BANANAS
                | {
                    "text": "Tropical fruit: bananas · 40 lb. Category: TROPICAL FRUIT. You chose it in 24 weeks.",
                    "source": "template@1",
                    "attributes": ["title", "category", "reason:weeks_bought"],
                }
            ],
            "profile": PROFILE,
        }
        | SIGNED,
    ),
}
