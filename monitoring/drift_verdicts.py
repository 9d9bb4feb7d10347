"""What a drift check may come to, and what each of it means in the words that every verdict uses.

Drift has names of its own, since `refused` does not tell a moved world from a broken feed, and the cures differ: the
first asks for training, the others for a person. Marks and files of 0.1 say `no_data` where `undecided` stands now.
"""

from collections.abc import Mapping
from typing import Any, Literal

from components import verdicts
from components.verdicts import Word
from monitoring.reason_classes import DATA_FAULT, PERFORMANCE, WORLD
from monitoring.reason_classes import NONE as NO_REASON

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
CLASSES = (DATA_FAULT, WORLD, PERFORMANCE, NO_REASON, UNDECIDED)  # of a check, by what would mend it
CLASS_OF: dict[str, str] = {
    DRIFTED: WORLD,
    LOST: DATA_FAULT,
    FAULTY: DATA_FAULT,
    UNDECIDED: UNDECIDED,
}  # where a mark of before names none


def read(told: object) -> str:
    """Return a verdict that a file or a mark tells, in today's words.

    >>> read("no_data"), read("stable")
    ('undecided', 'stable')
    """
    return UNDECIDED if told == NO_DATA else str(told)


def class_of(verdict: Mapping[str, Any]) -> str:
    """Return the class of a verdict; that of its word where it names none.

    >>> class_of({"verdict": "lost"}), class_of({"verdict": "drifted", "class": "performance"})
    ('data_fault', 'performance')
    """
    word = read(verdict["verdict"])
    found = str(verdict.get("class", NO_REASON))
    return found if found in (DATA_FAULT, WORLD, PERFORMANCE) else CLASS_OF.get(word, found)
