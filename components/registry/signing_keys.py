"""Makes a pair of keys for signing releases: `python -m components.registry.signing_keys`.

It prints the private key once and keeps it nowhere; with `--public` it prints the public key of the private one in
INTENTFLOW_SIGNING_KEY. Who signs and who checks is the environment's (docs/security.md#signed-releases).
"""

import argparse
import os
import secrets
import sys
from collections.abc import Sequence

from feature_repo import signing
from feature_repo.errors import SpecError


def main(arguments: Sequence[str] | None = None) -> int:
    """Print keys and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m components.registry.signing_keys", description=__doc__)
    parser.add_argument("--public", action="store_true", help=f"of the private key in {signing.KEY}, make none")
    asked = parser.parse_args(arguments)
    try:
        if asked.public:
            found = signing.signer(os.environ)
            if found is None:
                raise SpecError(f"{signing.KEY} is not set; export the private key whose public one you want")
            print(found.public)
            return 0
        private = secrets.token_hex(32)
        made = signing.signer({signing.KEY: private})
        assert made is not None
    except SpecError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"private {private}\npublic  {made.public}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
