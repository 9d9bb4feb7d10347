"""A checkpoint is whole or absent, is of one training alone, and names nobody."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from components.distributed.ranks import ALONE
from components.distributed.settings import Trainer
from components.distributed.trainjob import Task, body
from components.intent.examples import Examples
from components.intent.spec import IntentModel
from components.intent.train import train
from components.training import checkpoints
from components.training.checkpoints import Checkpoints, State
from components.training.spec import Checkpoint
from feature_repo import env_names
from feature_repo.errors import DataError

KEY = {"data": "d4d4", "vocabulary": "aaaa"}
KEPT = State({"net.w": torch.tensor([1.5, -0.0]), "half": torch.ones(2, dtype=torch.bfloat16)}, {"position": 7})


def kept(folder: Path, *, refuses: bool = False, **other: str) -> Checkpoints:
    return Checkpoints(folder, 2, KEY | other, refuses, ALONE)


def test_what_is_saved_is_what_is_loaded_to_the_bit(tmp_path: Path) -> None:
    numbers = {"position": 7, "losses": [0.1 + 0.2], "rows": np.random.default_rng(3).bit_generator.state}
    kept(tmp_path / "c").save("early", State(KEPT.tensors, numbers))
    found = kept(tmp_path / "c").load("early")
    assert found is not None
    assert found.numbers == numbers
    assert {name: (value.dtype, value.tolist()) for name, value in found.tensors.items()} == {
        name: (value.dtype, value.tolist()) for name, value in KEPT.tensors.items()
    }
    assert kept(tmp_path / "c").load("full") is None
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["early.safetensors"]
    kept(tmp_path / "c").clear()
    assert not (tmp_path / "c").exists()


def test_a_checkpoint_of_another_vocabulary_is_dropped_with_a_line_that_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(tmp_path).save("full", KEPT)
    with caplog.at_level(logging.WARNING, logger="intentflow"):
        assert kept(tmp_path, vocabulary="bbbb").load("full") is None
    (said,) = [json.loads(record.message) for record in caplog.records]
    assert said["ignored"] == "it is of another training: vocabulary (aaaa, now bbbb)"
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_vocabulary_is_refused_where_the_spec_says_so(tmp_path: Path) -> None:
    kept(tmp_path).save("full", KEPT)
    with pytest.raises(DataError) as refused:
        kept(tmp_path, refuses=True, vocabulary="bbbb").load("full")
    assert str(refused.value) == (
        f"{tmp_path / 'full.safetensors'}: it is of another training: vocabulary (aaaa, now bbbb); delete it to train "
        "from the beginning, or say trainer.checkpoint.other: restart"
    )
    assert kept(tmp_path).load("full") is not None, "it is still there"


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickled", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_no_checkpoint_is_not_gone_on_from(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "full.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="it cannot be read"):
        kept(tmp_path, refuses=True).load("full")
    assert kept(tmp_path).load("full") is None


def test_a_process_that_is_killed_in_writing_leaves_the_checkpoint_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path).save("full", KEPT)

    def killed(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path).save("full", State({}, {"position": 9}))
    found = kept(tmp_path).load("full")
    assert found is not None
    assert found.numbers["position"] == 7


def test_it_names_no_user_and_holds_no_row(examples: Examples, tmp_path: Path) -> None:
    spec = IntentModel(architecture="cnn", width=16, layers=1, epochs=1, batch_size=64)
    train(examples, spec, ranking_weeks=4, device="cpu", checkpoints=kept(tmp_path))
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert not [user for user in set(examples.rows.user_id) if str(user).encode() in content]
    found = kept(tmp_path).load("full")
    assert found is not None
    rows = len(examples.part("train"))
    assert rows not in {size for tensor in found.tensors.values() for size in tensor.shape}


def asked(destination: Path, data: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Checkpoints:
    for name in (env_names.HOME, env_names.CHECKPOINTS):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = checkpoints.of_step(
        "train_intent",
        Checkpoint(every=5),
        destination,
        about={"spec": {"width": 8}},
        data={"data": data},
        package="intent",
        ranks=ALONE,
    )
    assert found is not None
    return found


def test_they_lie_where_the_next_attempt_looks_and_are_keyed_by_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.txt").write_text("one")
    home, job, out = tmp_path / "home", tmp_path / "job", tmp_path / "out" / "intent"
    beside = asked(out, tmp_path / "rows", monkeypatch)
    assert beside.folder == tmp_path / "out" / "intent.checkpoints"
    in_home = asked(out, tmp_path / "rows", monkeypatch, **{env_names.HOME: str(home)})
    assert in_home.folder == home / "checkpoints" / "train_intent"
    told = {env_names.HOME: str(home), env_names.CHECKPOINTS: str(job)}
    assert asked(out, tmp_path / "rows", monkeypatch, **told).folder == job / "train_intent"
    assert set(beside.key) == {"spec", "data", "sources", "torch", "device", "processes"}
    (tmp_path / "rows" / "a.txt").write_text("other")
    assert checkpoints.differing(asked(out, tmp_path / "rows", monkeypatch).key, beside.key).startswith("data (")
    assert checkpoints.of_step("s", None, out, about={}, data={}, package="intent", ranks=ALONE) is None


def test_a_job_s_processes_keep_them_outside_of_what_a_failed_job_loses(tmp_path: Path) -> None:
    shared = tmp_path / "trainjobs" / "job-1"
    made = body(Task("components.intent", {}, {}, output="intent"), Trainer(), name="job-1", shared=shared)
    variables = {entry["name"]: entry["value"] for entry in made["spec"]["trainer"]["env"]}
    assert variables[env_names.CHECKPOINTS] == str(tmp_path / "checkpoints")


def test_forgetting_removes_them_all(tmp_path: Path) -> None:
    kept(tmp_path / "checkpoints" / "train_intent").save("full", KEPT)
    kept(tmp_path / "checkpoints" / "train_ranking").save("full", KEPT)
    assert checkpoints.erase(tmp_path) == 2
    assert list(tmp_path.iterdir()) == []
    assert checkpoints.erase(tmp_path) == 0
