"""As much of a cluster as rendered pods need: a bridge with an address a pod, Services by name, and nothing beyond.

Pods are podman's containers, as pods.py says. Their network has no way out: names are those of the Services, whose
addresses this process listens on and passes on, as kube-proxy does. It schedules nothing and enforces no NetworkPolicy.
"""

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.images import pods
from tests.images.conftest import podman

USER = 10001
READY_S = 300
ULIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
Reached = Callable[[], tuple[str, int] | str]  # an address, or the path of a socket


def ip(*words: str) -> None:
    """Change this machine's network."""
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


class Forwards:
    """Listens on addresses and passes connections on, from a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def listen(self, host: str, port: int, to: Reached) -> None:
        """Pass connections on to wherever `to` says when they come."""

        async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                at = to()
                opened = asyncio.open_unix_connection(at) if isinstance(at, str) else asyncio.open_connection(*at)
                back, out = await opened
            except (OSError, LookupError):
                writer.transport.abort()
                return
            await asyncio.gather(_pump(reader, out), _pump(back, writer))

        asyncio.run_coroutine_threadsafe(asyncio.start_server(passed, host, port), self._loop).result(30)

    def close(self) -> None:
        """Stop, whatever is under way."""

        async def ended() -> None:
            under_way = asyncio.all_tasks() - {asyncio.current_task()}
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(ended(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@dataclass
class Cluster:
    """A bridge, the Services on it, and the pods that were started."""

    folder: Path
    image: str
    bridge: str = field(default_factory=lambda: f"ift{os.getpid() % 100000}")
    forwards: Forwards = field(default_factory=Forwards)
    hosts: dict[str, str] = field(default_factory=dict)  # names of Services
    addresses: dict[str, str] = field(default_factory=dict)  # of pods, by workload; the newest one's
    started: dict[str, str] = field(default_factory=dict)  # containers and their network namespaces
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    def __post_init__(self) -> None:
        ip("link", "add", self.bridge, "type", "bridge")
        ip("link", "set", self.bridge, "up")

    def _address(self) -> str:
        return f"10.231.{os.getpid() % 250}.{next(self._numbers)}"

    def service(self, name: str, ports: Mapping[int, Reached]) -> str:
        """Give a Service an address and lead its ports on."""
        address = self._address()
        ip("address", "add", f"{address}/24", "dev", self.bridge)
        for port, to in ports.items():
            self.forwards.listen(address, port, to)
        self.hosts[name] = address
        return address

    def serve(self, services: Sequence[pods.Service], elsewhere: Mapping[str, Reached]) -> None:
        """Make the Services of a render; those of `elsewhere` lead to servers of this machine."""
        for one in services:
            if one.name in self.hosts:
                continue
            if one.name in elsewhere:
                self.service(one.name, dict.fromkeys(one.ports, elsewhere[one.name]))
            else:
                self.service(one.name, {port: self._leading(one.workload, at) for port, at in one.ports.items()})

    def _leading(self, workload: str, port: int) -> Reached:
        return lambda: (self.addresses[workload], port)

    def pod(self, name: str, workload: str) -> str:
        """Make a pod's network; return its namespace."""
        space, address = f"{self.bridge}-{name}", self._address()
        link = f"{self.bridge[3:]}v{address.rpartition('.')[2]}"
        ip("netns", "add", space)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", link, "master", self.bridge, "up")
        ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            ip("-n", space, "link", "set", device, "up")
        self.addresses[workload] = address
        return space

    def folders(self, container: pods.Container) -> dict[str, str]:
        """Make the folders behind a container's mounts, as the kubelet does."""
        found = {}
        for mount in container.mounts:
            source = mount.source
            if source.memory is not None:
                continue
            folder = self.folder / source.name
            if not folder.is_dir():
                folder.mkdir(parents=True)
                if source.files is None:  # root's, and writable by the pod's fsGroup
                    os.chown(folder, 0, int(container.groups[0]))
                    folder.chmod(0o2777 if not source.name.startswith("claims/") else 0o2775)
                for name, text in (source.files or {}).items():
                    (folder / name).write_text(text, encoding="utf-8")
            for below in reversed([Path(mount.below), *Path(mount.below).parents] if mount.below else []):
                if not (folder / below).is_dir():  # each with the rights of the volume, as the kubelet makes them
                    (folder / below).mkdir()
                    os.chown(folder / below, 0, folder.stat().st_gid)
                    (folder / below).chmod(folder.stat().st_mode & 0o7777)
            found[source.name] = str(folder)
        return found

    def start(self, container: pods.Container, name: str, space: str, *, more: Sequence[str] = ()) -> "Started":
        """Start a container in a pod's network."""
        image = self.image if container.image.partition(":")[0] == "intentflow-python" else container.image
        words = pods.with_image(container, image).words(self.folders(container))
        known = [word for host, address in self.hosts.items() for word in ("--add-host", f"{host}:{address}")]
        unique = f"{self.bridge}-{name}"
        podman(
            *("run", "--detach", "--name", unique, "--hostname", name, "--network", f"ns:/run/netns/{space}"),
            *(*known, *ULIMITS, *more, *words),
        )
        self.started[unique] = space
        return Started(unique, container, self.folder)

    def close(self) -> None:
        """End every container and take the network away."""
        for name in self.started:
            podman("rm", "--force", "--time", "1", name, check=False)
        for space in {line.split()[0] for line in _listed() if line.startswith(f"{self.bridge}-")}:
            ip("netns", "delete", space)
        self.forwards.close()
        ip("link", "delete", self.bridge)


def _listed() -> list[str]:
    return subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.splitlines()


@dataclass(frozen=True)
class Started:
    """A container that was started."""

    name: str
    container: pods.Container
    folder: Path

    def logs(self) -> str:
        """Return what it printed, both streams."""
        done = subprocess.run(["podman", "logs", self.name], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr)[-6000:]

    def ended(self, timeout_s: float) -> int:
        """Wait for its end; return its exit code."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            state = json.loads(podman("inspect", "--format", "{{json .State}}", self.name))
            if not state["Running"]:
                assert not state["OOMKilled"], f"{self.name}: out of memory\n{self.logs()}"
                self.within_limits()
                return int(state["ExitCode"])
            time.sleep(0.5)
        raise AssertionError(f"{self.name}: not over in {timeout_s:.0f} s\n{self.logs()}")

    def ready(self, url: str) -> requests.Response:
        """Return the first good answer of its probe."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.RequestException):
                if (reply := requests.get(url, timeout=5)).status_code == 200:
                    return reply
            running = podman("inspect", "--format", "{{.State.Running}}", self.name)
            assert running == "true", f"{self.name} ended\n{self.logs()}"
            time.sleep(0.5)
        raise AssertionError(f"{self.name}: no 200 of {url} in {READY_S} s\n{self.logs()}")

    def stop(self) -> int:
        """End it as the kubelet does; return its exit code."""
        podman("stop", "--time", "60", self.name)
        self.within_limits()
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", self.name))

    def within_limits(self) -> None:
        """Look at what it wrote: a pod that writes more than an emptyDir's size limit is evicted."""
        for source in {mount.source for mount in self.container.mounts if mount.source.limit}:
            folder = self.folder / source.name
            size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
            assert size <= (source.limit or 0), f"{self.name}: {source.name} holds {size} of {source.limit} bytes"
