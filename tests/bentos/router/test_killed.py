"""Doors that are killed and doors that hang, as processes, under load."""

import asyncio
import contextlib
import multiprocessing
import signal

import aiohttp
import psutil
import pytest

from benchmarks import router as measured
from bentos.router.routes import Backend, Routes
from pipelines.releases.processes import free_port
from tests.bentos.router.conftest import until

pytestmark = pytest.mark.process


@contextlib.contextmanager
def doors(count: int):
    """Run doors; yield their processes and URLs."""
    ports = [free_port(0) for _ in range(count)]
    made = [multiprocessing.get_context("spawn").Process(target=measured._answer, args=(port,)) for port in ports]
    for one in made:
        one.start()
    try:
        for port in ports:
            measured._ready(f"http://127.0.0.1:{port}/")
        yield [(psutil.Process(one.pid), f"http://127.0.0.1:{port}") for one, port in zip(made, ports, strict=True)]
    finally:
        for one in made:
            one.kill()
            one.join()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
@pytest.mark.parametrize("which", [0, 1], ids=["stable", "candidate"])
def test_no_request_fails_while_another_release_runs(number, which):
    async def load(url: str, victim: psutil.Process) -> list[int]:
        codes: list[int] = []

        async def user(client: aiohttp.ClientSession, name: int) -> None:
            for _ in range(60):
                async with client.post(f"{url}/recommend", json={"user_id": str(name)}) as reply:
                    await reply.read()
                    codes.append(reply.status)
                if number == signal.SIGSTOP and len(codes) > 200:
                    break  # each of the others waits out the patience
                await asyncio.sleep(0.005)

        async with aiohttp.ClientSession() as client:
            users = [asyncio.create_task(user(client, name)) for name in range(16)]
            await until(lambda: len(codes) > 100)
            victim.send_signal(number)
            await asyncio.gather(*users)
        return codes

    with doors(2) as found:
        (_, stable), (_, candidate) = found
        first, second = Backend(release="aaa", url=stable), Backend(release="bbb", url=candidate)
        routes = Routes(rollout="r1", mode="canary", share=0.5, stable=first, candidate=second)
        with measured.router(routes) as (url, _):
            codes = asyncio.run(load(url, found[which][0]))
    assert len(codes) > 150
    assert set(codes) == {200}
