"""Networks over the event memory: what they read by hand, that nothing of the future is read, and what they learn."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log, log1p
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.intent import card as cards
from components.intent import events, metrics, model, numpy_net, steps, twin
from components.intent import refit as refits
from components.intent.encode import FREQUENCY, encode
from components.intent.events import LENGTH, NUMBERS, OTHER, EventCodes
from components.intent.examples import Examples, load
from components.intent.model import Batch, IntentNet
from components.intent.networks import NETWORKS
from components.intent.numpy_net import NumpyNet
from components.intent.score import IntentScorer
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.intent.train import Trained, train
from feature_repo import columns, event_lists, files, memory
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.memory import Remembered
from feature_repo.rows import Ragged, UserRows

from . import event_worlds
from .conftest import INTENTS, VISIT, known_row, start, unknown_row, user_rows
from .test_numpy_net import numpy_of, random_net

VIEW, BUY, SEARCH = (event_lists.checksum(kind) for kind in ("view", "purchase", "search"))
CODES = EventCodes(tuple(sorted([VIEW, BUY])), (2.0, 5.0), 1)
NOW = start(6)
HOUR, DAY = 3600, 86_400
EVENTS = [
    Remembered(NOW - 3 * DAY, "s1", "i1", "view", 0.0),
    Remembered(NOW - 3 * DAY + HOUR, "s1", "i1", "purchase", 5.0),
    Remembered(NOW - DAY, "s2", "", "search", 0.0),
    Remembered(NOW - HOUR, "s2", "i1", "view", 0.0),
]


def rows_of(*memories: list[Remembered]) -> UserRows:
    """Return rows as known at the start of week 6, with these memories."""
    bare = user_rows([known_row(f"u{b}", {4: [0, VISIT]}, 6) for b in range(len(memories))])
    lists = event_lists.of([memory.encode(one) for one in memories], event_worlds.items())
    return replace(bare, lists={**bare.lists, **lists})


def tokens(rows: UserRows, calendar: Calendar = Calendar("2024-01-01")) -> tuple[np.ndarray, np.ndarray]:  # noqa: B008
    return events.encode(rows, rows.now, CODES, calendar=calendar, n_targets=VISIT + 1)


def test_an_event_is_the_token_by_hand() -> None:
    codes, numbers = tokens(rows_of(EVENTS, []))
    assert codes.shape == (2, LENGTH, 3)
    assert codes[0, :-4].any() == numbers[0, :-4].any() == codes[1].any() == numbers[1].any() == False  # noqa: E712
    view, buy = (events.KNOWN + CODES.kinds.index(kind) for kind in (VIEW, BUY))
    assert codes[0, -4:].tolist() == [[view, 0, 2], [buy, 3, 2], [OTHER, 0, 0], [view, 0, 2]]
    told = dict(zip(NUMBERS, numbers[0, -4:].T.tolist(), strict=True))
    hours: Callable[..., list[float]] = lambda *of: [log1p(n) / 4 for n in of]  # noqa: E731
    assert told == {
        "since": pytest.approx(hours(72, 71, 24, 1)),
        "before_next": pytest.approx(hours(1, 47, 23, 1)),
        "after_last": pytest.approx(hours(0, 1, 47, 23)),
        "value": pytest.approx([0, log(6) / 4, 0, 0]),
        "opens": [1, 0, 1, 0],
        "again": [0, 1, 0, 1],
        "same": [0, 1, 0, 0],
    }


def test_where_the_clock_is_finer_a_token_tells_hour_and_weekday_there() -> None:
    calendar = Calendar("2024-01-01", "Europe/Berlin", "day")
    noon = int(calendar.midnight(calendar._first).timestamp()) + 12 * HOUR  # a Monday's, local
    rows = replace(rows_of([Remembered(noon, "s", "i1", "view", 0.0)]), now=np.array([noon + 1]))
    _, numbers = tokens(rows, calendar)
    assert numbers.shape[2] == len(NUMBERS) + 4
    week = 2 * np.pi * 0.5 / 7
    assert numbers[0, -1, -4:].tolist() == pytest.approx([0, -1, np.sin(week), np.cos(week)], abs=1e-6)


@pytest.mark.parametrize("late", [0, 1, 30 * DAY])
def test_an_event_at_or_after_the_cutoff_is_not_read(late: int) -> None:
    planted = Remembered(NOW + late, "s9", "i0", "purchase", 99.0)
    for mine, theirs in zip(tokens(rows_of([*EVENTS, planted])), tokens(rows_of(EVENTS)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    codes, _ = tokens(rows_of([*EVENTS, Remembered(NOW - 1, "s9", "i0", "purchase", 99.0)]))
    assert codes[0, -1, 2] == 1  # a second before it is


@pytest.mark.world
def test_a_forgery_of_the_future_moves_no_probability(reading: Mapping[str, Trained]) -> None:
    scorer = reading["gru"].scorer
    planted = [Remembered(NOW + n, "s9", "i0", "purchase", 9.0) for n in range(20)]
    rows = rows_of(EVENTS, [])
    np.testing.assert_array_equal(scorer.predict(rows_of([*EVENTS, *planted], planted)), scorer.predict(rows))


def test_rows_of_nobody_need_no_events_and_those_of_somebody_do() -> None:
    nobody = user_rows([unknown_row("new", NOW)])
    assert not tokens(nobody)[0].any()
    with pytest.raises(DataError, match=r"these rows hold none; set profiles\.memory: training"):
        tokens(user_rows([known_row("u1", {4: [0]}, 6)]))


def test_targets_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(DataError, match="beyond the model's 1 targets"):
        events.encode(rows_of(EVENTS), np.array([NOW]), CODES, calendar=Calendar("2024-01-01"), n_targets=1)


def test_kinds_and_bands_are_fitted_on_what_rows_remember() -> None:
    paid = [Remembered(n, "s", "i1", "purchase", float(n)) for n in range(1, 9)]
    found = events.fit(rows_of(EVENTS, paid))
    assert found.kinds == tuple(sorted([VIEW, BUY, SEARCH]))
    assert found.bands == pytest.approx((3.0, 5.0, 6.0))  # quarters of 1, 2, 3, 4, 5, 5, 6, 7, 8
    assert found.targets == 1
    assert EventCodes.of(found.document()) == found
    with pytest.raises(DataError, match="no training row remembers one; use reads: steps"):
        events.fit(rows_of([], []))


SMALL = Shape("cnn", width=32, layers=2, dropout=0.1, targets=7, weeks=5, frequency=len(FREQUENCY), profile=4,
              segments=3, events=9, kinds=2, bands=3, event_numbers=7)  # fmt: skip


@pytest.mark.parametrize("items", [0, 5])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("architecture", NETWORKS)
def test_random_weights_give_the_same_probabilities_in_numpy(architecture: str, layers: int, items: int) -> None:
    net = random_net(replace(SMALL, architecture=architecture, layers=layers, items=items, texts=8 if items else 0))
    if items:
        net.events.freeze(np.random.default_rng(1).normal(size=(items, 8)).astype(np.float32))
    form = numpy_of(net)
    asked = numpy_net.drawn(net.shape, form.weights)
    assert asked.event_codes is not None
    assert set((asked.event_codes[:, :, 0] > 0).sum(axis=1).tolist()) == set(range(10))  # memories of all lengths
    want = model.probabilities(net, asked)
    np.testing.assert_allclose(form.probabilities(asked), want, atol=1e-5)
    bare = replace(asked, event_codes=np.zeros_like(asked.event_codes))
    assert np.abs(model.probabilities(net, bare) - want)[1:].max() > 0.01  # they do count
    np.testing.assert_allclose(form.probabilities(bare), model.probabilities(net, bare), atol=1e-5)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_padding_is_nowhere_read(architecture: str) -> None:
    net = random_net(replace(SMALL, architecture=architecture))
    asked = numpy_net.drawn(net.shape, numpy_of(net).weights)
    assert asked.event_codes is not None
    assert asked.event_numbers is not None
    padding = asked.event_codes[:, :, :1] == 0
    noise = np.random.default_rng(0).normal(size=asked.event_numbers.shape).astype(np.float32)
    filled = replace(asked, event_numbers=np.where(padding, noise, asked.event_numbers))
    for ask in (lambda one: model.probabilities(net, one), numpy_of(net).probabilities):
        np.testing.assert_allclose(ask(filled), ask(asked), atol=1e-6)
    alone = np.concatenate([model.probabilities(net, asked.take(np.array([b]))) for b in range(len(asked))])
    np.testing.assert_allclose(alone, model.probabilities(net, asked), atol=1e-5)  # shorter there: padding is cut


def test_a_network_of_steps_is_what_it_was() -> None:
    bare = replace(SMALL, events=None, kinds=0, bands=0, event_numbers=0)
    assert set(bare.document()) == {"architecture", "width", "layers", "dropout", "targets", "weeks", "frequency",
                                    "profile", "segments"}  # fmt: skip
    assert not any(name.startswith("events") for name in IntentNet(bare).state_dict())
    assert "reads" not in IntentModel().model_dump()
    assert IntentModel.model_validate({"reads": "events"}).model_dump()["reads"] == "events"
    batch = Batch.of(numpy_net.drawn(bare, numpy_of(random_net(bare)).weights))
    assert batch.event_codes is None


def test_trees_read_no_events() -> None:
    with pytest.raises(ValidationError, match="reads: of networks, and architecture gbdt has none"):
        IntentModel.model_validate({"architecture": "gbdt", "reads": "events"})


def test_a_token_holds_its_item_where_titles_are_read() -> None:
    codes, _ = events.encode(
        rows_of([*EVENTS, Remembered(NOW - 9, "s3", "of no vocabulary", "view", 0.0)]),
        np.array([NOW]),
        replace(CODES, items=6, texts=3),
        calendar=Calendar("2024-01-01"),
        n_targets=VISIT + 1,
    )
    assert codes.dtype == np.int32
    assert codes[0, -5:, -1].tolist() == [2, 2, 0, 2, 0]  # i1 is the second item; none, and one that is unknown


@pytest.mark.world
def test_titles_are_refused_where_nothing_has_them(world: Examples) -> None:
    with pytest.raises(ValidationError, match="titles: steps have none; use reads: events"):
        IntentModel.model_validate({"titles": True})
    with pytest.raises(DataError, match="no text vectors are at hand"):
        train(world, spec_of("cnn", "events", titles=True), ranking_weeks=4, device="cpu")


# A world whose truth is the order of events ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return event_worlds.examples(tmp_path_factory.mktemp("events"))


def spec_of(architecture: str, reads: str, **more: Any) -> IntentModel:
    small = {"width": 16, "layers": 1, "epochs": 6, "batch_size": 64, "learning_rate": 1e-2, "dropout": 0.0}
    return IntentModel.model_validate(small | {"architecture": architecture, "reads": reads} | more)


class Reading(dict[str, Trained]):
    """Models over events by architecture, each trained when it is first asked for."""

    def __init__(self, world: Examples) -> None:
        self.world = world

    def __missing__(self, architecture: str) -> Trained:
        found = train(self.world, spec_of(architecture, "events"), ranking_weeks=4, device="cpu")
        self[architecture] = found
        return found


@pytest.fixture(scope="module")
def reading(world: Examples) -> Reading:
    return Reading(world)


def auroc(scorer: IntentScorer, world: Examples) -> float:
    """Return the mean AUROC of the two categories on the test rows."""
    test = world.part("test")
    found = metrics.summary(world.labels[test][:, :2], scorer.predict(world.rows.take(test))[:, :2])["macro_auroc"]
    assert found is not None
    return float(found)


@pytest.mark.world
@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_order_of_events_is_learnt(architecture: str, reading: Reading, world: Examples) -> None:
    assert auroc(reading[architecture].scorer, world) > 0.95
    early = reading[architecture].out_of_time
    held = np.isin(early.week, sorted(world.split["train"])[-4:])  # what the ranker learns from knows it, too
    assert np.abs(early.probabilities[held, 0] - 0.5).mean() > 0.3


@pytest.mark.world
def test_a_reader_of_steps_cannot_see_it(world: Examples) -> None:
    assert auroc(train(world, spec_of("gru", "steps"), ranking_weeks=4, device="cpu").scorer, world) < 0.65


@pytest.mark.world
@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_saved_model_answers_as_before_in_numpy_alone_and_together(
    architecture: str, reading: Reading, world: Examples, tmp_path: Path
) -> None:
    rows = world.rows.take(world.part("test"))
    scorer = reading[architecture].scorer
    scorer.save(tmp_path)
    want = scorer.predict(rows)
    np.testing.assert_array_equal(IntentScorer.load(tmp_path).predict(rows), want)
    served = IntentScorer.served(tmp_path)
    assert isinstance(served._model, NumpyNet)
    np.testing.assert_allclose(served.predict(rows), want, atol=1e-5)
    alone = np.concatenate([served.predict(rows.take(np.array([b]))) for b in range(24)])
    np.testing.assert_allclose(alone, want[:24], atol=1e-5)
    assert np.isfinite(served.predict(user_rows([unknown_row("new", NOW)]))).all()
    config = files.read_json(tmp_path / "config.json")
    files.write_json(tmp_path / "config.json", {name: value for name, value in config.items() if name != "events"})
    with pytest.raises(DataError, match=r"it reads events, and its config\.json does not say how"):
        IntentScorer.load(tmp_path)


@pytest.mark.world
def test_an_untrained_network_of_events_says_the_personal_decayed_rate(world: Examples) -> None:
    found = train(world, spec_of("gru", "events", epochs=1), ranking_weeks=99, device="cpu")
    held = np.isin(found.out_of_time.week, world.split["train"])
    rows = world.rows.take(world.part("train"))
    decayed = 1 / (1 + np.exp(-found.scorer.encode(rows).frequency[:, :, 0]))
    np.testing.assert_allclose(found.out_of_time.probabilities[held], decayed, atol=1e-6)


@pytest.mark.world
def test_rows_without_events_are_refused_before_anything_is_learnt(world: Examples) -> None:
    lists = {name: ragged for name, ragged in world.rows.lists.items() if name not in columns.EVENT_LISTS}
    bare = replace(world, rows=replace(world.rows, lists=lists))
    with pytest.raises(DataError, match="it reads events, and these rows hold none"):
        train(bare, spec_of("cnn", "events"), ranking_weeks=4, device="cpu")


@pytest.mark.world
def test_the_same_seed_trains_the_same_model_and_calibration_works(world: Examples) -> None:
    spec = spec_of("lstm", "events", epochs=2, calibrate="isotonic")
    first, second = (train(world, spec, ranking_weeks=4, device="cpu") for _ in range(2))
    np.testing.assert_array_equal(first.out_of_time.probabilities, second.out_of_time.probabilities)
    assert first.scorer.calibration is not None
    assert first.scorer.events == second.scorer.events is not None
    assert first.thresholds is not None


def test_encoding_tells_a_memory_only_where_it_is_asked(world: Examples) -> None:
    rows = world.rows.take(world.part("test")[:3])
    plain = encode(rows, world.context, calendar=world.calendar, n_targets=VISIT + 1)
    assert plain.event_codes is None
    assert set(plain.arrays()) == {"frequency", "sequence", "active", "profile", "segment"}


def untold(world: Examples) -> Examples:
    """Return a world in which views say of their items but which they are, and purchases nothing."""
    lists = dict(world.rows.lists)
    items, kinds = lists["event_items"], lists["event_kinds"].values
    lists["event_items"] = Ragged(np.where(kinds == BUY, event_lists.NO_ITEM, items.values), items.offsets)
    counts, targets = lists["event_target_counts"], lists["event_targets"]
    lists["event_target_counts"] = Ragged(np.zeros_like(counts.values), counts.offsets)
    lists["event_targets"] = Ragged(targets.values[:0], np.zeros_like(targets.offsets))
    return replace(world, rows=replace(world.rows, lists=lists))


@pytest.mark.world
def test_titles_tell_items_apart_and_stay_as_they_are(world: Examples, tmp_path: Path) -> None:
    titles = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float16).astype(np.float32)
    blind = untold(world)
    assert auroc(train(blind, spec_of("gru", "events"), ranking_weeks=4, device="cpu").scorer, blind) < 0.65
    told = replace(blind, titles=titles)
    found = train(told, spec_of("gru", "events", titles=True), ranking_weeks=4, device="cpu")
    assert auroc(found.scorer, blind) > 0.95  # rows need no vectors any more
    np.testing.assert_array_equal(found.scorer.net.events.texts[1:].float().numpy(), titles)
    found.scorer.save(tmp_path)
    rows = blind.rows.take(blind.part("test")[:40])
    np.testing.assert_allclose(IntentScorer.served(tmp_path).predict(rows), found.scorer.predict(rows), atol=1e-5)
    assert isinstance(IntentScorer.served(tmp_path)._model, NumpyNet)


@pytest.mark.world
def test_a_refit_and_a_twin_read_events_as_the_judged_model_did(tmp_path: Path) -> None:
    rows = event_worlds.write(tmp_path / "rows", users=30)
    spec, intents = spec_of("cnn", "events", epochs=2), json.dumps([intent.model_dump() for intent in INTENTS])
    folder = tmp_path / "intent"
    steps.run_train_intent(
        intents, spec.model_dump_json(), ranking_weeks=4, rows=str(rows), intent=str(folder), code="c0de"
    )
    judged, found = IntentScorer.load(folder), load(rows, INTENTS)
    # On the judged weeks a refit comes to the judged weights, bit for bit: it takes over kinds and bands.
    told = replace(found, events=events.read(folder))
    beginning = refits.load_beginning(folder / steps.BEGINNING)
    epochs = refits.epochs_of(files.read_json(folder / steps.TRAINING))
    made = refits.refit(told, spec, beginning, weeks=found.split["train"], epochs=epochs, device="cpu").scorer
    have, want = made.net.state_dict(), judged.net.state_dict()
    assert all(torch.equal(have[name], want[name]) for name in want)
    assert made.events == judged.events
    steps.run_refit_intent(
        intents, spec.model_dump_json(), ranking_weeks=4, code="c0de", refit=True,
        rows=str(rows), intent=str(folder), refitted=str(tmp_path / "refitted"),
    )  # fmt: skip
    assert IntentScorer.served(tmp_path / "refitted").events == judged.events
    said, own = twin.asked(folder, rows, found)
    test = found.rows.take(found.part("test"))
    np.testing.assert_allclose(said.predict(test), judged.predict(test), atol=1e-6)
    assert np.abs(own.probabilities - said.said).max() < 1e-6
    assert "over the last 64 events" in cards._made(files.read_json(folder / steps.TRAINING), "week")
