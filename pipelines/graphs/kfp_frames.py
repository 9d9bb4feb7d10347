"""Answer kfp's question for its caller's name at once: whole stacks with source cost minutes in a large process.

Whenever a task gets a resource or a variable, kfp 2.17 calls `inspect.stack()` to name the calling method in an error
message. That reads the source of every frame, and for a frame without a file (pytest-xdist's, a notebook's) it walks
all loaded modules. With torch and MLflow loaded, one pipeline then takes 40 s instead of one.
"""

import contextlib
import inspect
import sys
from collections.abc import Iterator
from types import FrameType, SimpleNamespace


@contextlib.contextmanager
def frames_without_source() -> Iterator[None]:
    """Give kfp the frames alone while it builds pipelines."""
    from kfp.dsl import pipeline_task

    whole = pipeline_task.inspect
    # Only `stack` is there: were kfp to use more of `inspect`, the first compile would say so.
    pipeline_task.inspect = SimpleNamespace(stack=_stack)
    try:
        yield
    finally:
        pipeline_task.inspect = whole


def _stack() -> list[inspect.FrameInfo]:
    """Return the caller's frame and those above, as `inspect.stack` does, but without lines of source."""
    frames: list[inspect.FrameInfo] = []
    frame: FrameType | None = sys._getframe(1)
    while frame:
        code = frame.f_code
        frames.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return frames
