"""What `benchmarks.tuned` is asked to judge as one is among what it trains, and settings make a side of their own."""

import pytest

from benchmarks import tuned
from components.intent.spec import IntentModel
from feature_repo.errors import SpecError


def test_sides_that_are_judged_as_one_are_named_by_a_plus() -> None:
    found = tuned._sets("default+gbdt,rnn+gbdt+lightgbm", have=("default", "lightgbm", "rnn", "gbdt"))
    assert found == {"default+gbdt": ("default", "gbdt"), "rnn+gbdt+lightgbm": ("rnn", "gbdt", "lightgbm")}
    assert tuned._sets("", have=()) == {}


def test_a_side_that_is_not_trained_is_refused() -> None:
    with pytest.raises(SpecError, match=r"--together: default\+cnn: .cnn. is no side here; use default, lightgbm"):
        tuned._sets("default+cnn", have=("default", "lightgbm"))


def test_trees_are_grown_as_asked_and_networks_as_the_spec_says() -> None:
    spec = IntentModel(width=32)
    assert tuned._spec("gbdt", spec, '{"leaves": 15}').trees.leaves == 15
    assert tuned._spec("rnn", spec, '{"leaves": 15}').width == 32
