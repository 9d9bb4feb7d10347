"""Which stored numbers models do without: constant ones, duplicates, unstable ones. Found on training rows, reported.

The training set's `features.json` says what was found and what is dropped; the models read it there and keep the list
of what they were trained on in their own config, so that training and serving agree. Instants are not judged: models
see ages. A number that only grows, such as a lifetime total, is unstable as stored and steady as the rate that models
see, which is why instability is reported and not acted upon unless the spec sets a limit.

What the spec asks of the numbers that the intent model sees (`relevance`, `reduce`) is passed on in the same file: it
is found on encoded rows, in components/intent/inputs.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.profiles.spec import Selection
from feature_repo import columns

REPORTED_PSI = 0.2  # from which a number is listed as unstable where the spec sets no limit
BINS = 10
LEAST_SHARE = 1e-4  # of a bin, so that logarithms stay finite
MOST_ROWS = 200_000
SAME = 1.0 - 1e-9  # |r| from which two columns say the same


def examine(rows: Path, spec: Selection, *, train: Sequence[int], windows_days: tuple[float, ...]) -> dict[str, Any]:
    """Return what features.json says of the `rows` folder."""
    numbers = [n for n in columns.profile_columns(windows_days) if n not in columns.PROFILE_TIMES]
    found = {
        "user_profile": _table(rows / "intent.parquet", numbers, spec, train),
        "item_state": _table(rows / "item_state.parquet", list(columns.ITEM_NUMBERS), spec, train),
    }
    return {"selection": spec.model_dump(mode="json"), "train_weeks": [min(train), max(train)], "tables": found}


def _table(path: Path, names: list[str], spec: Selection, train: Sequence[int]) -> dict[str, Any]:
    weighted = columns.ROW_WEIGHT in pq.read_schema(path).names
    table = pq.read_table(path, columns=[columns.WEEK, *names, *([columns.ROW_WEIGHT] if weighted else [])])
    table = table.filter(pc.is_in(table[columns.WEEK], pa.array(train, pa.int64())))
    if table.num_rows > MOST_ROWS:
        table = table.take(pa.array(np.linspace(0, table.num_rows - 1, MOST_ROWS).astype(np.int64)))
    values = np.stack([table[n].cast(pa.float64()).to_numpy() for n in names], axis=1)  # [R, F], NaN: unknown
    week = table[columns.WEEK].to_numpy()
    weight = table[columns.ROW_WEIGHT].to_numpy() if weighted else None
    return judged(names, values, week, spec, weight=weight) | {"rows": table.num_rows}


def judged(
    names: Sequence[str], values: np.ndarray, week: np.ndarray, spec: Selection, *, weight: np.ndarray | None = None
) -> dict[str, Any]:
    """Say of columns [R, F] which are constant, which repeat another, how stable each is, and which to drop.

    >>> table = np.array([[1, 5, 2, 9], [2, 5, 4, 1], [3, 5, 6, 4]], dtype=float)
    >>> found = judged(["a", "b", "c", "d"], table, np.array([1, 1, 1]), Selection())
    >>> found["constant"], found["duplicate"], found["dropped"]
    (['b'], {'c': 'a'}, ['b', 'c'])
    """
    constant = [name for name, column in zip(names, values.T, strict=True) if _constant(column)]
    left = [f for f, name in enumerate(names) if name not in constant]
    twins = {names[left[b]]: names[left[a]] for b, a in duplicates(values[:, left]).items()}
    psi = {names[f]: round(instability(values[:, f], week, weight=weight), 4) for f in left}
    limit = REPORTED_PSI if spec.unstable_psi is None else spec.unstable_psi
    unstable = [name for name, value in psi.items() if value > limit]
    out = {
        *(constant if spec.constant == "drop" else ()),
        *(twins if spec.duplicate == "drop" else ()),
        *(unstable if spec.unstable_psi is not None else ()),
    }
    return {
        "kept": [name for name in names if name not in out],
        "dropped": [name for name in names if name in out],
        "constant": constant,
        "duplicate": twins,
        "unstable": unstable,
        "psi": psi,
    }


def _constant(column: np.ndarray) -> bool:
    known = column[~np.isnan(column)]
    return len(known) == 0 or (len(known) == len(column) and bool((known == known[0]).all()))


def duplicates(values: np.ndarray) -> dict[int, int]:
    """Map columns [R, F] that follow an earlier one exactly, up or down, to the first such."""
    missing = np.isnan(values)
    centred = np.where(missing, 0.0, values - np.nanmean(values, axis=0))
    norm = np.sqrt((centred**2).sum(axis=0))
    r = np.abs(centred.T @ centred) / np.maximum(np.outer(norm, norm), 1e-300)  # [F, F]
    found: dict[int, int] = {}
    for b in range(values.shape[1]):
        for a in range(b):
            if a not in found and r[a, b] >= SAME and (missing[:, a] == missing[:, b]).all():
                found[b] = a
                break
    return found


def instability(column: np.ndarray, week: np.ndarray, *, weight: np.ndarray | None = None) -> float:
    """Return the population stability index of a column between the first and the last quarter of the weeks.

    Bins are the first quarter's deciles; unknown values are a bin of their own. A row counts `weight` times.
    """
    weeks = np.unique(week)
    quarter = max(1, len(weeks) // 4)
    sides = [np.isin(week, part) for part in (weeks[:quarter], weeks[-quarter:])]
    first, often = column[sides[0]], None if weight is None else weight[sides[0]]
    known = ~np.isnan(first)
    edges = np.unique(_deciles(first[known], None if often is None else often[known])) if known.any() else np.empty(0)
    p, q = (_shares(column[side], edges, None if weight is None else weight[side]) for side in sides)
    return float(((q - p) * np.log(q / p)).sum())


def _deciles(known: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    if weight is None:
        return np.asarray(np.quantile(known, shares))
    return np.asarray(np.quantile(known, shares, method="inverted_cdf", weights=weight))


def _shares(column: np.ndarray, edges: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    place = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="left"))
    counts = np.bincount(place, weight, minlength=len(edges) + 2)
    whole = len(column) if weight is None else weight.sum()
    return np.asarray(np.maximum(counts / max(whole, 1), LEAST_SHARE))
