"""Try the product on a cluster: install it, train, release, and break it while customers ask. `k8s/try --help`.

    k8s/try --context kind-kind                 everything; the namespace `intentflow` must not be there yet
    k8s/try --context kind-kind --only door     installed before; only the trials whose name has this in it
    k8s/try --context kind-kind --from rollback installed before; that trial and those after it

Prints a table as it goes and writes it to FOLDER/table.md and table.json. Ends with 1 where a trial missed its bar.
It installs, kills and drains: name a cluster that is nobody else's.
"""

import argparse
import sys
from pathlib import Path

from feature_repo.checkout import ROOT
from feature_repo.errors import Refused, ServerError, SpecError, UserError
from tests.cluster import install, run
from tests.cluster.field import Field
from tests.cluster.kube import Kube
from tests.cluster.trials import TRIALS, Trial


def parser() -> argparse.ArgumentParser:
    """Return what may be asked for."""
    made = argparse.ArgumentParser(prog="k8s/try", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--context", required=True, help="context of kubectl that names the cluster")
    made.add_argument("--spec", type=Path, default=ROOT / "pipelines" / "specs" / "grocery.yaml")
    made.add_argument("--images", choices=("kind", "loaded"), default="loaded",
                        help="kind: build the image and load it; loaded: its nodes have it")  # fmt: skip
    made.add_argument("--folder", type=Path, default=ROOT / ".intentflow" / "try", help="what is written")
    made.add_argument("--rate", type=float, default=10.0, help="requests a second")
    made.add_argument("--users", type=int, default=100, help="users 1 to this ask")
    made.add_argument("--only", default=None, help="trials whose name has this in it, on what was installed before")
    made.add_argument("--from", dest="begin", default=None, help="the first trial, by the start of its name")
    return made


def main(words: list[str]) -> int:
    """Try, and return the exit code."""
    asked = parser().parse_args(words)
    try:
        kube = Kube(asked.context, asked.spec.resolve(), asked.folder.resolve())
        return _tried(kube, asked)
    except (UserError, ServerError, Refused) as error:
        print(f"k8s/try: {error}", file=sys.stderr)
        return error.exit_code


def chosen(only: str | None, begin: str | None) -> list[Trial]:
    """Return the trials that are asked for, in their order."""
    first = 0
    if begin is not None:
        first = next((n for n, trial in enumerate(TRIALS) if trial.name.startswith(begin)), len(TRIALS))
    found = [trial for trial in TRIALS[first:] if only is None or only in trial.name]
    if not found:
        raise SpecError(f"--only {only} --from {begin}: no such trial; names are {[trial.name for trial in TRIALS]}")
    return found


def _tried(kube: Kube, asked: argparse.Namespace) -> int:
    field, table = Field(kube), run.Table(asked.folder, about=install.about(kube))
    wanted = chosen(asked.only, asked.begin)
    if asked.only is None and asked.begin is None:
        install.images(kube, asked.images, table)
        with install.installed(field, table):
            run.all_of(field, wanted, table, rate=asked.rate, users=asked.users)
    else:
        with install.connected(field):
            run.all_of(field, wanted, table, rate=asked.rate, users=asked.users)
    return table.finished()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
