"""The class of a move, and what no holiday explains."""

import pytest

from monitoring.drift.reasons import may_be_explained, reason_of
from monitoring.drift.signals import is_large, kind_of


@pytest.mark.parametrize(
    ("signal", "value", "reference", "reason", "explainable"),
    [
        ("events.null.value", 0.05, 0.0, "data_fault", False),
        ("events.unknown_items", 0.05, 0.001, "data_fault", False),
        ("events.repeats", 0.5, 0.0, "data_fault", False),
        ("events.price.p50", 200.0, 2.0, "data_fault", False),  # a unit
        ("events.price.p50", 0.02, 2.0, "data_fault", False),
        ("events.price.p50", 2.4, 2.0, "world", True),
        ("events.volume", 50, 100, "data_fault", True),  # a shop may be closed
        ("events.volume", 80, 100, "world", True),
        ("events.volume", 200, 100, "world", True),
        ("events.users.segment.ab.3", 0, 100, "data_fault", True),
        ("events.hour.03", 0.1, 0.01, "data_fault", True),
        ("events.hour.18", 0.24, 0.2, "world", True),
        ("events.share.category.SOUP", 0.0, 0.02, "data_fault", True),
        ("events.share.category.SOUP", 0.04, 0.02, "world", True),
        ("features.null.value_7d", 0.05, 0.0, "data_fault", False),
        ("features.spread.value_7d", 0.0, 1.5, "data_fault", False),
        ("features.spread.value_7d", 1.2, 1.5, "world", True),
        ("features.agree.sessions_28d", 1.2, 1.0, "data_fault", False),
        ("features.mean.value_7d", 2.0, 1.0, "world", True),
        ("scores.spread.buy", 0.0, 1.5, "data_fault", False),
        ("scores.distinct", 0.001, 0.9, "data_fault", False),
        ("served.distinct", 0.001, 0.9, "data_fault", False),
        ("labels.count.buy", 0.5, 1.0, "data_fault", True),
        ("labels.ratio.buy", 0.5, 1.0, "performance", True),
        ("events.same.price", 1.0, 0.05, "data_fault", False),
        ("events.same.price", 1.0, 0.995, "world", True),  # a shop of one price has always had one
        ("events.same.price", 0.2, 0.05, "world", True),
        ("events.discounted", 0.0, 0.3, "data_fault", True),
        ("events.null.time", 1.0, 0.0, "data_fault", False),
        ("requests.degraded", 0.3, 0.0, "data_fault", False),
    ],
)
def test_a_move_has_a_class(signal: str, value: float, reference: float, reason: str, explainable: bool) -> None:
    kind = kind_of(signal)
    large = is_large(kind, value, reference)
    assert reason_of(signal, kind, value, reference, large=large) == reason
    assert may_be_explained(signal, kind, value, reference) is explainable
