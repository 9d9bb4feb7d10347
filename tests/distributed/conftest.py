"""Torch on one thread, as torchrun's processes have it: more threads sum in another order."""

from tests.intent import conftest as intent

one_thread = intent.one_thread  # the fixture
