"""`python -m bentos.router`: run one router until SIGTERM, then drain. Settings come from the environment."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys

import uvloop

from bentos.router.listen import allow_files
from bentos.router.server import Router
from bentos.router.settings import Settings
from feature_repo.errors import SpecError


async def serve(settings: Settings) -> None:
    """Run a router until it is told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    router = Router(settings)
    try:
        await router.start()
    except OSError as error:
        raise SpecError(f"port: {settings.port} cannot be listened on ({error.strerror or error})") from None
    gc.collect()
    gc.freeze()  # what was loaded stays: a full collection over it would hold answers up
    logging.getLogger("intentflow.router").info("router at http://%s:%d", settings.host, settings.port)
    await stop.wait()
    await router.stop()


def main() -> int:
    """Run; a mistake in the settings is one line and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    allow_files()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(serve(Settings.read(os.environ)))
    except SpecError as error:
        print(f"router: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
