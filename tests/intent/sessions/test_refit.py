"""The refit of a session model: the judged one's training once more with newer visits, and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components import conditions
from components.intent.sessions import refit as refits
from components.intent.sessions.encode import Codes
from components.intent.sessions.score import SessionScorer
from components.intent.sessions.spec import SessionModel, SessionRule
from components.intent.sessions.steps import run_refit_session, run_train_session
from components.intent.sessions.train import Sample, train
from components.registry.lineage import Folders
from feature_repo import files
from feature_repo.errors import DataError
from tests.session_worlds import BUY, CALENDAR, LEAVE, SPLIT, shop

RULE = SessionRule(intents=(BUY, LEAVE), model=SessionModel(epochs=6, width=8, batch_size=32))
pytestmark = pytest.mark.xdist_group("sessions")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's tables, its split, and a judged model."""
    folder = tmp_path_factory.mktemp("shop")
    made = shop(folder / "raw", users=400)
    for name in ("clean", "rows"):
        (folder / name).mkdir()
    pq.write_table(made.events, folder / "clean" / "events.parquet")
    pq.write_table(made.items, folder / "clean" / "items.parquet")
    files.write_json(folder / "rows" / "split.json", SPLIT | {"incomplete": [30]})
    files.write_json(folder / "rows" / "calendar.json", CALENDAR.document())
    at = {"clean": folder / "clean", "rows": folder / "rows"}
    run_train_session(RULE.model_dump_json(), destination=folder / "judged", code="c0de", **at)
    return folder


def refitted(world: Path, to: Path, *, rule: SessionRule = RULE, code: str = "c0de", refit: bool = True) -> Path:
    run_refit_session(
        rule.model_dump_json(), code=code, refit=refit, clean=world / "clean", rows=world / "rows",
        judged=world / "judged", destination=to,
    )  # fmt: skip
    return to


def test_the_newest_visits_are_learnt_from_and_it_says_of_which_weights_it_is_a_refit(
    world: Path, tmp_path: Path
) -> None:
    folder = refitted(world, tmp_path / "refitted")
    said, judged = files.read_json(folder / "model" / conditions.FILE), files.read_json(world / "judged/training.json")
    assert said["weeks"] == list(range(3, 30))  # the last step is not whole
    assert said["rows"] > sum(judged["rows"].values()) * 0.8
    assert said["rows"] > judged["rows"]["train"]
    assert said["epochs"] == refits.epochs_of(judged)
    for mean, rate in said["means"].values():
        assert mean == pytest.approx(rate, abs=0.1)
    before, after = (SessionScorer.load(at / "model") for at in (world / "judged", folder))
    assert before.codes == after.codes
    assert np.array_equal(before.mean, after.mean)
    assert not np.array_equal(before.weights[0], after.weights[0])
    for file in ("metrics.json", "card.md"):  # the figures are the judged model's
        assert (folder / "evaluation" / file).read_bytes() == (world / "judged/evaluation" / file).read_bytes()


@pytest.mark.parametrize("architecture", ["dense", "gru"])
def test_on_the_judged_visits_it_comes_to_the_judged_weights(world: Path, architecture: str) -> None:
    """So whatever a refit does otherwise follows from its visits."""
    from components.intent.sessions import learn, visits
    from components.intent.sessions.split import PARTS, parts

    model = SessionModel(epochs=4, width=4, architecture=architecture)
    events = pq.read_table(world / "clean" / "events.parquet")
    found, _ = visits.cut(visits.history(events, timezone="UTC"), gap_s=None)
    part = parts(found, SPLIT, CALENDAR, quiet_s=1800)
    every = visits.rows(found, RULE.intents)
    codes = visits.codes(found, part[found.visit] == PARTS.index("train"), {}, gap_s=None)
    samples = [
        learn.sample(found, every.take(np.flatnonzero(part[every.visit] == place)), codes, model) for place in (0, 1)
    ]
    given = {"codes": codes, "intents": RULE.intents, "start": np.zeros(2)}
    judged = train(samples[0], samples[1], model, **given)
    epochs = refits.epochs_of({"epochs": [vars(epoch) for epoch in judged.epochs]})
    again = train(
        samples[0],
        None,
        model.model_copy(update={"epochs": epochs}),
        scale=(judged.scorer.mean, judged.scorer.scale),
        **given,
    )
    for mine, theirs in zip(again.scorer.weights, judged.scorer.weights, strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"code": "0ther"}, "code"),
        ({"rule": RULE.model_copy(update={"gap": "30m"})}, "spec session"),
        ({"rule": RULE.model_copy(update={"model": SessionModel(epochs=6, width=16, batch_size=32)})}, "spec session"),
    ],
)
def test_anything_else_that_differs_is_refused_by_name(
    world: Path, tmp_path: Path, changed: dict[str, object], names: str
) -> None:
    with pytest.raises(DataError, match=rf"only the rows of a refit may differ .* so does {names} \("):
        refitted(world, tmp_path / "refitted", **changed)  # type: ignore[arg-type]


