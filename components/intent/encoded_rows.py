"""Rows as arrays: what a fit reads, encoded once for all its epochs.

Letters: R rows, B rows encoded at a time, C targets, W weeks.
"""

from dataclasses import replace

import numpy as np

from components.intent import inputs
from components.intent.encode import Encoded, encode
from components.intent.examples import Examples
from components.intent.fit import Rows
from components.intent.model import IntentNet, read_once
from components.intent.score import ROWS
from feature_repo.rows import Ragged, UserRows

HALVED = ("frequency", "event_numbers")  # of encoded rows, kept as float16


def encoded(examples: Examples, index: np.ndarray) -> Rows:
    """Encode the rows in `index` once for all epochs; most numbers are kept as float16, which halves the memory."""
    whole: dict[str, np.ndarray] = {}
    for start in range(0, len(index), ROWS):
        part = _encode(examples, examples.rows.take(index[start : start + ROWS]))
        for name, values in part.arrays().items():
            if start == 0:
                kept = np.float16 if name in HALVED else values.dtype
                whole[name] = np.empty((len(index), *values.shape[1:]), dtype=kept)
            whole[name][start : start + len(values)] = values
    week = np.searchsorted(_weeks(examples), examples.week[index])
    return Rows(Encoded(**whole), examples.labels[index], week, examples.weights(index))


def once(net: IntentNet, rows: Rows) -> Rows:
    """Return rows with their texts read, where the network's encoder of texts is not trained."""
    return replace(rows, encoded=read_once(net, rows.encoded))


def unknown(examples: Examples) -> Encoded:
    """Encode a user of whom nothing is known, at the start of each week, [W] rows."""
    weeks, rows = _weeks(examples), examples.rows
    n = len(weeks)
    nobody = UserRows(
        user_id=np.full(n, "", dtype=object),
        now=np.array([int(examples.calendar.start(int(w)).timestamp()) for w in weeks], dtype=np.int64),
        state_at=np.zeros(n, dtype=np.int64),
        known=np.zeros(n, dtype=bool),
        numbers={name: np.zeros(n) for name in rows.numbers},
        lists={name: Ragged(v.values[:0], np.zeros(n + 1, dtype=np.int64)) for name, v in rows.lists.items()},
    )
    return _encode(examples, nobody)


def present(examples: Examples, index: np.ndarray) -> list[int]:
    """List the weeks of the rows in `index`."""
    return [int(week) for week in np.unique(examples.week[index])]


def _encode(examples: Examples, rows: UserRows) -> Encoded:
    n_targets = len(examples.vocabulary.targets)
    names = inputs.names_of(examples)
    found = encode(
        rows,
        examples.context,
        calendar=examples.calendar,
        n_targets=n_targets,
        profile=names,
        events=examples.events,
    )
    return found if examples.material is None else examples.material.reader.with_text(found, rows)


def _weeks(examples: Examples) -> np.ndarray:
    return np.unique(examples.week)
