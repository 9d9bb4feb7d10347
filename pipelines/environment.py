"""The environment: where the servers are and how to reach them. The only thing that changes between a laptop
and a cluster. It becomes environment variables, which steps and services read; none of it enters a pipeline.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from feature_repo import env_names
from feature_repo.errors import SpecError, nearest
from feature_repo.privacy.pseudonyms import fingerprint, ring
from feature_repo.privacy.tombstones import ELSEWHERE, Tombstones
from feature_repo.slice import Slice
from pipelines import environment_variables, spec_mistakes, spec_yaml
from pipelines import spec as specs
from pipelines.environment_spec import Environment
from pipelines.graphs.compute import Compute
from pipelines.jobs.spec import Jobs

log = logging.getLogger("intentflow")
FOLDER = Path(__file__).parent / "environments"
STATE = env_names.STATE  # folder that holds every recommender's state; .intentflow by default


@dataclass(frozen=True)
class Installation:
    """A recommender in an environment: its spec, its state folder, and the variables that parts read."""

    spec: specs.Recommender
    spec_path: Path
    environment: Environment
    home: Path
    outside: Mapping[str, str]  # the variables of the process that asked
    environment_asked: str = "local"  # name or file, as `--env` gave it

    @cached_property
    def variables(self) -> dict[str, str]:
        """Return the variables that steps and services read; the first use makes the key file, if there is none."""
        return environment_variables.variables(self.environment, self.home, self.spec_path, self.outside)

    @property
    def unmade(self) -> bool:
        """Tell whether this machine has no state of the recommender: it was made elsewhere, or never.

        A look at the registry would then make its database, and the keys.
        """
        return self.environment.mlflow.tracking_uri.startswith("sqlite:") and not self.home.is_dir()

    @property
    def people(self) -> dict[str, str]:
        """Name what decides under which names people are in the data, and who must not be; makes no key file."""
        settings = self.environment.pseudonyms
        there = Path(settings.key_file).exists() if settings.key_file else str(settings.key_env) in self.outside
        if not there:
            return {}
        keys = ring(self.variables)
        forgotten = Tombstones(self.home, keys, elsewhere=self.outside.get(ELSEWHERE, ""))
        found = {"key": fingerprint(keys[0]), "forgotten": forgotten.digest}
        return {name: value for name, value in found.items() if value}


def place(spec_path: Path, environment: str, *, variables: Mapping[str, str] | None = None) -> Installation:
    """Load a spec and an environment by name or path, and resolve what they say for this machine."""
    document, moved = specs.split(spec_yaml.read_yaml(spec_path))
    found = specs.parse(document, place=str(spec_path))
    outside = os.environ if variables is None else variables
    home = Path(outside.get(STATE, ".intentflow")).absolute() / found.name
    settings = _settings(environment, home, outside)
    settings = _with_moved(settings, moved, spec_path=spec_path, environment=environment)
    return Installation(found, spec_path, settings, home, outside, environment)


@contextmanager
def exported(variables: Mapping[str, str]) -> Iterator[None]:
    """Give this process some variables while the block lasts; no other is touched, and none is ever absent meanwhile.

    Other threads, such as one that renews a lease, read the same variables.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def file_of(environment: str) -> Path:
    """Return the file of an environment by name or path, there or not."""
    return Path(environment) if environment.endswith((".yaml", ".yml")) else FOLDER / f"{environment}.yaml"


def _settings(environment: str, home: Path, variables: Mapping[str, str]) -> Environment:
    path = file_of(environment)
    if not path.is_file():
        have = sorted(p.stem for p in FOLDER.glob("*.yaml"))
        raise SpecError(f"--env: no environment '{environment}'; have {', '.join(have)}{nearest(environment, have)}")
    document = _filled(_without_host(spec_yaml.read_yaml(path), variables), home=home, variables=variables, file=path)
    return spec_mistakes.checked(Environment, document, place=str(path))


def _without_host(document: Any, variables: Mapping[str, str]) -> Any:
    """Empty `kubeflow.host` where its variable is not set: only verbs that run pipelines there need it, and say so."""
    kubeflow = document.get("kubeflow") if isinstance(document, dict) else None
    if not isinstance(kubeflow, dict):
        return document
    found = re.fullmatch(r"\$\{(\w+)\}", str(kubeflow.get("host", "")))
    return document if found is None or found[1] in variables else document | {"kubeflow": kubeflow | {"host": ""}}


class Moved(Slice):
    """What a spec of 0.1 says of the environment."""

    compute: Compute = Compute()
    jobs: Jobs = Jobs()


def _with_moved(settings: Environment, moved: Mapping[str, Any], *, spec_path: Path, environment: str) -> Environment:
    """Take from a spec what belongs to the environment, with a line that says so; both given is a mistake."""
    for key in moved:
        if key in settings.model_fields_set:
            raise SpecError(
                f"{spec_path}: {key}: the environment '{settings.name}' gives it too; keep it there and delete it here"
            )
    read = read_moved(moved, place=str(spec_path), environment=environment)
    return settings.model_copy(update={key: getattr(read, key) for key in moved})


def read_moved(moved: Mapping[str, Any], *, place: str, environment: str) -> Moved:
    """Check what a spec says of the environment, and say in a line where it belongs."""
    read = spec_mistakes.checked(Moved, dict(moved), place=place)
    if moved:
        log.warning(
            f"{place}: {', '.join(moved)}: read here until 0.3; this is the environment's now (--env {environment}), "
            "so move it there"
        )
    return read


def _filled(value: Any, *, home: Path, variables: Mapping[str, str], file: Path) -> Any:
    """Replace {home} and ${NAME} in every string of a document."""
    if isinstance(value, dict):
        return {k: _filled(v, home=home, variables=variables, file=file) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, home=home, variables=variables, file=file) for v in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in variables:
            raise SpecError(f"{file}: ${{{name}}} is not set in the environment; export {name}")
        return variables[name]

    return re.sub(r"\$\{(\w+)\}", variable, value.replace("{home}", str(home)))
