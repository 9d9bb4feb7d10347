"""Encoders that cannot be used, and specs that say nothing: one line each, before anything is trained."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.intent import material
from components.intent.behaviour import sources
from components.intent.behaviour.spec import Text
from components.intent.networks import adapters
from components.intent.spec import IntentModel
from feature_repo.errors import DataError
from tests import text_worlds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a small encoder."""
    return text_worlds.encoder(tmp_path / "encoder")


def refused(folder: Path, **fields: Any) -> str:
    """Return the line that refuses an encoder."""
    with pytest.raises(DataError) as error:
        sources.opened(Text(weights=str(folder), **fields), folder)
    said = str(error.value)
    assert "\n" not in said
    return said


def test_a_relative_folder_begins_at_the_spec(folder: Path) -> None:
    found = sources.opened(Text(weights="./encoder"), folder.parent)
    assert (found.folder, found.bert["hidden_size"]) == (folder, 32)
    assert found.digest == sources.opened(Text(weights=str(folder)), Path("/nowhere")).digest


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_absent_weights(name: str, folder: Path) -> None:
    (folder / name).unlink()
    assert f"models.intent.text.weights: {folder} holds no {name}; use minilm, or a folder with" in refused(folder)


def test_an_absent_folder(tmp_path: Path) -> None:
    assert "holds no config.json and no model.safetensors" in refused(tmp_path / "nothing")


def test_a_folder_without_a_tokenizer(folder: Path) -> None:
    """Asked for one, `transformers` would make a tokenizer that knows no word."""
    (folder / "tokenizer.json").unlink()
    found = sources.opened(Text(weights=str(folder)), folder)
    with pytest.raises(
        DataError, match=r"^models\.intent\.text\.weights: .* holds no tokenizer\.json and no vocab\.txt"
    ):
        _ = found.tokenizer
    (folder / "vocab.txt").write_text("\n".join((*text_worlds.WORDS[:5], "[MASK]")) + "\n")
    assert b"ruby" in sources.opened(Text(weights=str(folder)), folder).tokenizer


def test_a_tokenizer_of_another_encoder(folder: Path, tmp_path: Path) -> None:
    more = text_worlds.encoder(tmp_path / "more", words=(*text_worlds.WORDS, "more"))
    (folder / "tokenizer.json").write_bytes((more / "tokenizer.json").read_bytes())
    with pytest.raises(
        DataError, match=r"the tokenizer in .* has a token \d+, beyond the encoder's \d+; name a folder"
    ):
        _ = sources.opened(Text(weights=str(folder)), folder).tokenizer


def test_an_encoder_of_another_language(tmp_path: Path) -> None:
    folder = text_worlds.encoder(tmp_path / "other", words=(*text_worlds.WORDS[:4], "rot", "blau"))
    with pytest.raises(DataError, match=r"does not know 100% of the words in the items' names, .* of their language$"):
        material.prepared(text_worlds.world(users=2), text_worlds.spec(folder))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "gpt2"}, "holds a model of type 'gpt2'; have bert, roberta, xlm-roberta"),
        ({"hidden_act": "swish"}, "has hidden_act 'swish'; have gelu, relu"),
        ({"position_embedding_type": "relative_key"}, "relative positions"),
        ({"is_decoder": True}, "is a decoder"),
        ({"hidden_size": None}, "says no hidden_size"),
    ],
)
def test_another_kind_of_model(fields: dict[str, Any], said: str, folder: Path) -> None:
    assert said in refused(text_worlds.changed(folder, **fields))


def test_weights_that_do_not_fit_their_config(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    found = sources.opened(Text(weights=str(folder)), folder)
    other = BertModel(BertConfig(**dict(found.bert) | {"intermediate_size": 20}), add_pooling_layer=False)
    with pytest.raises(DataError, match=r"the weights have .* of another size than their config says"):
        adapters.loaded(other, found.state())
    more = BertModel(BertConfig(**dict(found.bert) | {"num_hidden_layers": 3}), add_pooling_layer=False)
    with pytest.raises(DataError, match=r"the weights lack encoder\.layer\.2"):
        adapters.loaded(more, found.state())


def test_texts_longer_than_the_encoder_reads(folder: Path) -> None:
    assert refused(folder, tokens=200) == (
        "models.intent.text.tokens: 200 is above the 128 that the encoder reads; lower it"
    )
    assert "120 and a prefix of 16 is above the 128" in refused(folder, tokens=120, tune="prefix", rank=16)


@pytest.mark.parametrize("tune", ["lora", "adapter"])
def test_an_adapter_that_does_not_fit_the_encoder(tune: str, folder: Path) -> None:
    assert refused(folder, tune=tune, rank=64) == (
        f"models.intent.text.rank: 64 does not fit tune: {tune} of an encoder 32 wide; use 32 or less, or tune: head"
    )


def test_an_adapter_that_peft_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    from transformers import BertConfig, BertModel

    monkeypatch.setattr(adapters, "ATTENTION", ["nothing"])
    bert = BertModel(
        BertConfig(**dict(sources.opened(Text(weights=str(folder)), folder).bert)), add_pooling_layer=False
    )
    with pytest.raises(
        DataError, match=r"^models\.intent\.text\.tune: lora does not fit the encoder \(.*\); use head, full"
    ):
        adapters.adapted(bert, {"tune": "lora", "rank": 4})


def test_peft_is_absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(DataError, match=r"tune: dora needs the package peft, which is not installed; pip install"):
        adapters.adapted(nn.Linear(1, 1), {"tune": "dora", "rank": 4})


def test_a_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError) as error:
        sources.opened(Text(weights="somebody/a-bert"), tmp_path)
    said = str(error.value)
    assert said.startswith("models.intent.text.weights: 'somebody/a-bert' cannot be fetched from the hub (")
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DISTRIBUTION", "no-such-package")
    with pytest.raises(
        DataError, match="minilm needs the package no-such-package, which is not installed; pip install"
    ):
        sources.opened(Text(), tmp_path)


def test_other_files_are_another_encoder(folder: Path) -> None:
    text = Text(weights=str(folder))
    before = sources.identity(text, folder)
    text_worlds.changed(folder, layer_norm_eps=1e-6)
    assert sources.identity(text, folder) != before
    assert sources.identity(Text(weights="org/name"), folder) == "org/name"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"architecture": "lstm", "text": {"tune": "lora"}}, "text is of architecture text, not of lstm; drop text"),
        ({"architecture": "gbdt", "text": {"tune": "lora"}}, "text is of architecture text, not of gbdt; drop text"),
        ({"architecture": "text", "layers": 4}, "layers: text has as many as its encoder's weights; drop layers"),
        ({"architecture": "text", "text": {"weights": "minilm6"}}, "'minilm6' names no weights; use minilm, a folder"),
        (
            {"architecture": "text", "text": {"tune": "full", "rank": 4}},
            "rank: of lora, dora, adalora, prefix, adapter",
        ),
        ({"architecture": "text", "text": {"learning_rate": 1e-3}}, "tune: head trains nothing of it"),
        ({"architecture": "text", "text": {"tune": "qlora"}}, "'head', 'full', 'lora'"),
    ],
)
def test_a_spec_that_would_be_without_effect(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        IntentModel.model_validate(spec)
    assert said in str(error.value)


def test_specs_of_before_are_written_as_they_were() -> None:
    assert "text" not in IntentModel().model_dump()
    assert IntentModel(architecture="text").model_dump()["architecture"] == "text"
