"""What a look at all rows at once misses: the newest week, lone instants, one busy user, users whom nobody lists.

Great Expectations is left out (`plain_verdicts`): what is told here follows from what it finds.
"""

import datetime as dt
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.data import contract
from components.data.contract import Verdict, validate
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo.errors import DataError, Refused
from tests.data import plain_verdicts

KEY = "00" * 16
NOW = dt.datetime(2024, 3, 4, tzinfo=dt.UTC)
WEEKS, USERS, A_WEEK = 8, 40, 140
MONDAY = dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)
Row = dict[str, Any]


def events() -> list[Row]:
    """Eight weeks of 140 events, five for each of seven days and four users at a time."""
    rows = []
    for n in range(WEEKS * A_WEEK):
        week, place = divmod(n, A_WEEK)
        at = MONDAY + dt.timedelta(weeks=week, days=place // 20, minutes=place)
        rows.append({"user": n % USERS, "item": "tea", "at": at.isoformat(), "quantity": 1, "value": 2})
    return rows


def in_week(row: Row, week: int) -> bool:
    return (dt.datetime.fromisoformat(row["at"]) - MONDAY).days // 7 == week - 1


class Shop:
    """A folder of files, and what the contract says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        (folder / "items.csv").write_text("item_id\ntea\nmilk\n")

    def judge(self, rows: list[Row], *rules: Row, users: list[str] | None = None) -> Verdict:
        lines = [",".join(str(row[name]) for name in ("user", "item", "at", "quantity", "value")) for row in rows]
        (self.folder / "events.csv").write_text("\n".join(["user_id,item_id,timestamp,quantity,value", *lines]) + "\n")
        source: Row = {"type": "csv", "events": {"path": "events.csv"}, "items": {"path": "items.csv"}}
        if users is not None:
            (self.folder / "users.csv").write_text("\n".join(["user_id", *users]) + "\n")
            source["users"] = {"path": "users.csv"}
        split = {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}
        data = self.data = Data.model_validate({"source": source, "split": split, "contract": {"events": list(rules)}})
        ingest(data, self.folder / "tables", key=KEY, base=self.folder, now=NOW)
        return validate(self.folder / "tables", data, self.folder / "clean", now=NOW, home=self.home)

    def refused(self, rows: list[Row], *rules: Row) -> str:
        with pytest.raises(Refused) as caught:
            self.judge(rows, *rules)
        return str(caught.value)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(contract, "checked_frame", plain_verdicts.frame)
    monkeypatch.setattr(contract, "evaluate", plain_verdicts.evaluate)
    return Shop(tmp_path)


def found(verdict: Verdict, rule: str) -> str:
    return next(f"{r.found} {r.note}".strip() for r in verdict.rules if r.rule == rule and r.table == "events")


def warned(verdict: Verdict) -> list[str]:
    return [r.rule for r in verdict.warnings]


def changed(rows: list[Row], which: Callable[[int, Row], bool], **fields: Any) -> list[Row]:
    return [row | fields if which(n, row) else row for n, row in enumerate(rows)]


def test_usual_data_has_no_warning(shop: Shop) -> None:
    verdict = shop.judge(events())
    assert (warned(verdict), verdict.quarantined["events"]) == ([], 0)


SMALL = {"expect": "between", "column": "quantity", "max": 9, "mostly": 0.95}


@pytest.mark.parametrize(("week", "holds"), [(3, True), (8, False)])
def test_a_rule_that_holds_over_all_and_fails_in_the_newest_week_fails(shop: Shop, week: int, holds: bool) -> None:
    rows = changed(events(), lambda n, row: in_week(row, week) and n % 5 == 0, quantity=12)  # 28 of 1,120
    if holds:
        assert shop.judge(rows, SMALL).passed
        return
    told = shop.refused(rows, SMALL)
    assert "28 of the 140 rows of the newest week, from 2024-02-19 (interval " in told
    assert ", are not so; over all it holds, with 28 of 1,120" in told


def test_a_few_bad_rows_of_the_newest_week_are_undecided_and_hold_nothing_back(shop: Shop) -> None:
    rows = changed(events(), lambda n, row: in_week(row, 8) and n % 14 == 0, quantity=12)  # 10 of 140, 7 are allowed
    verdict = shop.judge(rows, SMALL)
    assert verdict.passed
    told = found(verdict, "between(quantity)")
    assert "10 of the 140 rows of the newest week, from 2024-02-19 (interval " in told
    assert told.endswith("whether that is chance is undecided: the interval has the allowed share within it")


def test_bad_rows_of_one_user_do_not_fail_a_week_that_everybody_elses_pass(shop: Shop) -> None:
    busy = changed(events(), lambda n, row: in_week(row, 8) and n % A_WEEK < 28, user="till", quantity=12)
    verdict = shop.judge(busy, SMALL)  # 28 of 140, as many as fail it where they are of many users
    assert verdict.passed
    assert "is undecided" in found(verdict, "between(quantity)")


def test_ids_that_are_missing_in_the_newest_week_are_of_many_people(shop: Shop) -> None:
    rows = changed(events(), lambda n, row: in_week(row, 8) and n % 5 == 0, user="")
    assert "28 of the 140 rows of the newest week" in shop.refused(rows)


def test_a_week_of_few_users_is_undecided_with_their_number(shop: Shop) -> None:
    rows = [row | {"user": n % 12} for n, row in enumerate(events())]
    verdict = shop.judge(changed(rows, lambda n, row: in_week(row, 8) and n % 5 == 0, quantity=12), SMALL)
    assert found(verdict, "between(quantity)").endswith("undecided: 12 users are behind it, fewer than 20")


def test_what_could_not_be_judged_is_undecided_and_never_passed(shop: Shop) -> None:
    many = {"expect": "share_of_one_user", "over": 1000, "severity": "warning"}
    verdict = shop.judge(events()[: 4 * A_WEEK], {"expect": "volume", "weeks": 3}, many)
    words = {rule.rule: (rule.word, rule.success) for rule in verdict.rules if rule.table == "events"}
    assert words["volume(week)"] == ("undecided", True)  # two weeks before it, three are needed
    assert words["steady"] == ("undecided", True)  # no verdict before
    steady = next(rule for rule in verdict.rules if rule.rule == "steady")
    assert (steady.found, steady.note[:35]) == ("", "only 0 verdicts before to compare w")
    one_user = [(rule.word, rule.success) for rule in verdict.rules if rule.rule == "share_of_one_user"]
    assert ("undecided", True) in one_user  # nobody has a thousand events
    assert {r.word for r in verdict.rules if r.note == "the column holds only nulls"} == {"undecided"}
    assert words["fresh"] == ("undecided", True)  # the clock stands at the end of the data
    assert words["set_aside"] == ("passed", True)
    page = (shop.folder / "clean" / "contract.html").read_text()
    assert f", {len(verdict.undecided)} undecided</p>" in page
    assert page.count("? undecided</span>") == len(verdict.undecided) > 3


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00Z", "1970-01-20T16:53:20Z", "2001-09-09T01:46:40Z"])
def test_a_lone_instant_is_set_aside_and_says_nothing_of_the_period(shop: Shop, at: str) -> None:
    verdict = shop.judge(changed(events(), lambda n, row: n == 77, at=at))
    assert warned(verdict) == ["near(timestamp)"]
    assert (verdict.quarantined["events"], verdict.first[:10], len(verdict.weekly)) == (1, "2024-01-01", WEEKS)
    (sample,) = next(r.samples for r in verdict.rules if r.rule == "near(timestamp)")
    assert sample["timestamp"][:4] == at[:4]
    snapshot = json.loads((shop.folder / "clean" / "snapshot.json").read_text())
    assert (snapshot["first"][:10], snapshot["weeks"]) == ("2024-01-01", WEEKS)


def test_a_lone_instant_counts_where_the_spec_says_so(shop: Shop) -> None:
    rows = changed(events(), lambda n, row: n == 77, at="2001-09-09T01:46:40Z")
    verdict = shop.judge(rows, {"expect": "near", "severity": "info"})
    assert (verdict.quarantined["events"], verdict.first[:10]) == (0, "2001-09-09")


def test_two_seasons_that_lie_apart_are_both_behaviour(shop: Shop) -> None:
    rows = changed(events(), lambda n, row: n < 300, at="2021-05-03T10:00:00Z")
    rows = [row | {"quantity": n} for n, row in enumerate(rows)]  # no row twice
    verdict = shop.judge(rows)
    assert "near(timestamp)" not in warned(verdict)
    assert verdict.first[:10] == "2021-05-03"


def test_a_user_with_a_large_part_of_all_events_is_a_warning(shop: Shop) -> None:
    rows = changed(events(), lambda n, row: n % 4 == 0, user="till")
    rule = {"expect": "share_of_one_user", "max": 0.2, "over": 200, "severity": "warning"}
    verdict = shop.judge(rows, rule)
    assert warned(verdict) == ["share_of_one_user"]
    assert found(verdict, "share_of_one_user") == "one user has 280 of 1,120, 25.0 %"
    assert warned(shop.judge(rows)) == [], "of few events nothing is said by default"


def test_users_of_events_are_looked_up_in_the_users_file_itself(shop: Shop) -> None:
    everyone = [str(n) for n in range(USERS)]
    with pytest.raises(DataError, match=r"no user_id of users.csv \(such as '0x'\) is in the events"):
        shop.judge(events(), users=[f"{user}x" for user in everyone])
    tenth = {"expect": "described", "min": 0.1, "severity": "warning"}
    verdict = shop.judge(events(), tenth, users=["0", *(f"{user}x" for user in everyone[1:])])
    assert warned(verdict) == ["described"]
    assert found(verdict, "described").startswith("1 of the 40 users of events are in the table of users")
    assert verdict.quarantined["events"] == 0, "attributes are optional"
    half = shop.judge(events(), users=everyone[:20])
    assert (warned(half), found(half, "described")) == (
        [],
        "20 of the 40 users of events are in the table of users",
    )
    strict = {"expect": "known", "column": "user_id", "severity": "warning"}
    judged = shop.judge(events(), strict, {"expect": "set_aside", "max": 0.6}, users=everyone[:20])
    assert judged.quarantined["events"] == WEEKS * A_WEEK // 2
    assert found(shop.judge(events()), "described") == "the source has no table of users"


def test_a_week_of_which_a_large_part_is_set_aside_stops_the_run(shop: Shop) -> None:
    rows = changed(events(), lambda n, row: in_week(row, 8) and n % 3 == 0, item="gone")
    told = shop.refused(rows)
    assert "data.contract.events: set_aside asks that at most 20 % of the events" in told
    assert "47 of 140 events of the week from 2024-02-19 are set aside, 33.6 %, most of all by known(item_id)" in told
    assert shop.judge(rows, {"expect": "set_aside", "max": 0.5}).passed
    older = changed(events(), lambda n, row: in_week(row, 5) and n % 3 == 0, item="gone")
    assert shop.judge(older).passed, "4 % of all, and none of the newest week"


def test_a_warning_whose_share_rises_against_its_own_past_is_named(shop: Shop) -> None:
    def with_returns(every: int, minutes: int) -> list[Row]:
        rows = changed(events(), lambda n, row: n % every == 0, quantity=-1)
        return changed(rows, lambda n, row: n == 1, value=minutes)  # other data each time

    for attempt in range(3):
        verdict = shop.judge(with_returns(100, attempt))
        assert warned(verdict) == ["between(quantity)"]
    assert found(verdict, "steady") == "only 2 verdicts before to compare with, 3 are needed"
    assert warned(shop.judge(with_returns(90, 8))) == ["between(quantity)"]
    risen = shop.judge(with_returns(12, 9))
    assert warned(risen) == ["between(quantity)", "steady"]
    assert found(risen, "steady") == "events.between(quantity) is broken by 8.39 % of rows, usually 1.07 %"
    told = shop.refused(with_returns(11, 9), {"expect": "steady", "severity": "critical"})
    assert "events.between(quantity) is broken by 9.11 % of rows, usually 1.07 %" in told


def test_amounts_that_are_none_are_set_aside(shop: Shop) -> None:
    shop.judge(events())
    path = shop.folder / "tables" / "events.parquet"
    table = pq.read_table(path).to_pandas()
    table.loc[5, "value"], table.loc[6, "value"], table.loc[7, "quantity"] = math.inf, -1e13, 1e39
    table.to_parquet(path)
    verdict = validate(shop.folder / "tables", shop.data, shop.folder / "clean", now=NOW)
    assert {"finite(quantity)", "finite(value)"} <= {*warned(verdict)}
    assert verdict.quarantined["events"] == 3


def test_a_few_events_of_nobody_are_set_aside_and_many_are_refused(shop: Shop) -> None:
    verdict = shop.judge(changed(events(), lambda n, row: n < 15, user=""))
    assert (warned(verdict), verdict.quarantined["events"]) == (["not_null(user_id) #2"], 15)
    told = shop.refused(changed(events(), lambda n, row: n < 150, user=""))
    assert "not_null(user_id) asks that user_id is given; 150 of 1,120 rows are not so" in told


def test_ids_in_two_forms_are_named_with_both(shop: Shop) -> None:
    rows = [row | {"item": "milk" if n % 40 == 0 else "tea.0"} for n, row in enumerate(events())]
    told = shop.refused(rows)
    assert "most of all by known(item_id): events have ids such as 'tea.0' where items have 'milk' (1,092 of" in told
    loose = {"expect": "set_aside", "severity": "info"}
    with pytest.raises(
        DataError, match=r"most of all known\(item_id\), which asks .*: events have ids such as 'tea.0'"
    ):
        shop.judge(
            [row | ({"item": "milk", "user": ""} if n == 0 else {"item": "tea.0"}) for n, row in enumerate(rows)], loose
        )


def test_a_time_of_loading_is_no_time_at_which_rows_became_known(shop: Shop) -> None:
    shop.judge(events())
    path = shop.folder / "tables" / "events.parquet"
    table = pq.read_table(path).to_pandas()
    table["created_at"] = pd.Timestamp("2024-03-01T06:00:00Z")
    table.to_parquet(path)
    told = r"1,120 of 1,120 events have a created_at \(the earliest 2024-03-01 06:00 UTC\) after the data"
    with pytest.raises(DataError, match=told):
        validate(shop.folder / "tables", shop.data, shop.folder / "clean", now=NOW)
