"""The history of signals and the last word, as a state folder keeps them."""

import dataclasses
import json
from pathlib import Path

import pytest

from feature_repo.errors import DataError
from monitoring.drift import watch_record
from monitoring.drift.watch_record import PeriodValues, SignalVerdict, WatchRecord

FIRST, SECOND, THIRD = (f"2024-01-{day:02}T00:00:00+00:00" for day in (1, 8, 15))


def of(starts: str, release: str = "1", **values: float) -> PeriodValues:
    return PeriodValues(starts, release, 7, {name: [value, 10.0] for name, value in values.items()})


def known(home: Path) -> dict[str, dict[str, float]]:
    return {p.starts: {name: numbers[0] for name, numbers in p.values.items()} for p in watch_record.history(home)}


def test_a_period_that_is_over_keeps_its_first_value(tmp_path: Path) -> None:
    """A later snapshot renames a category in the whole past: the record of what was known then stays."""
    assert watch_record.add(tmp_path, [of(FIRST, a=1.0), of(SECOND, a=2.0)]) == 2
    assert watch_record.add(tmp_path, [of(FIRST, "2", a=9.0), of(SECOND, "2", a=9.0), of(THIRD, "2", a=3.0)]) == 1
    assert known(tmp_path) == {FIRST: {"a": 1.0}, SECOND: {"a": 2.0}, THIRD: {"a": 3.0}}
    assert [p.release for p in watch_record.history(tmp_path)] == ["1", "1", "2"]


def test_the_newest_period_is_measured_anew_and_nothing_else_is_written_twice(tmp_path: Path) -> None:
    watch_record.add(tmp_path, [of(FIRST, a=1.0), of(SECOND, a=2.0)])
    assert watch_record.add(tmp_path, [of(FIRST, a=1.0), of(SECOND, a=2.0)]) == 0
    assert watch_record.add(tmp_path, [of(FIRST, a=5.0), of(SECOND, a=4.0)]) == 1
    assert known(tmp_path) == {FIRST: {"a": 1.0}, SECOND: {"a": 4.0}}


def test_a_signal_that_was_not_on_record_joins_its_period(tmp_path: Path) -> None:
    watch_record.add(tmp_path, [of(FIRST, a=1.0), of(SECOND, a=2.0)])
    watch_record.add(tmp_path, [of(FIRST, a=9.0, b=5.0), of(SECOND, a=2.0)])
    assert known(tmp_path)[FIRST] == {"a": 1.0, "b": 5.0}


def test_a_day_and_a_week_that_start_together_are_two_periods(tmp_path: Path) -> None:
    """Else a Monday of 100 events would stand for a week of 700 once `signals.period` says week."""
    day, week = dataclasses.replace(of(FIRST, a=100.0), days=1), dataclasses.replace(of(FIRST, a=700.0), days=7)
    watch_record.add(tmp_path, [day])
    assert watch_record.history(tmp_path, days=7) == []
    assert watch_record.add(tmp_path, [week]) == 1
    assert [p.values["a"][0] for p in watch_record.history(tmp_path, days=1)] == [100.0]
    assert known(tmp_path) == {FIRST: {"a": 700.0}}, "of the length that was written last"


def test_a_line_of_before_does_not_say_its_length_and_is_any(tmp_path: Path) -> None:
    watch_record.add(tmp_path, [of(FIRST, a=1.0)])
    assert [p.values["a"][0] for p in watch_record.history(tmp_path, days=7)] == [1.0]
    assert watch_record.add(tmp_path, [dataclasses.replace(of(FIRST, a=1.0), days=7)]) == 0


def test_one_instant_in_two_zones_is_one_period(tmp_path: Path) -> None:
    watch_record.add(tmp_path, [of(FIRST, a=1.0), of(SECOND, a=2.0)])
    assert watch_record.add(tmp_path, [of("2024-01-01T08:00:00+08:00", a=9.0, b=3.0)]) == 1
    first, second = watch_record.history(tmp_path)
    assert (first.starts[:10], first.values) == ("2024-01-01", {"a": [1.0, 10.0], "b": [3.0, 10.0]})
    assert second.values == {"a": [2.0, 10.0]}


@pytest.mark.parametrize("broken", ['{"starts": "2024-', '{"starts": "then", "release": "", "at": 1}', "[1]", "{}"])
def test_a_line_that_is_none_is_refused_by_its_place(tmp_path: Path, broken: str) -> None:
    watch_record.add(tmp_path, [of(FIRST, a=1.0)])
    path = tmp_path / watch_record.FOLDER / watch_record.HISTORY
    path.write_text(path.read_text() + broken)
    with pytest.raises(DataError, match=r"signals.jsonl:2: is no line of the history .* restore the file"):
        watch_record.history(tmp_path)


def test_the_file_only_grows(tmp_path: Path) -> None:
    path = tmp_path / watch_record.FOLDER / watch_record.HISTORY
    watch_record.add(tmp_path, [of(FIRST, a=1.0)])
    before = path.read_text()
    watch_record.add(tmp_path, [of(SECOND, a=2.0)])
    assert path.read_text().startswith(before)
    line = json.loads(path.read_text().splitlines()[-1])
    assert line == {"at": 7, "release": "1", "starts": SECOND, "values": {"a": [2.0, 10.0]}}


def verdict(**more) -> SignalVerdict:
    base = {
        "signal": "events.volume", "source": "events", "kind": "volume", "value": 50.0, "reference": 100.0,
        "interval": (95.0, 105.0), "effect": -0.5, "p": 1e-9, "direction": "down", "since": 3, "since_starts": THIRD,
        "when": "now", "reason": "data_fault",
    }  # fmt: skip
    return SignalVerdict(**{**base, **more})


def record(*verdicts: SignalVerdict, reason: str = "data_fault") -> WatchRecord:
    return WatchRecord("shop", 3, THIRD, "2", 7, reason, verdicts, 90, 20)  # type: ignore[arg-type]


def test_the_last_word_is_read_as_it_was_kept(tmp_path: Path) -> None:
    assert watch_record.last(tmp_path) is None
    said = record(verdict(), verdict(signal="b", when="lasting", explained_by="Feast"))
    watch_record.keep_last(tmp_path, said)
    assert watch_record.last(tmp_path) == said


def test_alarms_explained_and_information_are_told_apart() -> None:
    said = record(
        verdict(signal="a"), verdict(signal="b", explained_by="Feast"), verdict(signal="c", when="information"),
        verdict(signal="d", when="information", explained_by="Feast"),
    )  # fmt: skip
    assert [v.signal for v in said.alarms] == ["a"]
    assert [v.signal for v in said.explained] == ["b"]
    assert [v.signal for v in said.information] == ["c", "d"]
    assert said.told() == "a down to 50 from 100 since 2024-01-15 (now, data_fault)"
    assert record(verdict(), verdict()).told().endswith(", and 1 more signal")
    assert record(reason="none").told() == "90 signals, nothing that asks for anybody"
