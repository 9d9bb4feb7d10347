"""The spec's `monitoring` slice: occasions, floors, and what is refused in a line."""

import datetime as dt

import pytest
from pydantic import ValidationError

from monitoring.spec import Monitoring, Occasion


def test_an_occasion_is_days_from_a_first_to_a_last() -> None:
    spec = Monitoring.model_validate({"calendar": [{"name": "Feast", "first": "2024-12-24", "last": "2024-12-26"}]})
    assert spec.calendar == [Occasion(name="Feast", first=dt.date(2024, 12, 24), last=dt.date(2024, 12, 26))]
    assert Monitoring.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"calendar": [{"name": "F", "first": "2024-12-26", "last": "2024-12-24"}]}, "-1 days; give 1 to 92"),
        ({"calendar": [{"name": "F", "first": "2024-01-01", "last": "2024-12-24"}]}, "359 days; give 1 to 92"),
        ({"calendar": [{"name": "", "first": "2024-01-01", "last": "2024-01-01"}]}, "at least 1 character"),
        ({"calendar": [{"name": "F", "first": "the 1st", "last": "2024-01-01"}]}, "valid date"),
        ({"signals": {"false_share": 0.5}}, "less than or equal to 0.2"),
        ({"signals": {"period": "month"}}, "'day' or 'week'"),
        ({"signals": {"floors": {"volume": 0}}}, "greater than 0"),
        ({"signals": {"floors": {"price": 1}}}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_told(given: dict, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Monitoring.model_validate(given)


def test_ninety_two_days_are_an_occasion() -> None:
    assert Occasion(name="Season", first=dt.date(2024, 1, 1), last=dt.date(2024, 4, 1))
    with pytest.raises(ValidationError):
        Occasion(name="Season", first=dt.date(2024, 1, 1), last=dt.date(2024, 4, 2))


def test_what_is_not_said_is_in_no_document() -> None:
    """Specs that were recorded before these fields keep their digests."""
    assert set(Monitoring().model_dump(mode="json")) == {"psi", "distance", "share", "sample", "min_rows", "min_users"}
    said = Monitoring.model_validate({"signals": {"period": "day"}})
    assert said.model_dump(mode="json")["signals"]["period"] == "day"
    assert (Monitoring().signals.watched, Monitoring().calendar, said.signals.period) == (True, [], "day")
