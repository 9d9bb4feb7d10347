"""docs/features.md names every feature, and no other."""

import re
from pathlib import Path

from components.intent import encode as intent
from components.intent import events
from components.ranking import derived, feature_names
from feature_repo import columns
from feature_repo.clock import Pace

EVENT_CODES = ("kind", "band", "targets")
PAGE = Path("docs/features.md").read_text(encoding="utf-8")


def named(start: str, end: str) -> set[str]:
    """Return the names in the first cells of the tables between two headings."""
    part = PAGE.split(start, 1)[1].split(end, 1)[0]
    cells = re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_number_and_list_of_the_user_row_is_explained() -> None:
    numbers = {*columns.PROFILE_TIMES, *columns.PROFILE_TOTALS, *columns.WINDOWED, columns.SEGMENT}
    families = (columns.TARGET_LISTS, columns.HISTORY_LISTS, columns.RECEIVED_LISTS)
    families += (columns.RECENT_LISTS, columns.DAILY_LISTS, columns.EVENT_LISTS)
    lists = {name for family in families for name in family} | {columns.ATTRIBUTES}
    assert named("## The user row", "## Items and targets") == numbers | lists


def test_every_number_of_items_and_targets_is_explained() -> None:
    found = named("## Items and targets", "## What the models see")
    assert found == {*columns.ITEM_NUMBERS, *columns.TARGET_NUMBERS, columns.SHOWN_SLOW}


def test_every_feature_of_the_models_is_explained() -> None:
    stored = set(intent.profile_names([])) & {*columns.PROFILE_TOTALS}  # explained as the user row's
    found = named("The intent model", "With `models.intent.reads: events`")
    assert named("With `models.intent.reads: events`", "The ranker") == {*EVENT_CODES, *events.numbers_of(Pace("day"))}
    assert found == {*intent.FREQUENCY} | (set(intent.profile_names([], Pace("day"))) - stored)
    by_kind = {f"{name}<kind>" for name in (derived.SLOW_OF, derived.SINCE_OF)}
    assert named("The ranker", "## Selection") == {
        *feature_names.KNOWN,
        *derived.UNWANTED,
        *feature_names.SHOWN,
        *by_kind,
    }
