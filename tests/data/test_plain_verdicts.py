"""What plain SQL finds of a contract is what Great Expectations finds: tests that leave it out rest on that."""

import contextlib

import pytest

from components.data import contract
from feature_repo.errors import DataError, Refused
from tests.data import plain_verdicts
from tests.data.test_contract import RETURNED, UNKNOWN, judged

pytestmark = pytest.mark.world


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        ((), []),
        ((UNKNOWN, RETURNED), []),
        ((",tea,view,2024-01-30T08:00:00Z,s7,1,0,0", "10,,view,2024-01-30T08:00:00Z,s7,1,1e13,0"), []),
        ((UNKNOWN,), [{"expect": "one_of", "column": "event", "values": ["view"], "mostly": 0.4}]),
        ((), [{"expect": "matches", "column": "item_id", "pattern": "[a-z]{3}", "severity": "warning"}]),
        ((), [{"expect": "compare", "column": "value", "op": ">", "other": "quantity", "mostly": 0.8}]),
        ((), [{"expect": "compare", "column": "value", "op": ">", "other": "quantity", "mostly": 0.5}]),
        ((), [{"expect": "rows", "min": 7}, {"expect": "share_of_one_user", "max": 0.4, "over": 1}]),
    ],
)
def test_the_plain_verdicts_of_other_tests_are_those_of_great_expectations(ingested, spec, monkeypatch, lines, rules):
    frames, compared = {}, []
    read, ask = contract.checked_frame, contract.evaluate

    def checked(db, table, checks):
        frames[table] = plain_verdicts.frame(db, table, checks)
        return read(db, table, checks)

    def both(checks, frame, *, table, measured=None):
        found = ask(checks, frame, table=table, measured=measured)
        assert plain_verdicts.evaluate(checks, frames[table], table=table, measured=measured) == found
        compared.extend(found)
        return found

    monkeypatch.setattr(contract, "checked_frame", checked)
    monkeypatch.setattr(contract, "evaluate", both)
    data = spec(contract={"events": rules})
    with contextlib.suppress(Refused, DataError):
        judged(ingested(*lines, data=data), data)
    assert {finding.check.table for finding in compared} == {"events", "items", "users"}