def test_where_no_refit_is_asked_for_the_folder_says_so(world: Path, tmp_path: Path) -> None:
    folder = refitted(world, tmp_path / "refitted", refit=False)
    assert [path.name for path in folder.iterdir()] == [conditions.FILE]
    assert not conditions.asked(folder)


def test_a_spec_without_intents_of_visits_has_nothing_to_refit(world: Path, tmp_path: Path) -> None:
    """A pipeline that was compiled with session steps runs such a spec as well."""
    at = {"clean": world / "clean", "rows": world / "rows"}
    run_train_session("", destination=tmp_path / "judged", **at)
    run_refit_session("", code="c0de", refit=True, judged=tmp_path / "judged", destination=tmp_path / "refitted", **at)
    assert not conditions.asked(tmp_path / "refitted")
    folders = Folders(*[tmp_path] * 5, session=tmp_path / "refitted")
    assert (folders.session_model, folders.session_evaluation) == (None, None)


def test_an_epoch_that_gained_next_to_nothing_is_not_the_one_that_was_kept() -> None:
    """Losses that still fall, by less than training takes for a gain: the judged weights are the first epoch's."""
    model, rows = SessionModel(epochs=3, width=4, learning_rate=1e-6), np.arange(64) % 2
    sample = Sample(rows[:, None].astype(np.float32), np.stack([rows, 1 - rows], axis=1).astype(np.uint8))
    codes = Codes(("x",), ())
    given = {"codes": codes, "intents": RULE.intents, "start": np.zeros(2)}
    judged = train(sample, sample, model, **given)
    losses = [epoch.validate_bce for epoch in judged.epochs]
    assert losses[2] < losses[1] < losses[0] < losses[2] + 1e-5
    epochs = refits.epochs_of({"epochs": [vars(epoch) for epoch in judged.epochs]})
    again = train(
        sample,
        None,
        model.model_copy(update={"epochs": epochs}),
        scale=(judged.scorer.mean, judged.scorer.scale),
        **given,
    )
    for mine, theirs in zip(again.scorer.weights, judged.scorer.weights, strict=True):
        assert np.array_equal(mine, theirs)


def test_probabilities_far_from_the_rate_are_refused(world: Path) -> None:
    scorer = SessionScorer.load(world / "judged" / "model")
    features = np.zeros((50, len(scorer.codes.names)), dtype=np.float32)
    wild = replace(scorer, biases=(*scorer.biases[:2], np.full(2, 9.0)))
    with pytest.raises(DataError, match=r"refit of the session model: its mean probability of 'buy' is 0\.9"):
        refits.sane(wild, Sample(features, np.zeros((50, 2), dtype=np.uint8)), scorer)


def test_a_refit_may_miss_a_rate_as_the_judged_model_did(world: Path) -> None:
    scorer = SessionScorer.load(world / "judged" / "model")
    off = replace(scorer, biases=(*scorer.biases[:2], np.full(2, 9.0)))
    sample = Sample(np.zeros((50, len(scorer.codes.names)), dtype=np.float32), np.zeros((50, 2), dtype=np.uint8))
    assert refits.sane(off, sample, off)["buy"][1] == 0.0
