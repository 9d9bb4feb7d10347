"""How long tests wait at most for what takes a second or two on an idle machine.

A deadline only decides when a test gives up, so it costs nothing to be generous: deadlines are written for two idle
cores and multiplied here. INTENTFLOW_TEST_PATIENCE sets the factor for machines that are slower still.
"""

import os

FACTOR = float(os.environ.get("INTENTFLOW_TEST_PATIENCE", "3"))


def patient(seconds: float) -> float:
    """Return a deadline of so many seconds on idle cores, as this machine needs it.

    >>> patient(10) == 10 * FACTOR
    True
    """
    return seconds * FACTOR
