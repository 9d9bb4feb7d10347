"""What the examples of several endpoints share: one user's profile, one item, two intents."""

from feature_repo import columns

SIGNED = {"catalogue_version": 0, "release": "81233fd8eeda", "request_id": "77cae0c571094597979190466f34e6cf"}
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
