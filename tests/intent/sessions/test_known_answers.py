"""On the made-up clickstream the model comes close to the truth, and beats what knows the last events alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from components.intent import metrics
from components.intent.sessions.card import write
from components.intent.sessions.encode import encode, window
from components.intent.sessions.learn import sample
from components.intent.sessions.score import SessionScorer
from components.intent.sessions.spec import SessionModel
from components.intent.sessions.train import Sample, train
from feature_repo.errors import DataError
from feature_repo.memory import Remembered
from tests.session_worlds import BUY, CART, LEAVE, Shop, shop

INTENTS = (BUY, CART, LEAVE)
pytestmark = pytest.mark.xdist_group("sessions")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def learnt(made):
    return made.learnt()


def auroc(labels: np.ndarray, said: np.ndarray) -> float:
    ones = np.ones((len(labels), 1))
    return float(np.mean([metrics.ranking(labels[:, c], said[:, c], ones)[0][0] for c in range(labels.shape[1])]))


def test_the_model_comes_close_to_the_truth(made, learnt):
    _, rows, truth = made.test_rows(INTENTS)
    assert learnt.evaluation.test["rows"] == len(rows)
    assert learnt.evaluation.test["auroc"] > auroc(rows.labels, truth) - 0.02
    best = -np.log(np.where(rows.labels > 0, truth, 1 - truth)).mean()
    assert learnt.evaluation.test["bce"] < best + 0.01


def test_the_truth_is_the_rate_of_what_happens(made):
    _, rows, truth = made.test_rows(INTENTS)
    for c in range(3):
        for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.0)):
            some = (truth[:, c] > low) & (truth[:, c] <= high)
            if some.sum() > 300:
                assert abs(truth[some, c].mean() - rows.labels[some, c].mean()) < 0.08


def test_the_model_beats_the_last_event_and_both_chains(learnt):
    for name in ("last_event", "markov_1", "markov_2"):
        found = learnt.evaluation.differences["auroc"][name]
        assert found["interval"][0] > 0.02, name
        assert learnt.evaluation.differences["bce"][name]["interval"][1] < 0, name


def test_auroc_grows_with_the_place_in_the_visit(learnt):
    by = {entry["position"]: entry for entry in learnt.evaluation.by_position}
    assert by["6 to 10"]["model"] > by["2"]["model"] + 0.05
    assert by["6 to 10"]["model"] > by["6 to 10"]["markov_2"]


def test_the_card_says_what_was_measured(learnt):
    text = write(learnt.evaluation, intents=["buy", "cart", "leave"], told=learnt.told, counts=learnt.counts)
    assert "Visits are by session_id." in text
    assert f"| model | {learnt.evaluation.test['auroc']:.4f} |" in text
    assert "| 6 to 10 |" in text


def test_what_is_saved_answers_as_the_network_did(made, learnt, tmp_path: Path):
    found, rows, _ = made.test_rows(INTENTS)
    features = sample(found, rows, learnt.trained.scorer.codes, SessionModel()).features
    learnt.trained.scorer.save(tmp_path)
    loaded = SessionScorer.load(tmp_path)
    x = ((features - loaded.mean) / loaded.scale).astype(np.float32)
    with torch.no_grad():
        network = torch.sigmoid(learnt.trained.net.eval()(torch.from_numpy(x))).numpy()
    assert np.abs(loaded.predict(features) - network).max() < 1e-5
    assert loaded.codes == learnt.trained.scorer.codes
    assert loaded.names == ["buy", "cart", "leave"]


def test_what_is_saved_needs_no_torch(learnt, tmp_path: Path):
    import ast
    import inspect

    from components.intent.sessions import encode as encoder
    from components.intent.sessions import recurrent, score

    for module in (encoder, recurrent, score):
        named = {
            name
            for node in ast.walk(ast.parse(inspect.getsource(module)))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        }
        assert not {name for name in named if name.startswith("torch") or name.endswith((".train", ".learn"))}


def test_a_model_of_another_format_is_refused(learnt, tmp_path: Path):
    learnt.trained.scorer.save(tmp_path)
    file = tmp_path / "session.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 3').replace('"format":1', '"format":3'))
    with pytest.raises(DataError, match="format 3 of a session model, this version reads 1"):
        SessionScorer.load(tmp_path)


def test_the_same_seed_gives_the_same_model():
    rng = np.random.default_rng(0)
    sample = Sample(rng.random((200, 5)).astype(np.float32), (rng.random((200, 1)) < 0.3).astype(np.uint8))
    codes = shop_codes()

    def weights(seed: int) -> np.ndarray:
        spec = SessionModel(epochs=2, width=8, seed=seed)
        return train(sample, sample, spec, codes=codes, intents=(BUY,), start=np.zeros(1)).scorer.weights[0]

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def shop_codes():
    from components.intent.sessions.encode import Codes

    return Codes(("view",), ())


def test_a_visit_that_is_over_or_never_began_has_the_rates_of_a_start(learnt):
    scorer = learnt.trained.scorer
    last = Remembered(1_000_000, "s1", "1", "cart", 0.0)
    nobody, silent = scorer.said([], now=5), scorer.said([last], now=last.at + scorer.codes.quiet_s + 1)
    going_on = scorer.said([last], now=last.at + scorer.codes.quiet_s)
    assert nobody.events == silent.events == 0
    assert going_on.events == 1
    assert nobody.probabilities.tolist() == silent.probabilities.tolist() == scorer.start.tolist()
    assert 0.1 < scorer.start[0] < 0.4  # the share of visits that buy
    expected = scorer.predict(encode(window([last], scorer.codes), scorer.codes))[0]
    assert going_on.probabilities.tolist() == expected.tolist()
