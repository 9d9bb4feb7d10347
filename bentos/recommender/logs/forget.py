"""Take people out of the logs that a door keeps where only it can reach them: in its pod, or on a volume of pods' logs.

    python -m bentos.recommender.logs.forget [FOLDER] < ids.txt

The raw ids come by standard input, one a line, so that they are in no list of processes and no audit log. FOLDER is
$INTENTFLOW_HOME unless given; every `requests` and `events` folder below it is looked at. It prints counts as JSON and
ends with 1 where something is left. `intentflow forget` does the rest, and says when this is to be run.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from bentos.recommender.logs import eventlog, trace_people, traces
from feature_repo import env_names
from feature_repo.errors import SpecError, UserError
from feature_repo.privacy.pseudonyms import pseudonym, ring


def forget(folder: Path, raws: Sequence[str], keys: tuple[str, ...]) -> dict[str, int]:
    """Remove people from the logs below a folder, look again, and return what went and what is left."""
    names = tuple(dict.fromkeys(pseudonym(raw, key) for key in keys for raw in raws))
    people, logs = trace_people.People(tuple(raws), names), logs_below(folder)
    for log in logs:
        if log.name == eventlog.FOLDER:
            traces.mask_keys(log, people)
    traces.clean_aside(logs)  # else half of a parquet file holds people, where nobody looks
    removed = sum(traces.clean(path, people) for path in traces.walk(logs) if path.exists())
    found = traces.find(logs, people)
    return {"files": found.files, "removed": removed, "left": len(found.hits) + len(found.unreadable)}


def logs_below(folder: Path) -> list[Path]:
    """Return the folders of logs: a door's own, or those of many pods on one volume."""
    return sorted(path for name in traces.LOGS for path in folder.rglob(name) if path.is_dir())


def main(arguments: Sequence[str], given: TextIO, environment: Mapping[str, str]) -> int:
    """Run the command; return its exit code."""
    folder = Path(arguments[0] if arguments else environment.get(env_names.HOME, ""))
    raws = tuple(dict.fromkeys(line.strip() for line in given if line.strip()))
    if not raws:
        raise SpecError("standard input: no user ids; give one a line, as in your data")
    if str(folder) == "." or not folder.is_dir():
        raise SpecError(f"{folder}: no such folder; give the one with the logs, or set {env_names.HOME}")
    done = forget(folder, raws, ring(environment))
    print(json.dumps(done))
    return 1 if done["left"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], sys.stdin, os.environ))
    except UserError as error:
        print(f"forget: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
