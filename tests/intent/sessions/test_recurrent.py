"""The recurrent session model: numpy answers as torch did, one memory gives what a batch gives, order is learnt."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from components.intent.sessions import learn, visits
from components.intent.sessions.encode import Codes, encode, window
from components.intent.sessions.recurrent import events_of
from components.intent.sessions.score import SessionScorer
from components.intent.sessions.spec import SessionIntent, SessionModel, SessionRule
from components.intent.sessions.train import Trained, train
from components.intent.sessions.visits import History, Rows
from feature_repo.errors import DataError
from feature_repo.memory import Remembered
from tests.session_worlds import table

PAYS = SessionIntent(name="pays", event="pay")
GRU = SessionModel(architecture="gru", width=8, epochs=30, learning_rate=2e-2, batch_size=64)
pytestmark = pytest.mark.xdist_group("sessions")


def orders(visitors: int = 300) -> pa.Table:
    """Visits of four looks at `a` or `b` and a fifth at `c`; who looked at `a` first, whatever came then, pays."""
    dice, rows = np.random.default_rng(0), []
    for visitor in range(visitors):
        kinds = ["a", "a", "b", "b"]
        dice.shuffle(kinds)
        kinds += ["c", "c", "c"] + ["pay"] * (kinds[0] == "a")
        rows += [(f"u{visitor}", 900 * visitor + 20 * n, f"s{visitor}", "i", kind) for n, kind in enumerate(kinds)]
    return table(rows)


def world() -> tuple[History, Rows, Codes]:
    found, gap = visits.cut(visits.history(orders(), timezone="UTC"), gap_s=None)
    rows = visits.rows(found, (PAYS,))
    codes = visits.codes(found, np.ones(len(found), dtype=bool), {}, gap_s=gap)
    return found, rows.take(np.flatnonzero(rows.position == 7)), codes


def fitted(model: SessionModel) -> tuple[Trained, Rows, History]:
    found, rows, codes = world()
    one, two = (rows.take(np.arange(half, len(rows), 2)) for half in (0, 1))
    samples = [learn.sample(found, some, codes, model) for some in (one, two)]
    return train(samples[0], samples[1], model, codes=codes, intents=(PAYS,), start=np.zeros(1)), two, found


@pytest.fixture(scope="module")
def made() -> tuple[Trained, Rows, History]:
    return fitted(GRU)


def right(made: tuple[Trained, Rows, History], model: SessionModel) -> float:
    trained, rows, found = made
    sample = learn.sample(found, rows, trained.scorer.codes, model)
    said = trained.scorer.predict(sample.features, sample.events)[:, 0] > 0.5
    return float((said == rows.labels[:, 0]).mean())


def test_it_learns_an_order_that_the_numbers_of_the_visit_do_not_hold(made: tuple[Trained, Rows, History]) -> None:
    dense = GRU.model_copy(update={"architecture": "dense"})
    assert right(made, GRU) > 0.95
    assert right(fitted(dense), dense) < 0.7  # counts and the last three events are the same


def test_what_is_saved_answers_as_the_network_did_without_torch(
    made: tuple[Trained, Rows, History], tmp_path: Path
) -> None:
    trained, rows, found = made
    trained.scorer.save(tmp_path)
    loaded = SessionScorer.load(tmp_path)
    sample = learn.sample(found, rows, loaded.codes, GRU)
    assert sample.events is not None
    x = torch.from_numpy(((sample.features - loaded.mean) / loaded.scale).astype(np.float32))
    told = sample.events
    with torch.no_grad():
        more = (torch.from_numpy(one) for one in (told.kind, told.category, told.numbers, told.length))
        network = torch.sigmoid(trained.net.eval()(x, *more)).numpy()
    assert np.abs(loaded.predict(sample.features, sample.events) - network).max() < 1e-5


def test_one_memory_gives_what_the_batch_gives(made: tuple[Trained, Rows, History]) -> None:
    trained, rows, found = made
    scorer = trained.scorer
    for row in range(5):
        newest = rows.event[row]
        mine = np.flatnonzero((found.user == rows.user[row]) & (np.arange(len(found)) <= newest))
        memory = [
            Remembered(int(found.at[n]), f"s{found.session[n]}", "i", found.kinds[found.kind[n]], 0.0) for n in mine
        ]
        sample = learn.sample(found, rows.take(np.asarray([row])), scorer.codes, GRU)
        said = scorer.said(memory, now=memory[-1].at + 1)
        assert said.events == 7
        assert said.probabilities == pytest.approx(scorer.predict(sample.features, sample.events)[0], abs=1e-12)


def test_events_of_other_visits_and_what_lies_far_back_are_not_read() -> None:
    codes = Codes(("view",), (), by_id=True)
    memory = [Remembered(10 * n, "other" if n in (38, 40) else "mine", f"i{n % 3}", "view", 0.0) for n in range(44)]
    windows = window(memory, codes)
    told = events_of(windows, codes)
    assert told.length.tolist() == [32]  # of 42
    silence = np.expm1(told.numbers[0, :, 0])
    assert silence[0] == 0
    assert silence[1:].round().tolist() == [10.0] * 27 + [20.0, 20.0] + [10.0] * 2  # over the other visit's events
    assert encode(windows, codes).shape == (1, len(codes.names))


def test_a_later_format_is_refused_and_the_dense_one_is_as_it_was(
    made: tuple[Trained, Rows, History], tmp_path: Path
) -> None:
    from feature_repo import files

    trained, *_ = made
    trained.scorer.save(tmp_path)
    document = files.read_json(tmp_path / "session.json")
    assert document["format"] == 2  # what an earlier version reads is 1
    files.write_json(tmp_path / "session.json", document | {"format": 3})
    with pytest.raises(DataError, match="format 3 of a session model, this version reads 1 and 2"):
        SessionScorer.load(tmp_path)


def test_a_rule_that_says_nothing_of_it_reads_as_before() -> None:
    rule = SessionRule(intents=(PAYS,))
    assert "architecture" not in rule.model_dump(mode="json")["model"]
    assert SessionRule.model_validate_json(rule.model_dump_json()) == rule
    gru = SessionRule(intents=(PAYS,), model=GRU)
    assert SessionRule.model_validate_json(gru.model_dump_json()) == gru
