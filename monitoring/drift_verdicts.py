"""What a drift check may come to, and what each of it means in the words that every verdict uses.

Drift has names of its own, since `refused` does not tell a moved world from a broken feed, and the cures differ: the
first asks for training, the others for a person. Marks and files of 0.1 say `no_data` where `undecided` stands now.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from components import verdicts
from components.verdicts import Word
from monitoring import reason_classes
from monitoring.reason_classes import DATA_FAULT, INFORMATION, LASTING, NONE, PERFORMANCE, REASONS, WORLD, Class

Verdict = Literal["stable", "drifted", "lost", "faulty", "undecided"]
STABLE: Verdict = "stable"
DRIFTED: Verdict = "drifted"  # the world moved: asks for training
LOST: Verdict = "lost"  # a column lost its values: an alarm, and no reason to train
FAULTY: Verdict = "faulty"  # a signal says that the data is at fault: likewise
UNDECIDED: Verdict = "undecided"  # too little to tell
WORDS: dict[Verdict, Word] = {
    STABLE: verdicts.PASSED,
    DRIFTED: verdicts.REFUSED,
    LOST: verdicts.REFUSED,
    FAULTY: verdicts.REFUSED,
    UNDECIDED: verdicts.UNDECIDED,
}
HELD_BACK = (LOST, FAULTY)  # nothing is trained on such data
NO_DATA = "no_data"  # of 0.1
CLASSES: tuple[Class, ...] = get_args(Class)
CLASS_OF: dict[str, Class] = {
    DRIFTED: WORLD,
    LOST: DATA_FAULT,
    FAULTY: DATA_FAULT,
    UNDECIDED: reason_classes.UNDECIDED,
}  # where a mark of before names none


def read(told: object) -> str:
    """Return a verdict that a file or a mark tells, in today's words.

    >>> read("no_data"), read("stable")
    ('undecided', 'stable')
    """
    return UNDECIDED if told == NO_DATA else str(told)


def class_of(verdict: Mapping[str, Any]) -> Class:
    """Return the class of a verdict; that of its word where it names none, or one that says less.

    >>> class_of({"verdict": "lost"}), class_of({"verdict": "drifted", "class": "performance"})
    ('data_fault', 'performance')
    """
    word = read(verdict["verdict"])
    found = next((known for known in CLASSES if known == verdict.get("class")), NONE)
    if word in HELD_BACK:  # whatever class says less
        return DATA_FAULT
    return found if found in REASONS else CLASS_OF.get(word, found)


def alarms_of(found: Mapping[str, Any], reason: str) -> list[Mapping[str, Any]]:
    """Return the signals of a drift.json that alarm for a class; [] of a verdict that has no signals."""
    signals = found.get("signals") or {}
    return [
        one
        for one in signals.get("verdicts", [])
        if one.get("when") != INFORMATION and not one.get("explained_by") and one.get("reason") == reason
    ]


def lasts(found: Mapping[str, Any]) -> bool:
    """Tell whether the drift of a drift.json lasts: its windows hold weeks, and a signal says so of itself.

    >>> lasts({"verdict": "drifted"}), lasts({"verdict": "drifted", "windows": "stable", "signals": {"verdicts": []}})
    (True, False)
    """
    windows = found.get("windows", "" if found.get("signals") else found["verdict"])
    return read(windows) == DRIFTED or any(
        one.get("when") == LASTING for reason in (PERFORMANCE, WORLD) for one in alarms_of(found, reason)
    )
