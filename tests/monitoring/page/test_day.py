"""The page of the day: what a shop owner reads, in two languages, and nothing that a name could smuggle in."""

import datetime as dt
import re
from html.parser import HTMLParser

import pytest

from monitoring.drift_verdicts import CLASSES
from monitoring.page.chart import chart
from monitoring.page.day import PERIODS, day, html
from tests.monitoring.records import moved, past, record

AT = dt.datetime(2017, 10, 16, 4, 30, tzinfo=dt.UTC)
VOID = {"meta", "input", "rect", "polyline", "circle"}


class Read(HTMLParser):
    """The text of a page by language; fails where tags do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("lang") or (self.open[-1][1] if self.open else "")))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open and self.open[-1][0] not in ("style", "title"):
            self.texts.setdefault(self.open[-1][1], []).append(" ".join(data.split()))


def read(page: str) -> Read:
    found = Read()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


def shown(reason: str = "data_fault", **more) -> str:
    return html(day("shop", reason, at=AT, starts="2017-10-09T00:00:00+00:00", **more))


def test_a_fault_says_what_since_when_and_what_was_done_in_both_languages() -> None:
    marks = {"notice": {"at": 1_508_128_200, "problem": ""}, "retraining": {"action": "hold"}}
    past_values = past("events.null.value", *[0.002] * 10, 0.05, 0.052)
    texts = read(shown(record=record(moved()), history=past_values, marks=marks)).texts
    assert texts["en"][texts["en"].index("Something is wrong with the data")]
    for said in (
        "The share of actions without “value” rose by 5 percentage points: 5.2 % in the latest period, "
        "usually 0.1 % to 0.4 %.",
        "Since 2 October 2017.",
        "We looked at 95 figures of 30 periods.",
        "We learn nothing from this data until it has been mended, so that recommendations are not spoilt by it.",
        "We told the people in charge on 16 October 2017.",
    ):
        assert said in texts["en"]
    assert {"数据出了问题", "自 2017年10月2日 起。", "我们已于 2017年10月16日 通知负责人。"} <= set(texts["zh"])


def test_a_calm_day_says_so_and_draws_nothing() -> None:
    page = read(shown("none", record=record(reason="none")))
    assert "All is as usual" in page.texts["en"]
    assert "一切如常" in page.texts["zh"]
    assert "What changed" not in page.texts["en"]
    assert "svg" not in page.tags


def test_what_was_expected_stands_apart_and_small_things_are_few() -> None:
    verdicts = (
        moved("events.volume", kind="volume", value=40_000.0, interval=(25e3, 31e3), effect=0.4, reason="world",
              explained_by="Christmas (monitoring.calendar)"),
        *(moved(f"events.share.{n}", kind="share", when="information", reason="world") for n in range(9)),
    )  # fmt: skip
    texts = read(shown("none", record=record(*verdicts, reason="none"))).texts["en"]
    assert "What changed as expected" in texts
    assert "What changed" not in texts
    assert "Expected: Christmas." in texts
    assert sum(text.startswith("The share of “") for text in texts) == 5


def test_a_message_that_did_not_arrive_is_told() -> None:
    page = shown(record=record(moved()), marks={"notice": {"at": 1, "problem": "HTTP 503"}})
    assert (
        "The message to the people in charge did not arrive (HTTP 503); it is sent again with the next check." in page
    )


@pytest.mark.parametrize("reason", CLASSES)
def test_every_class_makes_a_page_without_a_record(reason: str) -> None:
    page = shown(reason)
    assert f'data-reason="{reason}"' in page
    assert re.search(rf"--{reason}:", page), "its colour"


def test_names_are_text_and_the_page_needs_nothing_from_outside() -> None:
    evil = '<script>alert(1)</script>"onload="x'
    page = html(day(evil, "data_fault", at=AT, starts="2017-10-09", record=record(moved(f"events.null.{evil}"))))
    found = read(page)
    assert "script" not in found.tags
    assert not re.search(r'(src|href)=|url\(|@import|onload="x', page.replace("&#34;", "'"))


def test_a_chart_shows_the_last_thirteen_periods() -> None:
    long = past("events.null.value", *[0.002] * 17)
    found = day("shop", "data_fault", at=AT, starts="2017-10-09", record=record(moved()), history=long).changes[0].chart
    assert found is not None
    assert len(found.line.split()) == PERIODS


def test_a_chart_of_one_period_is_none_and_of_equal_values_is_flat() -> None:
    assert chart([1.0], (0.0, 2.0)) is None
    flat = chart([1.0, 1.0, 1.0], (1.0, 1.0))
    assert flat is not None
    assert {point.split(",")[1] for point in flat.line.split()} == {"66.0"}
