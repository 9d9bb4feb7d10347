"""The compiled pipelines (IR) for an environment: compiled, named by their digest, and the tasks of a run in them."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo.errors import ServerError
from pipelines.environment import Installation
from pipelines.graphs import index
from pipelines.graphs.step_table import step_of


@dataclass(frozen=True)
class CompiledPipeline:
    """One pipeline's IR on disk."""

    pipeline: str  # of the catalogue
    path: Path
    version: str  # named by the digest: the same IR, the same version

    def document(self) -> dict[str, Any]:
        """Read the IR, without what it asks of the platform."""
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        found: dict[str, Any] = next(yaml.load_all(self.path.read_bytes(), Loader=loader))
        return found

    def tasks(self) -> "Tasks":
        """Read the tasks."""
        document = self.document()
        steps: dict[str, str] = {}
        _read(document, document["root"]["dag"]["tasks"], steps)
        return Tasks(steps)


@dataclass(frozen=True)
class Tasks:
    """What a run of the pipeline consists of, by the names that Kubeflow gives tasks."""

    steps: dict[str, str]  # task -> step, those inside groups too, in the order of the IR


@contextmanager
def compiled(place: Installation, *names: str) -> Iterator[dict[str, CompiledPipeline]]:
    """Compile pipelines, all by default, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="intentflow-ir-") as folder:
        yield {name: _compile(place, name, Path(folder)) for name in names or index.PIPELINES}


def _compile(place: Installation, name: str, folder: Path) -> CompiledPipeline:
    from pipelines.graphs.kfp_pipeline import compile_ir

    path = folder / f"{name}.yaml"
    at = place.environment
    compile_ir(place.spec, path, pipeline=name, kubeflow=at.kubeflow, compute=at.compute)
    return CompiledPipeline(name, path, f"ir-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}")


def _read(ir: dict[str, Any], tasks: dict[str, Any], steps: dict[str, str]) -> None:
    for name, task in tasks.items():
        component = ir["components"].get(task["componentRef"]["name"])
        if component is None:
            raise ServerError(
                f"the IR names no component for task {name}: kfp writes it in another way than this reads"
            )
        if "dag" in component:
            _read(ir, component["dag"]["tasks"], steps)
        else:
            steps[name] = step_of(name)
