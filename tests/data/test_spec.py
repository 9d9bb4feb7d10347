import pytest
from pydantic import ValidationError

from components.data.spec import Data

SOURCE = {"type": "csv", "events": {"path": "events.csv"}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"timezone": "America/NewYork"}, "'America/NewYork' is no IANA time zone; did you mean 'America/New_York'?"),
        (
            {"contract": {"events": [{"expect": "not_null", "column": "user"}]}},
            r"events: not_null\(user\): no column 'user'; have user_id, item_id, .*; did you mean 'user_id'?",
        ),
        ({"contract": {"events": [{"expect": "between", "column": "value"}]}}, "give min, max or both"),
        (
            {"source": {"type": "csv", "events": {"path": "e.csv", "columns": {"user": "u"}}}},
            "events.columns: 'user' is no column of events; have user_id, .*; did you mean 'user_id'?",
        ),
        (
            {"source": {"type": "csv", "events": {"path": "e.csv", "timestamps": "epoch"}}},
            "'epoch' is no format; use iso, epoch_s, epoch_ms or one such as %d/%m/%Y %H:%M",
        ),
        (
            {
                "source": {
                    "type": "csv",
                    "events": {"path": "e.csv"},
                    "items": {"path": "i.csv", "columns": {"a b": "c"}},
                }
            },
            "'a b: c' names no column",
        ),
        ({"sources": SOURCE}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_data_slice_is_refused_at_load(changes, says):
    with pytest.raises(ValidationError, match=says):
        Data.model_validate({"source": SOURCE} | changes)


def test_a_data_slice_survives_its_json():
    data = Data.model_validate(
        {"source": SOURCE, "contract": {"items": [{"expect": "one_of", "column": "brand", "values": ["a", 1]}]}}
    )
    assert Data.model_validate_json(data.model_dump_json()) == data
