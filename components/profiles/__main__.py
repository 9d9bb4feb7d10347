"""Build the `profiles` folder from a command line: what a SparkApplication or spark-submit runs.

`python -m components.profiles --profiles JSON --split JSON --vocabulary JSON --clean FOLDER --features FOLDER`
is the step `build_profiles`. The engine is the environment's: INTENTFLOW_PROFILES_ENGINE and INTENTFLOW_SPARK. Within
spark-submit the session takes the settings that it was submitted with.
"""

import argparse
import sys
from pathlib import Path

from components.profiles.steps import run_profiles
from feature_repo.errors import ServerError, UserError


def main() -> None:
    """Build."""
    parser = argparse.ArgumentParser(prog="components.profiles", description="Build feature tables and vocabularies.")
    parser.add_argument("--profiles", required=True, help="the spec's slice `profiles`, as JSON")
    parser.add_argument("--split", required=True, help="the spec's slice `data.split`, as JSON")
    parser.add_argument("--vocabulary", required=True, help="which targets and items there are, as JSON")
    parser.add_argument("--clean", type=Path, required=True, help="folder that the step ingest wrote")
    parser.add_argument("--features", type=Path, required=True, help="folder to write")
    asked = parser.parse_args()
    try:
        run_profiles(asked.profiles, asked.split, asked.vocabulary, clean=asked.clean, destination=asked.features)
    except (UserError, ServerError) as error:
        print(f"profiles: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
