"""`python -m components.registry.fetch NAME WHICH FOLDER`: a release's folder from the registry, whole and verified.

What a pod's init container runs before the service starts. It only reads; errors are one line and an exit code.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from components.registry.release import assemble
from feature_repo import files
from feature_repo.errors import ServerError, UserError
from feature_repo.release_folder import FILE, ReleaseFolder

log = logging.getLogger("intentflow")


def main(arguments: Sequence[str] | None = None) -> int:
    """Assemble a release and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m components.registry.fetch", description=__doc__)
    parser.add_argument("name", help="the recommender")
    parser.add_argument("which", help="version or alias of its release")
    parser.add_argument("folder", type=Path, help=f"where {FILE}, intent/ and ranking/ go; not a mount point")
    asked = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        released = ReleaseFolder.read(assemble(asked.name, asked.which, asked.folder))
    except (UserError, ServerError) as error:
        log.error("%s", error)
        return error.exit_code
    log.info(files.canonical({"fetched": released.id, "name": asked.name, "which": asked.which}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
