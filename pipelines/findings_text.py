"""What `init` says of a user's files: what they hold, then what is weak or will not work."""

from feature_repo.clock import DAY, HOUR, WEEK, Step
from pipelines.findings import LEAST_WEEKS, ROW_MS, START_S, Facts, Sizes

FEW_JUDGED = 100  # active user-weeks in the test weeks: fewer, and verdicts will hardly tell
FAR_OFF = 0.5  # share of the span that the first or the last percent of events may take

STEP_SAID: dict[Step, str] = {
    DAY: "step: day, since users come back within days; `data.step: week` would see no rhythm within one",
    HOUR: "step: hour, since users come day after day and the data is short; `data.step: day` costs fewer rows",
}


def lines(found: Facts, size: Sizes, split: dict[str, int]) -> tuple[str, ...]:
    """Say what was seen, then what will not work."""
    first, last = found.period.first.date(), found.period.last.date()
    seen = sum(found.active.values())
    told = [
        f"{found.rows:,} rows of {found.users:,} users and {found.items:,} items, {found.period.weeks} {found.step}s "
        + (f"made by order, not measured ({first} to {last})" if found.made else f"({first} to {last})"),
        f"{found.rows / max(1, found.users) / found.period.weeks:.2g} events a user a {found.step}; "
        f"{found.repeats:.0%} of events repeat an item that the user had before",
        f"{found.returning:,} of {found.users:,} users ({_share(found.returning, found.users)}) come back in another "
        f"{found.step}; {seen / found.period.weeks:,.0f} users a {found.step} are active",
        *([] if found.step == WEEK else [STEP_SAID[found.step]]),
        f"half of the items are seen over {found.lifetime_weeks:.1f} weeks or less; {found.supported:,} of "
        f"{found.items:,} items have {found.support[0]} sessions of {found.support[1]} users and can be recommended",
        f"about {size.rows:,} training rows and {max(1, round(size.minutes))} minutes for a first run (an estimate: "
        f"{START_S:.0f} s and {ROW_MS} ms a row, on two busy cores)",
    ]
    return (*told, *_missing(found), *_warnings(found, split))


def _missing(found: Facts) -> list[str]:
    if found.blank and set(found.missing.values()) == {found.blank}:
        share = _share(found.blank, found.rows)
        return [f"{found.blank:,} of {found.rows:,} rows ({share}) are blank: the contract sets them aside and says so"]
    return [
        f"{count:,} of {found.rows:,} rows ({_share(count, found.rows)}) have no {column}: the contract sets them "
        "aside and says so"
        for column, count in found.missing.items()
    ]


def _warnings(found: Facts, split: dict[str, int]) -> list[str]:
    told = []
    weeks = found.period.weeks
    if found.made:
        told.append("the data has no times: nothing that is measured says when something happens, only what comes last")
    if found.returning == 0:
        told.append(
            f"WILL NOT WORK: no user comes back in another {found.step}, so there is nothing to learn from the past of "
            f"one; check user_id (is it a session's or an order's id?), or bring more {found.step}s"
        )
    elif found.returning < 0.05 * found.users:
        told.append(
            f"weak: {_share(found.returning, found.users)} of users come back; most answers will be the popular"
        )
    *_before, test = split.values()
    judged = sum(users for week, users in found.active.items() if week > weeks - test)
    if judged < FEW_JUDGED:
        told.append(
            f"weak: {judged:,} active user-{found.step}s in the test {found.step}s; verdicts will hardly tell models "
            "apart"
        )
    if found.step == WEEK and weeks < 2 * LEAST_WEEKS:
        told.append(f"weak: {weeks} weeks; habits need some 12 weeks to be seen, and drift about as many")
    if found.items < 2:
        told.append("WILL NOT WORK: there is one item; nothing can be ranked")
    whole = (found.period.last - found.period.first).total_seconds()
    for edge, low, high in (("first", found.period.first, found.core[0]), ("last", found.core[1], found.period.last)):
        if whole and not found.made and (high - low).total_seconds() > FAR_OFF * whole:
            told.append(
                f"look: the {edge} 1 % of events take over half of the time ({low.date()} to {high.date()}); these may "
                "be wrong times, or move the split's weeks"
            )
    return told


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"
