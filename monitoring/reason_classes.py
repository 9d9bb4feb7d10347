"""The classes of what a check may find, by what would mend it: one home, which imports nothing."""

from typing import Literal

Reason = Literal["data_fault", "world", "performance"]
Class = Literal["data_fault", "world", "performance", "none", "undecided"]
DATA_FAULT: Reason = "data_fault"
WORLD: Reason = "world"
PERFORMANCE: Reason = "performance"
NONE: Class = "none"
UNDECIDED: Class = "undecided"
