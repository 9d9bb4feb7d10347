"""What the examples of several endpoints share: one user's profile, one item, two intents."""

from feature_repo import columns

SIGNED = {"catalogue_version": 0, "release": "81233fd8eeda", "request_id": "77cae0c571094597979190466f34e6cf"}
INTENT = {"name": "buy:TROPICAL FRUIT", "probability": 0.482}
VISIT = {"name": "visit", "probability": 0.8104}
AMOUNT = {
    "name": "spend",
    "kind": "regression",
    "basis": "model",
    "value": 31.4,
    "unit": "USD",
    "low": 4.1,
    "high": 78.9,
}
NEXT_VALUE = {
    "name": "next_category",
    "kind": "multiclass",
    "basis": "model",
    "probabilities": {"TROPICAL FRUIT": 0.31, "SOFT DRINKS": 0.22},
    "other": 0.27,
    "none": 0.2,
}
PROFILE = {
    "rung": "fresh",
    columns.STATE_AT: "2018-01-01T04:01:21Z",
    "age_days": 0.0,
    "segment": "tropical fruit, vegetables",
    "degraded": False,
    "reason": None,
}
BANANAS = {"item_id": "1082185", "title": "Tropical fruit: bananas · 40 lb"}
