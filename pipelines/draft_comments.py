"""The comments of a drafted spec: one where a section starts, one beside each value that the data decided."""

import re
from collections.abc import Sequence

from pipelines.findings import Facts, Sizes
from pipelines.nearest_domain import VISIT_EVENTS

SECTIONS = {
    "data:": "paths start at this file's folder; columns are `ours: yours`",
    "  timezone:": "local time of your weeks, such as Europe/Berlin",
    "  contract:": "rules that the data must keep; a critical one stops the run, severity: warning does not",
    "  step:": "the clock: cutoffs, split and labels count in it; hour, day or week",
    "  without_item:": "kinds of events that have no item; they count as activity",
    "  session_gap:": "silence that ends a visit",
    "  split:": "whole {step}s; the data has {weeks} ({first} to {last})",
    "profiles:": "what is known of a user: windows, groups of alike users, how long it may be used",
    "intents:": "what a user may do within {ahead}; with a level, one question for each of its top values{visits}",
    "  ranking:": "items need this many sessions and users to be recommended",
    "    kinds:": "a draft by the kinds' words: looked at 1, kept 3, had 5; below 0 not wanted; 0 says nothing",
    "    hide:": "after such an event the user is not shown the item any more",
    "    undo:": "a kind, and the kind that it takes back",
    "    impression:": "what was shown: never interest, and what was passed over teaches the ranker",
    "promotion:": "auto: a release that passes the gates goes live; refit: it learns from the newest weeks first",
    "      delimiter:": "what splits the fields; also `header: none`, `encoding`, `nulls`",
    "      nulls:": "words that stand for nothing, in every column",
    "      timestamps:": "how times are written: iso, epoch_s, epoch_ms, a format, or a list of them",
    "      times:": "what a price of one piece is multiplied by",
    "    made_times:": "NO TIMES in the data: made by order, not measured; order: rows or random",
}
VISITS = "; sessions of {each:.1f} events: `horizon: session` asks of the visit under way"
MADE_SPLIT = "leave-one-out by order: each user's last rows lie in the last of {weeks} made-up weeks"


def commented(lines: Sequence[str], found: Facts, size: Sizes) -> list[str]:
    """Append comments to the lines of a dumped spec."""
    asked = (match[1] for line in lines if (match := re.search(r"horizon: (?!session)(\w+)", line)))
    ahead = next(asked, "7 days")
    held = {
        "ahead": ahead,
        "step": found.step,
        "visits": VISITS.format(each=found.session_events) if found.session_events >= VISIT_EVENTS else "",
        "weeks": found.period.weeks,
        "first": found.period.first.date(),
        "last": found.period.last.date(),
    }
    sections = SECTIONS | ({"  split:": MADE_SPLIT} if found.made else {})
    told = []
    for line in lines:
        key = re.match(r" *[a-zA-Z_]+:", line)
        section = sections.get(key[0]) if key else None
        whys = [why for field, why in size.why.items() if re.search(rf"\b{field}:", line)]
        said = [section.format(**held)] if section else [rule] if (rule := _of_rule(line, found)) else []
        told.append(f"{line}  # {'; '.join([*said, *whys])}" if said or whys else line)
    return told


def _of_rule(line: str, found: Facts) -> str | None:
    """Say why a rule lets rows through that lack a value."""
    lax = re.search(r"expect: not_null, column: (\w+), mostly:", line)
    if "expect: set_aside" in line:
        most = max(found.missing.values(), default=0)
        return f"LAX: {most:,} of {found.rows:,} rows are set aside today; the default allows 20 %"
    if not lax:
        return None
    count = found.missing[lax[1]]
    return f"{count:,} of {found.rows:,} rows lack it today and are set aside; a larger share stops the run"
