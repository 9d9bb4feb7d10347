"""LightGBM, which grows the boosted trees of several components: settings for equal trees, and its trees as arrays.

Equal input gives equal trees: one thread, a fixed seed, sums in one order. What serves the trees needs nothing of this:
each component keeps the arrays in a form of its own.

Letters: S splits and L leaves of a tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from feature_repo.errors import SpecError

DETERMINISTIC: dict[str, Any] = {"deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1}
BY_CATEGORY, DEFAULT_LEFT = 1, 2  # bits of LightGBM's decision_type
MISSING_SHIFT, MISSING_IS_NAN = 2, 2  # where its kind of missing values begins, and the kind of numbers that are none
WORD = 32  # categories in a word of a bitset


@dataclass(frozen=True)
class Tree:
    """One tree: a split sends left what is at most its threshold, or in its categories. A child below 0 is a leaf."""

    feature: np.ndarray  # [S] int32
    threshold: np.ndarray  # [S] float64; of a split by category without meaning
    left: np.ndarray  # [S] int32: a split, or -1 - leaf
    right: np.ndarray  # [S] int32
    none_left: np.ndarray  # [S] bool: where a number that is none goes
    categories: Mapping[int, np.ndarray]  # by split by category: int64 values that go left; all others go right
    value: np.ndarray  # [L] float64


def library(who: str) -> Any:
    """Return LightGBM; SpecError where it cannot be loaded, which begins with `who` needs it.

    Only training needs it.
    """
    try:
        import lightgbm
    except ImportError:
        raise SpecError(
            f"{who} by the package lightgbm, which is not installed; `pip install 'lightgbm>=4.6'`"
        ) from None
    except OSError as error:  # its wheel has no OpenMP of its own
        raise SpecError(
            f"{who} by LightGBM, which does not load: {error}; install OpenMP (Debian: libgomp1, macOS: libomp)"
        ) from None
    return lightgbm


def trees_of(text: str) -> list[Tree]:
    r"""Read what LightGBM writes of a model, which has every number in full.

    >>> lines = "Tree=0", "split_feature=1", "threshold=0.5", "left_child=-1", "right_child=-2", "leaf_value=3 4"
    >>> (tree,) = trees_of("\n".join(lines))
    >>> tree.feature.tolist(), tree.value.tolist(), tree.none_left.tolist()
    ([1], [3.0, 4.0], [True])
    """
    return [_read(part) for part in text.partition("end of trees")[0].split("Tree=")[1:]]


def _read(part: str) -> Tree:
    """Read the lines of one tree; one without a split has a leaf alone."""
    lines = dict(line.split("=", 1) for line in part.splitlines()[1:] if "=" in line)

    def numbers(name: str, kind: type) -> np.ndarray:
        return np.array(lines.get(name, "").split(), dtype=np.float64).astype(kind)

    threshold = numbers("threshold", np.float64)
    how = numbers("decision_type", np.int64) if "decision_type" in lines else np.zeros(len(threshold), np.int64)
    # A number that is none is read as 0 where training met none, and else goes where the split was told to send it.
    as_zero = how >> MISSING_SHIFT != MISSING_IS_NAN
    by_category = np.flatnonzero(how & BY_CATEGORY)
    bounds, words = numbers("cat_boundaries", np.int64), numbers("cat_threshold", np.int64)
    return Tree(
        feature=numbers("split_feature", np.int32),
        threshold=threshold,
        left=numbers("left_child", np.int32),
        right=numbers("right_child", np.int32),
        none_left=np.where(as_zero, threshold >= 0, how & DEFAULT_LEFT > 0),
        categories={
            int(split): _listed(words[slice(*bounds[int(threshold[split]) :][:2])]) for split in by_category.tolist()
        },
        value=numbers("leaf_value", np.float64),
    )


def _listed(words: np.ndarray) -> np.ndarray:
    """Return the numbers of the bits that are set.

    >>> _listed(np.array([5, 1])).tolist()
    [0, 2, 32]
    """
    bits = words[:, None] >> np.arange(WORD) & 1  # [words, 32]
    return np.asarray(np.flatnonzero(bits))
