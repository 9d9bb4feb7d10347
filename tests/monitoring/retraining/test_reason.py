"""Reasons out of drift verdicts and of realised quality: a broken feed goes before all, and what moved must last."""

import pytest

from monitoring.reason_classes import NONE
from monitoring.retraining.reason import Reason, of_drift, of_quality, together


def alarm(when: str, reason: str = "world", **more: str) -> dict[str, str]:
    return {"signal": "events.price.p50", "when": when, "reason": reason, "explained_by": ""} | more


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        ("drifted", "world"),
        ("lost", "data_fault"),
        ("faulty", "data_fault"),
        ("stable", "none"),
        ("no_data", "undecided"),
    ],
)
def test_a_verdict_without_signals_has_a_class(verdict: str, kind: str) -> None:
    assert of_drift({"verdict": verdict, "reason": "as it is"}).kind == kind


@pytest.mark.parametrize("kind", ["world", "none", "performance"])
def test_a_lost_column_is_a_fault_whatever_its_class_says(kind: str) -> None:
    assert of_drift({"verdict": "lost", "class": kind, "reason": ""}).kind == "data_fault"


def test_a_world_that_moved_in_the_newest_period_only_waits() -> None:
    found = {"verdict": "drifted", "class": "world", "reason": "prices", "signals": {"verdicts": [alarm("now")]}}
    assert of_drift(found).kind == NONE
    lasting = [alarm("now"), alarm("lasting", since_starts="2024-05-06T00:00:00+00:00")]
    of = of_drift(found | {"signals": {"verdicts": lasting}})
    assert (of.kind, of.since) == ("world", "")  # one of them does not say since when


def test_windows_that_drifted_last_by_themselves() -> None:
    """Four of eleven columns over four weeks are a reason, be the signals of the newest week quiet or not."""
    found = {"verdict": "drifted", "class": "world", "windows": "drifted", "signals": {"verdicts": []}}
    assert of_drift(found).kind == "world"
    assert of_drift(found | {"signals": {"verdicts": [alarm("now")]}}).kind == "world"
    assert of_drift(found | {"class": "none"}).kind == "world", "as a check before this one wrote it"
    assert of_drift(found | {"class": "undecided"}).kind == "world", "signals have too short a history to tell"


def test_since_is_the_earliest_of_the_alarms() -> None:
    at = ("2024-05-13T00:00:00+00:00", "2024-05-06T00:00:00+00:00")
    signals = {
        "verdicts": [alarm("lasting", since_starts=one) for one in at] + [alarm("information", since_starts="2020")]
    }
    assert of_drift({"verdict": "drifted", "class": "world", "signals": signals}).since == at[1]


def test_the_same_evidence_has_the_same_key_and_newer_data_another() -> None:
    found = {"verdict": "drifted", "reason": "a", "current": {"weeks": [18, 21]}, "at": "2024-05-06"}
    assert of_drift(found).key == of_drift(found | {"reason": "in other words"}).key
    assert of_drift(found).key != of_drift(found | {"at": "2024-05-13"}).key


def test_quality_speaks_only_of_performance() -> None:
    assert of_quality({}).kind == NONE
    assert of_quality({"reason": "undecided", "why": "too little"}).kind == NONE
    mark = {"reason": "performance", "why": "map fell", "period": 3, "release": "ab", "since": "2024-01-15"}
    assert (of_quality(mark).kind, of_quality(mark).since) == ("performance", "2024-01-15")
    assert of_quality(mark).key != of_quality(mark | {"period": 4}).key


def test_together_the_gravest_speaks_and_the_reasons_that_train_are_one() -> None:
    one, two = Reason("world", "w", "1", "2024-02-01"), Reason("performance", "p", "2", "2024-01-01")
    both = together([one, two])
    assert (both.kind, both.why, both.since) == ("performance", "world: w; performance: p", "2024-01-01")
    assert both.key == together([two, one]).key not in ("1", "2")
    assert together([one, two, Reason("data_fault", "f")]) == Reason("data_fault", "f")
    assert together([Reason("none"), Reason("undecided", "u")]).kind == "undecided"
