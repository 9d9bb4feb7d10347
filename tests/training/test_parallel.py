"""A text encoder on two gloo ranks is the text encoder of one process: rows shared out, weights cut, layers split."""

import json
from pathlib import Path

import pytest
from torch import nn
from transformers import BertConfig, BertModel

from components.distributed.ranks import ALONE, Ranks
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.training import parallel
from components.training.spec import TrainerOptions
from feature_repo.errors import SpecError
from tests.distributed.worlds import closing_lines, ended, intent_words, started
from tests.intent.conftest import checkerboard, write_rows
from tests.training.two_ranks import PARALLEL

NEAR = 1e-5


def bert(heads: int = 4) -> BertModel:
    sizes = {"hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": heads, "intermediate_size": 24}
    return BertModel(BertConfig(vocab_size=9, **sizes), add_pooling_layer=False)


def test_layers_are_found_by_their_parts_wherever_they_lie() -> None:
    inner = bert()
    outer = nn.ModuleDict({"deep": nn.Sequential(nn.Linear(1, 1), inner)})
    assert parallel.layers_of(outer) == list(inner.encoder.layer)
    assert parallel.layers_of(nn.TransformerEncoderLayer(4, 2)) == []


def test_what_cannot_be_cut_or_split_is_refused_in_one_line() -> None:
    two, three = Ranks(0, 2), Ranks(0, 3)
    with pytest.raises(SpecError, match=r"^trainer.parallel: fsdp is of networks with BERT layers"):
        parallel.wrapped(nn.Linear(2, 2), TrainerOptions(parallel="fsdp"), two)
    with pytest.raises(SpecError, match=r"splits 4 heads and 24 inner values evenly, which 3 processes cannot"):
        parallel._require_even(parallel.layers_of(bert())[0], three.world)
    layer = parallel.layers_of(bert())[0]
    layer.attention.self.query = nn.Sequential(layer.attention.self.query)  # as an adapter would stand there
    with pytest.raises(SpecError, match=r"adapters stand in their place; use fsdp or ddp"):
        parallel._require_even(layer, 2)


def test_under_tensor_every_process_has_all_rows_and_the_same_dropout() -> None:
    assert parallel.data_ranks("tensor", Ranks(1, 2)) is ALONE
    assert parallel.data_ranks("fsdp", Ranks(1, 2)) == Ranks(1, 2)


def require_near(folder: Path, *, spread: int) -> None:
    one, two = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    assert set(one) == {*PARALLEL, *(f"{way}, in parts" for way in PARALLEL)}
    for way, found in one.items():
        print(way, {name: found[name] for name in ("losses", "again", "weights", "logits", "moved")})
        assert max(found["losses"], found["again"], found["weights"], found["logits"]) < NEAR, way
        assert found["moved"] > 2 * NEAR, "it has learnt, and more than the difference"
        assert found["names"], "the full state dict is that of one process"
        assert found["digest"] == two[way]["digest"], "and is the same on both ranks"
        assert bool(found["spread"]) == (not way.startswith("ddp"))
        if found["spread"]:
            assert found["local"] < 0.6 * found["of"], "a rank holds some half of what is cut"
    assert one["tensor"]["spread"] == spread


@pytest.mark.slow
@pytest.mark.process
def test_two_ranks_train_a_tiny_bert_as_one_process(tmp_path: Path) -> None:
    """Two processes that import torch and transformers."""
    code, said = ended(started(["tests.training.two_ranks", "tiny", str(tmp_path)], processes=2))
    assert code == 0, said
    require_near(tmp_path, spread=2 * 12)


@pytest.mark.slow
@pytest.mark.process
def test_two_ranks_train_the_packaged_minilm_as_one_process(tmp_path: Path) -> None:
    """22 million weights, six ways, on two processes: a minute."""
    words = ["tests.training.two_ranks", "minilm", str(tmp_path)]
    code, said = ended(started(words, processes=2), timeout_s=400)
    assert code == 0, said
    require_near(tmp_path, spread=6 * 12)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("way", ["fsdp", "tensor"])
def test_an_intent_model_by_spec_on_two_ranks_is_that_of_one_process(way: str, tmp_path: Path) -> None:
    """Two processes by torchrun, and one."""
    rows = write_rows(tmp_path / "rows", checkerboard())
    model = {"architecture": "transformer", "width": 32, "layers": 2, "epochs": 1, "batch_size": 63, "dropout": 0.0,
             "learning_rate": 1e-4}  # fmt: skip
    spec = IntentModel.model_validate(model | {"trainer": {"parallel": way, "checkpoint": {"every": 2}}})
    code, said = ended(started(intent_words(rows, tmp_path / "two", spec), processes=2))
    assert code == 0, said
    first, second = closing_lines(said)
    assert first["weights"] == second["weights"]
    code, said = ended(started(intent_words(rows, tmp_path / "one", IntentModel.model_validate(model)), processes=1))
    assert code == 0, said
    two, one = (IntentScorer.load(tmp_path / name).net.state_dict() for name in ("two", "one"))
    assert list(two) == list(one)
    for name, value in one.items():
        if "key.bias" not in name:
            assert float((two[name] - value).abs().max()) < NEAR, name
    assert not list(tmp_path.glob("*.checkpoints"))
