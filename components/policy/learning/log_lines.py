"""Lines of the request log as answers that learning reads, and both together as a folder that names nobody.

Greedy lines, and answers that guard rails kept greedy, are counted and left out: nothing was explored there, and the
same rails hold for whatever is learnt. So are answers of other policies than the one that serves (running.py), and
those that chose among other numbers of candidates than the spec says: what is judged would not be what is served.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.policy import record
from components.policy.choice import Ask, Bounds
from components.policy.head import features_of
from components.policy.learning.answers import Answers, LoggedAnswer
from components.policy.learning.running import Running, choice_of
from components.policy.rewards import logged_s
from feature_repo import columns, files
from feature_repo.errors import DataError

ARRAYS, ASKS = "answers.npz", "asks.json"
OF_ARRAYS = ("features", "there", "greedy", "shown", "propensity", "reward")
SHOWN, GREEDY, RAILED, OTHER = "explored", "greedy", "railed", "other"  # what is counted


def explored(
    lines: Iterable[Mapping[str, Any]], counts: Counter[str], *, running: Running, candidates: int
) -> Iterator[LoggedAnswer]:
    """Yield the answers in which something may have been explored; raises DataError for propensities that cannot be.

    `candidates` is what the spec says; a running policy that is greedy is judged by what any other one explored.
    """
    for line in lines:
        if not line.get("items"):
            continue
        choice = choice_of(line)
        if choice is None or float(choice["share"]) <= 0:
            counts[GREEDY if choice is None else RAILED] += 1
            continue
        if choice["settings"].get("candidates") != candidates or not (running.greedy or running.wrote(choice)):
            counts[OTHER] += 1
            continue
        counts[SHOWN] += 1
        yield _answer(line, choice)


def _answer(line: Mapping[str, Any], choice: Mapping[str, Any]) -> LoggedAnswer:
    where = f"request {line.get(columns.REQUEST_ID)}"
    record.require_true(line)
    ask = record.ask_of(choice, where=where)
    place = {str(item): position for position, item in enumerate(choice["candidates"])}
    items = [str(one[columns.ITEM_ID]) for one in line["items"]]
    if lacking := [item for item in items if item not in place]:
        raise DataError(f"{where}: shows '{lacking[0]}', which is none of its candidates; leave the line out")
    return LoggedAnswer(
        request=str(line[columns.REQUEST_ID]),
        user=str(line[columns.USER_ID]),
        at=logged_s(line),
        features=features_of(ask),
        greedy=ask.greedy,
        shown=[place[item] for item in items],
        propensity=[float(one["propensity"]) for one in line["items"]],
        ask=ask,
    )


def write(folder: Path, answers: Answers) -> None:
    """Write answers into a folder: users are numbers, requests and items have no names."""
    _, number = np.unique(answers.user, return_inverse=True)
    np.savez_compressed(
        folder / ARRAYS, user=number.reshape(-1), **{name: getattr(answers, name) for name in OF_ARRAYS}
    )
    if answers.asks is not None:
        files.write_json(folder / ASKS, [_written(ask) for ask in answers.asks])


def read(folder: Path) -> Answers | None:
    """Read the answers of a folder; None where nothing was explored."""
    if not (folder / ARRAYS).is_file():
        return None
    with np.load(folder / ARRAYS) as file:
        found = {name: file[name] for name in ("user", *OF_ARRAYS)}
    asks = None
    if (folder / ASKS).is_file():
        asks = np.empty(len(found["user"]), dtype=object)
        asks[:] = [_read(one) for one in files.read_json(folder / ASKS)]
    return Answers(request=np.arange(len(found["user"])).astype(str), asks=asks, **found)


def _written(ask: Ask) -> dict[str, Any]:
    bounds = ask.bounds
    return {
        "scores": ask.scores.tolist(),
        "greedy": list(ask.greedy),
        "codes": ask.codes.tolist() if ask.codes.size else [],
        "bounds": [bounds.fixed, bounds.caps, bounds.quotas],
    }


def _read(found: Mapping[str, Any]) -> Ask:
    codes = np.asarray(found["codes"], dtype=np.int64) if found["codes"] else np.empty((0, 0), np.int64)
    bounds = Bounds(*(_tuples(part) for part in found["bounds"]))
    return Ask(np.asarray(found["scores"], dtype=np.float64), tuple(found["greedy"]), codes, bounds)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value
