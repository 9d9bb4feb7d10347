"""What the run's last page says of a search for better settings. Pure: what its step told in, Markdown out."""

from collections.abc import Iterator, Mapping
from typing import Any


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """Say how many settings were tried, whether some are better, and the proposal; nothing without a search."""
    if not found:
        return
    yield _tried(found)
    if not found["better"]:
        yield "None of them is better than the spec's own, which the model was trained with."
        return
    yield f"{_better(found)} {_used(found)}"
    yield _indented(found["diff"] or _fields(found["changes"]))


def _tried(found: Mapping[str, Any]) -> str:
    ended = found["complete"] + found["pruned"] + found["unfit"]
    odd = [f"{found['pruned']} were cut short"] if found["pruned"] else []
    if found["unfit"]:
        odd.append(f"{found['unfit']} do not go together ({found['why']})")
    return f"A search tried {ended} settings of the intent model{': ' if odd else ''}{', '.join(odd)}."


def _better(found: Mapping[str, Any]) -> str:
    by, interval = found["gain"]["by"], found["gain"]["interval"]
    between = f" (95 % interval {interval[0]:+.5f} to {interval[1]:+.5f})" if interval else ""
    told = f"Trial {found['best']} has a validation loss lower by {by:.5f}{between} than the spec's own settings"
    sure = "" if interval is None or interval[0] > 0 else " Chance alone could do that."
    return (
        f"{told}, on {found['users']:,} users that the search alone reads; picking the best of many flatters it.{sure}"
    )


def _used(found: Mapping[str, Any]) -> str:
    if found["mode"] == "auto":
        return "The model was trained with these settings, and the gates judged it:"
    own = "The model was trained with the spec's own; to take these,"
    if found["diff"]:
        return f"{own} apply `search/proposal.diff` of the state folder:"
    return f"{own} write under `models.intent`:"


def _fields(changes: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {after}  # was {before}" for name, (before, after) in changes.items()]


def _indented(lines: list[str]) -> str:
    """Return lines as Markdown shows them, one below the other."""
    return "\n".join(f"    {line}" for line in lines)
