"""The classes of what a check may find, by what would mend it, and how long a move lasts; it imports nothing."""

from typing import Literal

Reason = Literal["data_fault", "world", "performance"]
Class = Literal["data_fault", "world", "performance", "none", "undecided"]
When = Literal["now", "lasting", "information"]
DATA_FAULT: Reason = "data_fault"
WORLD: Reason = "world"
PERFORMANCE: Reason = "performance"
NONE: Class = "none"
UNDECIDED: Class = "undecided"
REASONS: tuple[Reason, ...] = (DATA_FAULT, PERFORMANCE, WORLD)  # the gravest first, which names the class of several
NOW: When = "now"  # so large that one period of it is enough
LASTING: When = "lasting"
INFORMATION: When = "information"  # nobody need look
