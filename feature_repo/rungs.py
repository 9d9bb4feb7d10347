"""What an answer rests on, by the age of the user's row: one rule for the door and for batch scoring.

The door's ladder (bentos/recommender/ladder.py) says what each rung means and what happens when something fails.
"""

from typing import Literal

RUNG = "rung"
SEGMENT, POPULAR = "segment", "popular"  # where no model answers: the user's segment does, or everyone


def of_age(age_s: int, *, ttl_s: int, used_s: int) -> Literal["fresh", "stale"] | None:
    """Return the rung on which models answer from a row of this age, None where it is too old for them.

    >>> of_age(5, ttl_s=10, used_s=20), of_age(15, ttl_s=10, used_s=20), of_age(25, ttl_s=10, used_s=20)
    ('fresh', 'stale', None)
    """
    if age_s > used_s:
        return None
    return "fresh" if age_s <= ttl_s else "stale"
