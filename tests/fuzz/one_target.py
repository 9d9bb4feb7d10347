"""One reader under libFuzzer: `python -m tests.fuzz.one_target NAME [libFuzzer's options] [a file to run again]`.

Our own modules and the Python readers below them are instrumented as they are imported, which is how libFuzzer sees
that an input reached a line that none had reached. An exception ends the process with code 77.
"""

import logging
import os
import sys
from pathlib import Path

OURS = ["bentos", "components", "feature_repo", "pipelines", "tarfile", "yaml"]
BOUNDS = ["-rss_limit_mb=2048", "-timeout=60", "-max_len=16384", "-print_final_stats=0", "-verbosity=1"]
WORDS = {  # by reader, the words of its language
    "specs": "yaml",
    "environments": "yaml",
    "requests": "json",
    "event_lines": "json",
    "releases": "json",
    "keys_files": "json",
    "routes": "json",
    "router": "http",
    "door_answers": "http",
}
HERE = Path(__file__).parent


def main() -> None:
    """Instrument, import, and hand over to libFuzzer, which ends the process."""
    import atheris  # here, since pytest imports every module of tests, and atheris is in no lock

    name, given = sys.argv[1], sys.argv[2:]
    for variable in [key for key in os.environ if key.startswith("INTENTFLOW_")]:
        del os.environ[variable]  # keys of the machine it runs on are none of a reader's
    with atheris.instrument_imports(include=OURS, enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    logging.disable(logging.CRITICAL)
    words = [f"-dict={HERE / 'words' / WORDS[name]}"] if name in WORDS else []
    atheris.Setup([sys.argv[0], *BOUNDS, *words, *given], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
