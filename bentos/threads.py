"""How many threads the models' arithmetic uses in a service: of numpy, and of torch where a release needs it."""

import sys

from threadpoolctl import threadpool_limits


def limit(threads: int) -> None:
    """Let libraries that are loaded by now use so many threads; to be called when the models are."""
    threadpool_limits(limits=threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
