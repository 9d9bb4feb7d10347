"""What LightGBM writes of its trees is read as it means it, and an absent library is said in one line."""

import sys

import numpy as np
import pytest

from components import boosted_trees
from feature_repo.errors import SpecError

# Three splits: by a number, by a category (of 0, 33 and 64), and by a number that may be none.
TEXT = """tree
version=v4

Tree=0
num_leaves=4
num_cat=1
split_feature=3 0 4
threshold=-0.5 0 1.25
decision_type=2 1 8
left_child=1 -1 -3
right_child=2 -2 -4
leaf_value=0.125 -1e-05 3 4
cat_boundaries=0 3
cat_threshold=1 2 1

Tree=1
num_leaves=1
num_cat=0
leaf_value=0.75

end of trees
Tree=2 is a word of the settings below
"""


def test_each_split_sends_what_the_text_says_to_its_left() -> None:
    first, second = boosted_trees.trees_of(TEXT)
    assert first.feature.tolist() == [3, 0, 4]
    assert first.left.tolist() == [1, -1, -3]
    assert first.right.tolist() == [2, -2, -4]
    assert first.value.tolist() == [0.125, -1e-05, 3.0, 4.0]
    assert {split: values.tolist() for split, values in first.categories.items()} == {1: [0, 33, 64]}
    assert (len(second.threshold), second.value.tolist(), second.categories) == (0, [0.75], {})


@pytest.mark.parametrize(
    ("threshold", "how", "left"),
    [
        (-0.5, 2, False),  # training met none: it is a 0, which is above -0.5, whatever the default
        (0.5, 0, True),
        (0.0, 0, True),
        (-0.5, 8 + 2, True),  # training met some: the default's way
        (0.5, 8, False),
    ],
)
def test_a_number_that_is_none_goes_where_lightgbm_sends_it(threshold: float, how: int, left: bool) -> None:
    lines = [
        "Tree=0", "split_feature=0", f"threshold={threshold}", f"decision_type={how}", "left_child=-1",
        "right_child=-2", "leaf_value=1 2",
    ]  # fmt: skip
    (tree,) = boosted_trees.trees_of("\n".join(lines))
    assert tree.none_left.tolist() == [left]


def test_the_library_agrees_about_categories_and_numbers_that_are_none() -> None:
    """One tree is walked by hand over what the library was asked about."""
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 70, 3000), rng.normal(size=3000)])
    x[::5, 1] = np.nan
    y = (np.isin(x[:, 0], [2, 40, 66]) ^ (np.nan_to_num(x[:, 1], nan=9.0) > 0.3)).astype(float)
    settings = {"objective": "regression", "num_leaves": 12, **boosted_trees.DETERMINISTIC}
    model = lightgbm.train(settings, lightgbm.Dataset(x, y, categorical_feature=[0]), 1)
    (tree,) = boosted_trees.trees_of(model.model_to_string())
    assert tree.categories, "no split by category: this test shows nothing"
    asked = np.column_stack([rng.integers(0, 90, 200), rng.normal(size=200)])  # some categories are new
    asked[::4, 1] = np.nan

    def walked(row: np.ndarray) -> float:
        at = 0
        while at >= 0:
            value = row[tree.feature[at]]
            if at in tree.categories:
                goes_left = bool((tree.categories[at] == value).any())
            else:
                goes_left = bool(tree.none_left[at]) if np.isnan(value) else bool(value <= tree.threshold[at])
            at = int(tree.left[at] if goes_left else tree.right[at])
        return float(tree.value[-1 - at])

    np.testing.assert_allclose([walked(row) for row in asked], model.predict(asked), rtol=1e-12)


def test_an_absent_library_and_one_that_does_not_load_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(SpecError, match=r"^here: it is made by the package lightgbm, which is not installed; `pip"):
        boosted_trees.library("here: it is made")

    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "lightgbm":
                raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "lightgbm")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(SpecError, match=r"does not load: libgomp\.so\.1: .*; install OpenMP \(Debian: libgomp1"):
        boosted_trees.library("here: it is made")
