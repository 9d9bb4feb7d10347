"""How many processes one door has, and the loopback port that each of them has beside the shared one.

BentoML starts the processes of a service on one listening socket, where the kernel may give all connections that stay
open to one of them, and nobody can choose. So each process of a door takes a port of its own as well
(bentos/http/own_port.py), and the router sends a user always to the same one (docs/serving.md).
"""

import math
import os
import socket
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from feature_repo import env_names
from feature_repo.errors import SpecError

LOOPBACK = "127.0.0.1"
MOST = 64
_HELD: deque[list[socket.socket]] = deque(maxlen=16)  # ports of doors that this process starts, until these hold them
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, cgroup v2: "200000 100000" is two cores, "max 100000" all


def count(environment: Mapping[str, str], *, cores: int | None = None) -> int:
    """Return how many processes a door has.

    >>> count({"INTENTFLOW_DOOR_WORKERS": "3"}), count({}, cores=2)
    (3, 2)
    """
    if text := environment.get(env_names.DOOR_WORKERS, ""):
        if not text.isdecimal() or not 1 <= int(text) <= MOST:
            raise SpecError(
                f"{env_names.DOOR_WORKERS}: '{text}' is no number of processes; give 1 to {MOST}, or leave it out for "
                "one process a core"
            )
        return int(text)
    return min(MOST, usable_cores() if cores is None else cores)


def usable_cores(quota: Path = QUOTA) -> int:
    """Return how many cores this process may use: those that it is bound to, and no more than its container's quota."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        most, period = quota.read_text().split()
    except (OSError, ValueError):
        return mine
    return mine if most == "max" else max(1, min(mine, math.floor(int(most) / int(period))))


def ports(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Return the ports of a door's processes; none where it has one process, which needs no other.

    >>> ports({"INTENTFLOW_DOOR_PORTS": "4001,4002"}), ports({})
    ((4001, 4002), ())
    """
    text = environment.get(env_names.DOOR_PORTS, "")
    found = text.split(",") if text else []
    if not all(one.isdecimal() and 1 <= int(one) <= 65535 for one in found) or len(set(found)) < len(found):
        raise SpecError(f"{env_names.DOOR_PORTS}: '{text}' are no ports; give different numbers of 1 to 65535")
    return tuple(map(int, found))


def urls(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return where each of a door's processes answers, beside the address that they share."""
    return tuple(f"http://{LOOPBACK}:{port}" for port in ports(environment))


def free_ports(many: int) -> str:
    """Choose ports for so many processes, as the variable has them; '' for one process."""
    if many < 2:
        return ""
    _HELD.append([reserved(0) for _ in range(many)])
    return ",".join(str(one.getsockname()[1]) for one in _HELD[-1])


def reserved(port: int) -> socket.socket:
    """Bind a loopback port without listening there (0: a free one): this user's processes may bind it as well, which
    ask for that by SO_REUSEPORT; another user's may not, and who connects is refused until one of ours listens.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        found.bind((LOOPBACK, port))
    except OSError:
        found.close()
        raise
    return found


def reserve(environment: Mapping[str, str]) -> list[socket.socket]:
    """Reserve the ports of a door's processes, for as long as the sockets stay open."""
    held = []
    for port in ports(environment):
        try:
            held.append(reserved(port))
        except OSError as error:
            raise SpecError(
                f"{env_names.DOOR_PORTS}: {port} is taken ({error.strerror}), so another program would get what is "
                "meant for a process of the door; start it again with other ports"
            ) from None
    return held
