"""Permutation importance: what a model goes by is found, and what it does not read costs nothing."""

from typing import Any

import numpy as np
import pytest

from components.intent import importance
from components.intent.encode import FREQUENCY, Encoded
from components.intent.examples import Examples
from components.intent.numpy_net import drawn
from components.intent.score import IntentScorer
from tests.intent.test_attribution import planted
from tests.intent.test_numpy_net import SMALL

pytestmark = pytest.mark.world


class ByRecency:
    """Says what one number of the target tells, and reads nothing else."""

    profile = None

    def __init__(self, scorer: IntentScorer) -> None:
        self.encode, self.calendar = scorer.encode, scorer.calendar

    @staticmethod
    def said_of(encoded: Encoded) -> np.ndarray:
        lately = encoded.frequency[:, :, FREQUENCY.index("recency")]
        return np.asarray(1 / (1 + np.exp(2 * (lately - 1.0))), dtype=np.float32)


def test_only_the_kind_that_is_read_matters(training: Any, examples: Examples) -> None:
    found = importance.measure(ByRecency(training("cnn").scorer), examples)  # type: ignore[arg-type]
    first, *rest = found
    assert first.kind == "how long ago, and how late by the usual gap"
    assert first.loss > 0.1
    assert first.interval[0] > 0
    assert {(one.loss, one.interval) for one in rest} == {(0.0, (0.0, 0.0))}
    assert (first.rows, first.users) == (80, 40)


def test_a_trained_model_goes_by_what_the_user_did_and_the_card_says_so(training: Any, examples: Examples) -> None:
    found = importance.measure(training("cnn").scorer, examples)
    by_kind = {one.kind: one.loss for one in found}
    assert found[0].loss == max(by_kind.values()) > 0.005
    assert by_kind["how popular it is"] < found[0].loss
    page = importance.page(found)
    assert f"| {found[0].kind} | {found[0].loss:+.4f} |" in page
    assert "80 validation rows of 40 users" in page
    assert importance.measure(training("cnn").scorer, examples) == found  # the same every time


def test_every_number_is_of_one_kind() -> None:
    numbers = [name for names in importance.NUMBERS.values() for name in names]
    assert sorted(numbers) == sorted(FREQUENCY)


def test_a_shuffle_moves_its_own_kind_alone() -> None:
    encoded = drawn(SMALL, planted().weights)
    order = np.roll(np.arange(len(encoded)), 1)
    names = ("events_7d", "value_7d", "events_28d", "tenure")
    moved: dict[str, set[str]] = {}
    for kind, shuffled in importance.shuffles(encoded, order, names):
        for name, values in shuffled.arrays().items():
            before = getattr(encoded, name)
            if name in ("frequency", "profile"):
                columns = FREQUENCY if name == "frequency" else names
                off = np.flatnonzero((values != before).reshape(-1, before.shape[-1]).any(axis=0))
                moved.setdefault(kind, set()).update(columns[c] for c in off)
            elif (values != before).any():
                moved.setdefault(kind, set()).add(name)
    assert moved["activity in the last 7 days"] == {"events_7d", "value_7d"}
    assert moved["totals and habits of the user"] == {"tenure"}
    assert moved["what happened step by step"] == {"sequence", "active"}
    assert moved["the user's segment"] == {"segment"}
    assert moved["how popular it is"] == set(importance.NUMBERS["how popular it is"])
    assert set().union(*moved.values()) == {*FREQUENCY, *names, "sequence", "active", "segment"}


def test_of_a_rate_nothing_is_measured(examples: Examples) -> None:
    class Rate:
        said_of = None

    assert importance.measure(Rate(), examples) == []  # type: ignore[arg-type]
    assert importance.page([]) == ""
