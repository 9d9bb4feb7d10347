"""The GPU benchmark counts what a step computes, by hand."""

import pytest
import torch
from torch import nn

from benchmarks import gpu


def test_the_operations_of_a_dense_layer_are_those_by_hand() -> None:
    rows, width, out = torch.ones(5, 3), 3, 4
    forward = 2 * 5 * width * out
    assert gpu._flops(nn.Linear(width, out), lambda net: net(rows)) == 2 * forward, "and the weights' gradient"


def test_the_operations_of_a_recurrence_are_counted_too() -> None:
    steps = torch.ones(2, 7, 3)
    for kind, gates in ((nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)):
        net = kind(3, 4, batch_first=True)
        forward = 2 * 2 * 7 * gates * (3 * 4 + 4 * 4)
        found = gpu._flops(net, lambda one: one(steps)[0])
        assert 2 * forward <= found <= 3 * forward, kind


def test_only_a_known_device_has_a_peak() -> None:
    assert gpu._peak("NVIDIA H200", True, None) == 989e12
    assert gpu._peak("NVIDIA A100-SXM4-80GB", False, None) == 19.5e12
    assert gpu._peak("Some other", True, None) is None
    assert gpu._peak("Some other", True, 10.0) == 1e13
    assert gpu._peak("cpu", True, 10.0) is None, "a processor is held against none"


def test_a_share_of_the_peak_is_what_a_second_did_of_it() -> None:
    found = {"rows": 100, "seconds": 2.0, "stall_share": 0.1, "flops": 1e6, "gib": 0.0}
    assert gpu._told(found, 1e9)["mfu"] == pytest.approx(0.05)
    assert gpu._told(found, None)["mfu"] is None
