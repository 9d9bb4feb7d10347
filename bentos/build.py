"""Builds the Bento of a release: the release folder as a BentoML model, our code, pinned requirements.

One release gives three Bentos: the door (with both models in it), the intent model and the ranker. A build runs in a
process of its own, since BentoML reads its home from the environment once, and changes the import path and the working
directory while it builds. `python -m bentos.build RELEASE_FOLDER [SERVICE]` does the same by hand, into $BENTOML_HOME.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bentos.release import MODEL_ALIAS, Release
from bentos.requirements import DIRECT, further, pinned
from feature_repo import files
from feature_repo.checkout import ROOT

NAME = "recommender"  # the door, with both models in it unless its environment says otherwise
SERVICES = {
    NAME: "bentos.recommender.service:Recommender",
    "intent": "bentos.intent.service:Intent",
    "ranking": "bentos.ranking.service:Ranking",
}
MODEL = "intentflow-release"
PACKAGES = ("bentos", "components", "feature_repo")  # all that a service imports of ours
TIMEOUT_S = 300.0


def bento_home(home: Path) -> Path:
    """Return the BENTOML_HOME of a recommender's state folder."""
    return home / "bentoml"


def build(release_folder: Path, *, home: Path, service: str = NAME) -> str:
    """Build the Bento of one of a release's services under `home`, unless it is there; return its tag."""
    release = Release.verified(release_folder)
    tag = f"{service}:{version_of(release)}"
    if (bento_home(home) / "bentos" / service / version_of(release) / "bento.yaml").is_file():
        return tag
    bento_home(home).mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"BENTOML_HOME": str(bento_home(home)), "BENTOML_DO_NOT_TRACK": "True"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "bentos.build", str(release_folder.resolve()), service]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{release_folder}: no Bento could be built of it:\n{done.stderr.strip()}")
    return tag


def version_of(release: Release) -> str:
    """Return the Bento's version: the release, and the code around it, which may change under a release."""
    return f"{release.id}-{files.file_digest(*(ROOT / package for package in PACKAGES))[:8]}"


def store_model(release: Release) -> str:
    """Put the release folder into BentoML's model store, unless it is there; return its tag."""
    import bentoml

    tag = f"{MODEL}:{release.id}"
    try:
        return str(bentoml.models.get(tag).tag)
    except bentoml.exceptions.NotFound:
        pass  # the usual case: a new release
    labels = {"recommender": release.name, "release": release.id}
    labels |= {part: str(release.document[part]["version"]) for part in ("intent", "ranking")}
    with bentoml.models.create(tag, labels=labels, metadata=_flat(release.document)) as model:
        shutil.copytree(release.folder, model.path, dirs_exist_ok=True)
    return tag


def build_here(release: Release, service: str) -> str:
    """Build the Bento in this process's BENTOML_HOME; return its tag."""
    import bentoml

    model = store_model(release)
    with tempfile.TemporaryDirectory(prefix="intentflow-bento-") as folder:
        stage(Path(folder))
        bento = bentoml.bentos.build(
            SERVICES[service],
            name=service,
            version=version_of(release),
            labels={"recommender": release.name, "release": release.id},
            description=f"Release {release.id} of the recommender {release.name}: {service}.",
            build_ctx=folder,
            models=[{"tag": model, "alias": MODEL_ALIAS}],
            python={"packages": pinned((*DIRECT, *further(release.folder))), "lock_packages": False},
        )
    return str(bento.tag)


def stage(folder: Path) -> None:
    """Copy what a service imports of ours: BentoML would walk the whole checkout, environments included."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)


def _flat(document: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in document.items() if isinstance(value, str)}


if __name__ == "__main__":
    print(build_here(Release.verified(Path(sys.argv[1])), sys.argv[2] if len(sys.argv) > 2 else NAME))
