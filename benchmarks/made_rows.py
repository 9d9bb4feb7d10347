"""The rows of a spec, made by the pipeline's own steps in a folder: no model is trained, no state folder is touched."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.script import note
from components.intent import examples as intent_examples
from components.intent.examples import Examples
from feature_repo import columns, env_names, files
from feature_repo.errors import SpecError
from pipelines import spec as specs
from pipelines import spec_yaml
from pipelines.graphs.parameters import spec_slices

TABLES, CLEAN, PROFILES, ROWS = "tables", "clean", "profiles", "rows"  # folders, made in this order
MADE = "made.json"  # the document that they are of; written last


def rows_of(document: Mapping[str, Any], path: Path, folder: Path) -> tuple[specs.Recommender, Examples]:
    """Make the rows of a spec's document, as of the file `path`, by the pipeline's own steps."""
    from components.data.steps import run_ingest, run_validate
    from components.profiles.steps import run_profiles, run_training_set

    spec = specs.parse(document, place=str(path))
    os.environ.update(
        {env_names.PSEUDONYM_KEY: "5eed" * 8, env_names.CLOCK: "data_end", env_names.SPEC_DIR: str(path.parent)}
    )
    os.environ.pop(env_names.HOME, None)  # of a recommender that is installed here: nothing of it is read or written
    slices = spec_slices(spec)
    tables, clean, profiles, rows = (folder / name for name in (TABLES, CLEAN, PROFILES, ROWS))
    run_ingest(slices["reading"], str(tables))
    run_validate(
        slices["data"],
        str(tables),
        clean=str(clean),
        report=str(folder / "contract.html"),
        log_metric=lambda _name, _value: None,
    )
    run_profiles(slices["profiles"], slices["split"], slices["vocabulary"], clean=clean, destination=profiles)
    run_training_set(slices["split"], slices["ranking_rows"], clean=clean, profiles=profiles, destination=rows)
    return spec, intent_examples.load(rows, spec.clocked)


def with_events(path: Path, folder: Path) -> tuple[specs.Recommender, Examples]:
    """Make the rows of a spec, which hold users' last events too, or take those that the folder has.

    SpecError where the folder holds rows of another spec.
    """
    document: dict[str, Any] = dict(specs.split(spec_yaml.read_yaml(path))[0])
    document["profiles"] = document.get("profiles", {}) | {"memory": columns.OF_TRAINING}
    if not (folder / MADE).is_file():
        note(f"{path}: rows …")
        folder.mkdir(parents=True, exist_ok=True)
        found = rows_of(document, path, folder)
        files.write_json(folder / MADE, document)
        return found
    if files.read_json(folder / MADE) != document:
        raise SpecError(f"--rows: {folder} holds rows of another spec than {path}; name another folder")
    spec = specs.parse(document, place=str(path))
    return spec, intent_examples.load(folder / ROWS, spec.clocked)
