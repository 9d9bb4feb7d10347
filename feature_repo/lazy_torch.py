"""Feast without torch: the import of Feast takes torch along where it is installed, though only tensors need it.

That is 180 MiB and more than a second in a process that reads rows. `defer` puts a module in the place of Feast's own
`torch_wrapper`, which gives the same and imports torch when somebody asks for it.
"""

import importlib
import sys
import types
from typing import Any

WRAPPER = "feast.torch_wrapper"


def defer() -> None:
    """Let Feast import torch when it is asked for a tensor; to be called before the first import of Feast."""
    if WRAPPER not in sys.modules:
        sys.modules[WRAPPER] = _Lazy(WRAPPER, __doc__)


class _Lazy(types.ModuleType):
    """What stands in for Feast's module; all that Feast takes of it is `get_torch`."""

    @staticmethod
    def get_torch() -> Any:
        """Import torch and return it."""
        return importlib.import_module("torch")
