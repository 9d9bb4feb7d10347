"""What a step's line says of the time that a training spent in waiting for its next batch."""

from collections.abc import Iterable


def told(shares: Iterable[float | None]) -> dict[str, float]:
    """Return the mean over epochs of the share of seconds spent in waiting, by the name that the line gives it.

    >>> told([0.1, 0.2]), told([None])
    ({'stall_share': 0.15}, {})
    """
    found = [share for share in shares if share is not None]
    return {"stall_share": round(sum(found) / len(found), 4)} if found else {}
