"""Shards, and the loss's weight in them: the mean over ranks is the whole batch's mean however it is cut."""

import json

import numpy as np
import pytest
import torch

from components.distributed.entry import error_file, run
from components.distributed.ranks import ALONE, LostRank, Ranks, joined, launched
from components.step import ERROR_FILE, PROGRESS_FILE
from feature_repo.errors import DataError


@pytest.mark.parametrize(("size", "world"), [(8, 2), (7, 2), (7, 3), (3, 4), (1, 2)])
def test_gradients_of_uneven_shards_average_to_the_gradient_of_the_whole_batch(size: int, world: int) -> None:
    x = torch.randn(size, 3, generator=torch.Generator().manual_seed(size))
    wanted = torch.arange(3.0, requires_grad=True)
    (x @ wanted).square().mean().backward()
    shared = torch.zeros(3)
    for rank in range(world):
        weights = torch.arange(3.0, requires_grad=True)
        mine, share = Ranks(rank, world).shard(size)
        ((x[mine] @ weights).square().mean() * share).backward()
        assert weights.grad is not None
        shared += weights.grad / world  # as DDP does
    assert wanted.grad is not None
    torch.testing.assert_close(shared, wanted.grad)


def test_every_row_is_one_rank_s() -> None:
    places = [Ranks(rank, 3).shard(10)[0] for rank in range(3)]
    assert sorted(np.concatenate(places).tolist()) == list(range(10))


def test_one_process_is_left_as_it_is() -> None:
    net = torch.nn.Linear(2, 2)
    state = torch.random.get_rng_state()
    ALONE.scatter_seed(0)
    assert torch.equal(state, torch.random.get_rng_state())
    assert ALONE.parallel(net) is net
    assert (ALONE.total(0.1), ALONE.mean(0.1), ALONE.decided(0.1)) == (0.1, 0.1, 0.1)
    assert ALONE.of_first(lambda: "made") == "made"
    assert ALONE.agreed(net.state_dict()) == {}
    mine, share = ALONE.shard(5)
    assert (mine.tolist(), share) == ([0, 1, 2, 3, 4], 1.0)


def test_a_process_that_torchrun_did_not_start_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")  # another tool's
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert not launched()
    with joined() as group:
        assert group is ALONE


def test_only_the_first_rank_tells_how_far_it_is_and_each_leaves_its_own_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    from components.step import step

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress.jsonl"))
    monkeypatch.setenv(ERROR_FILE, str(tmp_path / "error.json"))

    def work() -> None:
        with step("train_intent"):
            raise DataError("rows: no user")

    with pytest.raises(SystemExit) as left:
        run(work)
    assert left.value.code == 2
    assert capsys.readouterr().err == "rank 1: rows: no user\n"
    assert [path.name for path in tmp_path.iterdir()] == ["error.1.json"]
    found = json.loads(error_file(tmp_path / "error.json", 1).read_text())
    assert found == {"step": "train_intent", "code": 2, "message": "rows: no user"}


def test_a_lost_rank_is_a_fault_of_ours_not_of_the_user_s() -> None:
    assert LostRank.exit_code == 1
