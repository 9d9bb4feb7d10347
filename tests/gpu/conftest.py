"""Tests on a GPU: `pytest tests/gpu -m gpu`. Without a CUDA device each is skipped, and says why."""

import pytest
import torch

from tests.intent import conftest as intent

one_thread, rows_folder, examples = intent.one_thread, intent.rows_folder, intent.examples  # fixtures


@pytest.fixture(scope="session")
def device() -> str:
    """Name the device; the one place where it is chosen."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch finds none here")
    return "cuda"
