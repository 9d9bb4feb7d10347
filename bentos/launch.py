"""Starts BentoML with its process manager out of reach: `python -m bentos.launch serve TAG` for `bentoml serve TAG`.

BentoML's process manager takes commands on a socket, and one of them starts any program as the service's user. BentoML
puts that socket on loopback, where every user of the machine reaches it, without asking who calls. Here it lies in a
folder that only the service's user may enter, and goes with the server.

A door gets as many processes as `bentos/workers.py` says, and a folder for what they share while they run. Their ports
are held here for as long as the door runs, so that no other user's program can take one whose process is not up.
"""

import atexit
import os
import shutil
import sys
import tempfile
from typing import Any

from bentos import workers
from feature_repo import env_names
from feature_repo.errors import SpecError

DOOR = "recommender"  # the service that may have several processes
PATH_BYTES = 107  # the longest path of a socket
CONTROL, EVENTS = "control", "events"  # the two sockets
# Arrow's own allocator keeps what reading a release took, 30 MiB of a process that then hardly uses Arrow.
MEMORY = {"ARROW_DEFAULT_MEMORY_POOL": "system"}


def control_folder() -> str:
    """Make a folder of this user's alone for the sockets; it goes with this process, however far that came."""
    folder = tempfile.mkdtemp(prefix="intentflow-control-")  # mkdtemp makes it 0700
    if len(os.fsencode(f"{folder}/{CONTROL}")) > PATH_BYTES:  # a TMPDIR deep in a project or a job's scratch
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="intentflow-control-", dir="/tmp")
    atexit.register(_removed, folder, os.getpid())
    return folder


def _removed(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not a fork of it that ends before
        shutil.rmtree(folder, ignore_errors=True)


def private(watchers: Any, *, threaded: bool = False, **settings: Any) -> Any:
    """Make BentoML's process manager with sockets in a folder of its own, mode 0700, instead of on loopback."""
    from bentoml._internal.utils import circus

    folder = control_folder()
    spread(watchers, folder)
    kind = circus.ThreadedArbiter if threaded else circus.Arbiter
    # Seconds between looks for processes that died; BentoML's own 10 where there is one, whose death is the door's.
    settings.setdefault("check_delay", 1.0 if any(watcher.numprocesses > 1 for watcher in watchers) else 10)
    manager = kind(
        watchers, endpoint=f"ipc://{folder}/{CONTROL}", pubsub_endpoint=f"ipc://{folder}/{EVENTS}", **settings
    )
    manager.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return manager


def spread(watchers: Any, folder: str) -> None:
    """Have the door's watcher start its processes, and tell them where they share what each must know.

    One of several that dies is started again, in a container too, where BentoML leaves it dead: the others go on, so
    nothing else would notice.
    """
    for watcher in watchers:
        if DOOR in watcher.args:
            watcher.numprocesses = workers.count(os.environ)
            watcher.respawn = watcher.respawn or watcher.numprocesses > 1
            kept = {name: os.environ.get(name, text) for name, text in MEMORY.items()}
            watcher.env = {**(watcher.env or {}), **kept, env_names.DOOR_SHARED: folder}


def main() -> None:
    """Run BentoML's command line."""
    try:
        workers.count(os.environ)
        held = workers.reserve(os.environ)
    except SpecError as error:
        print(f"intentflow: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    from bentoml._internal.utils import circus
    from bentoml_cli.cli import cli

    if not hasattr(circus, "create_standalone_arbiter"):  # a version that makes it elsewhere would make it open
        sys.exit("intentflow: this BentoML makes its process manager in a way that bentos/launch.py does not know")
    circus.create_standalone_arbiter = private
    sys.modules.pop("bentos", None)  # a Bento brings its own
    try:
        cli()
    finally:
        for port in held:
            port.close()


if __name__ == "__main__":
    main()
