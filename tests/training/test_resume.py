"""A training that is killed goes on where it was and comes to the same, wherever that was."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.distributed.ranks import ALONE
from components.intent import fit as fitting
from components.intent import refit as refits
from components.intent.examples import Examples
from components.intent.spec import IntentModel
from components.intent.train import Trained, train
from components.ranking import examples as ranking_examples
from components.ranking import net_fit
from components.ranking import train as ranking
from components.ranking.examples import World
from components.training.checkpoints import Checkpoints
from tests.intent.conftest import SPLIT
from tests.ranking import board

MODEL = IntentModel(architecture="cnn", width=16, layers=1, epochs=3, batch_size=63, learning_rate=1e-2)
EARLY, FULL = 6, 8  # steps of an epoch of each stage


class Killed(Exception):
    """Stands for SIGKILL."""


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, int], list[int]]:
    """Let a module's optimizer steps die after so many; the list counts those done."""

    def at(module: Any, steps: int) -> list[int]:
        step, done = module._step, [0]

        def once(*arguments: Any) -> float:
            if done[0] == steps:
                raise Killed
            done[0] += 1
            return float(step(*arguments))

        monkeypatch.setattr(module, "_step", once)
        return done

    return at


def kept(folder: Path, every: int = 3) -> Checkpoints:
    return Checkpoints(folder, every, {"data": "one"}, False, ALONE)


def intents(examples: Examples, checkpoints: Checkpoints | None = None, spec: IntentModel = MODEL) -> Trained:
    return train(examples, spec, ranking_weeks=4, device="cpu", checkpoints=checkpoints)


def course(epochs: Any) -> list[Any]:
    return [replace(epoch, seconds=0.0, stall_share=None) for epoch in epochs]


@pytest.fixture(scope="module")
def whole(examples: Examples) -> Trained:
    """A training that nothing interrupted."""
    return intents(examples)


def require_same(found: Trained, whole: Trained) -> None:
    assert course(found.epochs) == course(whole.epochs)
    np.testing.assert_array_equal(found.out_of_time.probabilities, whole.out_of_time.probabilities)
    have, want = found.scorer.net.state_dict(), whole.scorer.net.state_dict()
    assert all(torch.equal(have[name], want[name]) for name in want)
    assert torch.equal(found.beginning.generator, whole.beginning.generator)


def steps_of(whole: Trained) -> int:
    each = {"early": EARLY, "full": FULL}
    return sum(each[epoch.stage] for epoch in whole.epochs)


def test_to_write_checkpoints_changes_nothing(examples: Examples, whole: Trained, tmp_path: Path) -> None:
    require_same(intents(examples, kept(tmp_path, 1)), whole)


@pytest.mark.parametrize("died", [1, EARLY, 2 * EARLY + 3, 3 * EARLY + 1, 3 * EARLY + FULL + 2])
def test_an_intent_model_comes_to_the_same_wherever_it_died(
    died: int, examples: Examples, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: Any
) -> None:
    assert [e.stage for e in whole.epochs].count("early") == 3, "the places below count on it"
    done = dies(fitting, died)
    with pytest.raises(Killed):
        intents(examples, kept(tmp_path))
    assert done == [died]
    monkeypatch.undo()
    again = dies(fitting, 10**6)
    require_same(intents(examples, kept(tmp_path)), whole)
    lost = again[0] + died - steps_of(whole)
    assert 0 <= lost < 3, "no more steps are done twice than lie between two checkpoints"


def test_a_stage_that_ended_is_not_trained_again(examples: Examples, whole: Trained, tmp_path: Path, dies: Any) -> None:
    intents(examples, kept(tmp_path))  # and was killed before it could write the model
    done = dies(fitting, 0)
    require_same(intents(examples, kept(tmp_path)), whole)
    assert done == [0]


def test_early_stopping_goes_on_counting(examples: Examples, tmp_path: Path, monkeypatch: Any, dies: Any) -> None:
    labels = examples.labels.copy()
    labels[examples.part("validate")] = 1 - labels[examples.part("validate")]  # the more it learns, the worse
    noise, spec = replace(examples, labels=labels), MODEL.model_copy(update={"epochs": 20, "learning_rate": 3e-3})
    want = intents(noise, spec=spec)
    assert len(want.epochs) < 20
    dies(fitting, EARLY + 2)
    with pytest.raises(Killed):
        intents(noise, kept(tmp_path, 1), spec)
    monkeypatch.undo()
    require_same(intents(noise, kept(tmp_path, 1), spec), want)


def test_a_refit_comes_to_the_same(
    examples: Examples, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: Any
) -> None:
    def again(checkpoints: Checkpoints | None = None) -> refits.Refitted:
        return refits.refit(
            examples, MODEL, whole.beginning, weeks=SPLIT["train"], epochs=2, device="cpu", checkpoints=checkpoints
        )

    want = again()
    dies(fitting, FULL + 4)
    with pytest.raises(Killed):
        again(kept(tmp_path))
    monkeypatch.undo()
    found = again(kept(tmp_path))
    assert course(found.epochs) == course(want.epochs)
    have, wanted = found.scorer.net.state_dict(), want.scorer.net.state_dict()
    assert all(torch.equal(have[name], wanted[name]) for name in wanted)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The ranker's checkerboard."""
    return ranking_examples.load(*board.write(tmp_path_factory.mktemp("ranking"), board.checkerboard()))


@pytest.mark.parametrize("start", [None, "popular"])
def test_a_ranker_comes_to_the_same(
    start: Any, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: Any
) -> None:
    spec = board.SPEC.model_copy(update={"start": start})
    mine = (
        replace(world, start=start)
        if start is None
        else ranking_examples.load(*board.write(tmp_path / "world", board.checkerboard()), spec)
    )
    want = ranking.train(mine, spec)
    for died in (17,) if start else (1, 9):
        dies(net_fit, died)
        with pytest.raises(Killed):
            ranking.train(mine, spec, checkpoints=kept(tmp_path / str(died), 4))
        monkeypatch.undo()
        found = ranking.train(mine, spec, checkpoints=kept(tmp_path / str(died), 4))
        assert course(found.epochs) == course(want.epochs)
        assert found.best_epoch == want.best_epoch
        assert all(torch.equal(found.state[name], want.state[name]) for name in want.state)
