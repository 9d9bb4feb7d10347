"""What each candidate source is worth by itself: what it finds, what only it finds, and what it costs.

Each source is asked alone on a spread of test user-weeks, under the limit that the model has and with nothing taken but
what the user may not be shown. `unique` is what no other source finds: a source of which that is 0 could be switched
off. Milliseconds are the thread's own processor time, beside other work on the machine an upper bound.

Letters: B rows, I items, W wanted items over all rows.
"""

import time
from collections import defaultdict
from dataclasses import replace

import numpy as np

from components.ranking import lists
from components.ranking.examples import Examples, World
from components.ranking.score import Ranker
from components.ranking.sources import SOURCES, finder

ROWS = 512  # user-weeks asked about
Figures = dict[str, float | int]


def report(ranker: Ranker, world: World, *, part: str = "test") -> dict[str, Figures]:
    """Return the figures of every source that is on, by name; of those of later items test weeks can tell nothing."""
    ranker = replace(ranker, eligible=world.eligible)
    on = [source.name for source in SOURCES if ranker.spec.limit(source.name) and not source.later]
    examples = world.examples.of_weeks(world.weeks(part))
    examples = examples.take(np.unique(np.linspace(0, len(examples) - 1, min(ROWS, len(examples))).astype(np.int64)))
    found: dict[str, list[np.ndarray]] = defaultdict(list)  # by source, of each wanted item: was it found
    seconds, brought = dict.fromkeys(on, 0.0), dict.fromkeys(on, 0)
    share, new = [], []
    for week in np.unique(examples.week):
        at_week = ranker.at(world.item_state, week=int(week), graph=world.graph(int(week)))
        for chunk in lists.chunks(examples.of_weeks([int(week)])):
            wanted, had = _asked(chunk, len(ranker.catalogue))
            laid = at_week.context(chunk.rows)
            for name in on:
                # What a source makes is its own cost: scores that another has made, and views of the history, are not.
                context = replace(laid, history=replace(laid.history, scored={}), taken=laid.taken.copy())
                start = time.thread_time()
                keys = finder(name).candidates(context, ranker.spec.limit(name))
                seconds[name] += time.thread_time() - start
                brought[name] += len(keys)
                found[name].append(np.isin(wanted, keys))
            share.append(1 / np.diff(chunk.bought.offsets)[chunk.bought.row_of_value()])
            new.append(~had)
    hit = np.stack([np.concatenate(found[name]) for name in on])  # [sources, W]
    return _figures(on, hit, np.concatenate(share), np.concatenate(new), rows=len(examples),
                    seconds=seconds, brought=brought)  # fmt: skip


def _asked(chunk: Examples, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of what was wanted, and which of it the user had had before, each [W]."""
    wanted = chunk.bought.row_of_value() * n_items + chunk.bought.values
    history = chunk.rows.lists["history_items"]
    return wanted, np.isin(wanted, history.row_of_value() * n_items + history.values)


def _figures(
    names: list[str],
    hit: np.ndarray,
    share: np.ndarray,
    new: np.ndarray,
    *,
    rows: int,
    seconds: dict[str, float],
    brought: dict[str, int],
) -> dict[str, Figures]:
    """Put the figures together; `share` [W] is a wanted item's share of its row, so that rows count alike."""
    alone = hit & (hit.sum(axis=0) == 1)
    return {
        name: {
            "recall": round(float((hit[n] * share).sum() / rows), 5),
            "recall_new": round(float((hit[n] & new).sum() / max(new.sum(), 1)), 5),
            "unique": round(float((alone[n] * share).sum() / rows), 5),
            "items_a_row": round(brought[name] / rows, 1),
            "ms_a_row": round(1000 * seconds[name] / rows, 3),
            "rows": rows,
        }
        for n, name in enumerate(names)
    }


def idle(figures: dict[str, Figures]) -> list[str]:
    """Name the sources that found nothing which no other source had found.

    >>> idle({"history": {"unique": 0.2}, "offers": {"unique": 0.0}})
    ['offers']
    """
    return [name for name, one in figures.items() if one["unique"] == 0]
