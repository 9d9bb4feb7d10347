"""Work that goes on in the background of a test until its end."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Work = Callable[[threading.Event], None]


@contextmanager
def working(*works: Work, patience_s: float) -> Iterator[list[threading.Thread]]:
    """Run functions in threads, each until the event that it is given is set; yield the threads."""
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        stop.set()
        for thread in threads:
            thread.join(patience_s)
