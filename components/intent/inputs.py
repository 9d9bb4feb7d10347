"""Which numbers of the profile the intent model sees, where the spec asks for fewer than all.

Called by training alone. What it finds is written beside the network as `inputs.json`, for the report, the card and
people; the network and its `config.json` are enough to serve.

Letters: R rows, P numbers.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from components.intent import projection, relevance
from components.intent.encode import encode, profile_names, windows_of
from components.intent.examples import Examples
from components.intent.projection import Projection
from feature_repo import files
from feature_repo.dropped_features import NOTHING, kept

FILE = "inputs.json"
SELECTION, REDUCTION = "selection", "reduction"
MOST_ROWS = 100_000  # training rows, at most, that importance is judged on
ROWS = 1024  # encoded at a time: bounds memory
Document = dict[str, Any]


def names_of(examples: Examples) -> tuple[str, ...]:
    """Name the profile numbers to learn from."""
    return kept(profile_names(windows_of(examples.rows), examples.calendar.pace), examples.dropped)


def selected(examples: Examples, index: np.ndarray) -> tuple[Examples, Document]:
    """Drop from the examples what tells least of the intents in the rows of `index`; return them and why.

    The rows must be those whose labels every stage of training may know: others would reach scores that are to be out
    of time.
    """
    if (asked := examples.asked.relevance) is None:
        return examples, {}
    if len(index) > MOST_ROWS:
        index = index[np.linspace(0, len(index) - 1, MOST_ROWS).astype(np.int64)]
    names = names_of(examples)
    intents = [target.intent for target in examples.vocabulary.targets]
    found = relevance.choose(
        names, _numbers(examples, index, names), examples.labels[index], intents, asked, weight=examples.weights(index)
    )
    weeks = [int(week) for week in np.unique(examples.week[index])]
    about = {"rows": len(index), "weeks": [weeks[0], weeks[-1]]}
    without = examples.dropped | {name for name in names if name not in found.kept}
    return replace(examples, dropped=without), {SELECTION: found.document(asked) | about}


def reduced(
    examples: Examples, profile: np.ndarray, weight: np.ndarray | None
) -> tuple[Examples, Projection | None, Document]:
    """Return the projection of training rows' numbers [R, P] that the spec asks for, and what it is; None: none.

    The examples say how many components there are.
    """
    if (asked := examples.asked.reduction) is None:
        return examples, None, {}
    names = names_of(examples)
    found = projection.fit(profile, asked, names=names, weight=weight)
    return replace(examples, components=found.matrix.shape[1]), found, {REDUCTION: found.document(names, asked)}


def again(examples: Examples, found: Mapping[str, Any]) -> Examples:
    """Return the examples as the model of a document sees them, to fit it on other weeks: nothing is chosen anew.

    The projection itself lies in the model's weights.
    """
    out = found.get(SELECTION, {}).get("dropped", ())
    components = len(found[REDUCTION]["components"]) if REDUCTION in found else None
    return replace(examples, dropped=examples.dropped.union(out), asked=NOTHING, components=components)


def _numbers(examples: Examples, index: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Encode the profile of the rows in `index`, float32 [R, P]."""
    n_targets = len(examples.vocabulary.targets)
    parts = [
        encode(
            examples.rows.take(index[start : start + ROWS]),
            examples.context,
            calendar=examples.calendar,
            n_targets=n_targets,
            profile=names,
        ).profile
        for start in range(0, len(index), ROWS)
    ]
    return np.concatenate(parts)


def write(folder: Path, found: Mapping[str, Any]) -> None:
    """Write the file into a model folder; none where the model sees all numbers as they are."""
    if found:
        files.write_json(folder / FILE, found)


def read(folder: Path) -> Document:
    """Read the file of a model folder, empty where the model sees all numbers as they are."""
    path = folder / FILE
    return dict(files.read_json(path)) if path.is_file() else {}


def sentence(found: Mapping[str, Any]) -> str:
    """Say in a line what the model sees of the profile, '' where that is all.

    >>> sentence({"selection": {"kept": ["a"], "dropped": ["b", "c"], "notes": ["b is not finite in 2 training rows"]}})
    '1 of 3 numbers; b is not finite in 2 training rows'
    """
    said = []
    if selection := found.get(SELECTION):
        stay, out = len(selection["kept"]), len(selection["dropped"])
        said += [f"{stay} of {stay + out} numbers", *selection["notes"]]
    if reduction := found.get(REDUCTION):
        numbers, parts = len(reduction["numbers"]), reduction["components"]
        said += [f"{len(parts)} principal components of {numbers} numbers, {reduction['share']:.1%} of their variance"]
        said += reduction["notes"]
    return "; ".join(said)
