"""What is said of a signal: by name, by size, in both languages."""

import pytest

from monitoring.drift_verdicts import CLASSES
from monitoring.page import sentences, words
from monitoring.page.words import Words
from tests.monitoring.records import moved


@pytest.mark.parametrize(
    ("found", "en", "zh"),
    [
        (
            moved(),
            "The share of actions without “value” rose by 5 percentage points: 5.2 % in the latest period, usually "
            "0.1 % to 0.4 %.",
            "缺少“value”的行为占比上升了 5 个百分点：最近一期为 5.2 %，平常在 0.1 % 到 0.4 % 之间。",
        ),
        (
            moved("events.volume", kind="volume", value=14_600.0, interval=(25_100.0, 31_000.0), effect=-0.48,
                  direction="down"),
            "The number of actions that reached us fell by 48 %: 14,600 in the latest period, usually 25,100 to "
            "31,000.",
            "收到的行为数下降了 48 %：最近一期为 14,600，平常在 25,100 到 31,000 之间。",
        ),
        (
            moved("events.price.p50", kind="level", value=250.0, interval=(2.3, 2.7), effect=99.0),
            "The price of what is sold, in the middle, rose to 100 times as much: 250 in the latest period, usually "
            "2.3 to 2.7.",
            "售出商品的价格（中位）上升到原来的 100 倍：最近一期为 250，平常在 2.3 到 2.7 之间。",
        ),
        (
            moved("features.mean.sessions_28d", kind="mean", value=3.1, interval=(2.4, 2.6), effect=0.3),
            "The average of “sessions_28d” over customers rose clearly: 3.1 in the latest period, usually 2.4 to 2.6.",
            "顾客“sessions_28d”的平均值上升明显：最近一期为 3.1，平常在 2.4 到 2.6 之间。",
        ),
        (
            moved("events.volume", kind="volume", value=94.6, interval=(99.0, 101.0), effect=-0.054, direction="down"),
            "The number of actions that reached us fell by 5.4 %: 95 in the latest period, usually 99 to 101.",
            "收到的行为数下降了 5.4 %：最近一期为 95，平常在 99 到 101 之间。",
        ),
    ],
    ids=["nulls", "volume", "a unit", "a mean", "a little"],
)  # fmt: skip
def test_a_signal_that_moved_is_a_sentence_in_both_languages(found, en, zh) -> None:
    assert sentences.changed(found) == Words(en, zh)


def test_what_comes_from_nothing_has_no_percentage() -> None:
    said = sentences.changed(
        moved("events.share.soup", kind="share", value=0.1, interval=(0.0, 0.0), effect=float("inf"))
    )
    assert (
        said.en == "The share of “soup” in what people do rose clearly: 10 % in the latest period, usually 0 % to 0 %."
    )


def test_a_name_with_braces_is_a_name() -> None:
    assert sentences.called("events.users.segment.{0} & co").en.endswith("of the group “{0} & co”")


def test_since_and_what_explains_it() -> None:
    assert sentences.since(moved()).en == "Since 2 October 2017."
    assert sentences.since(moved()).zh == "自 2017年10月2日 起。"
    assert sentences.expected(moved()) == words.NOTHING
    told = sentences.expected(moved(explained_by="Christmas (monitoring.calendar)"))
    assert told == Words("Expected: Christmas.", "属预期之内：Christmas。")
    assert sentences.expected(moved(explained_by="the same season last year")).zh == "属预期之内：去年同期也是如此。"


def test_every_class_has_a_headline_and_a_meaning_in_both_languages() -> None:
    for table in (words.HEADLINES, words.MEANING):
        assert set(table) == set(CLASSES)
        assert all(one.en and one.zh for one in table.values())


def test_every_prefix_of_a_signal_that_is_judged_has_words() -> None:
    kinds = pytest.importorskip("monitoring.drift.signals").KINDS
    judged = {prefix for prefix, kind in kinds.items() if kind != "kept"}
    assert {prefix for prefix in judged if sentences.called(f"{prefix}.x").en.startswith("The signal")} == set()
