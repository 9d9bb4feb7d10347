"""The alerts of one recommender, made from its own spec: what a release's overlay carries in place of the defaults.

`monitoring` must not know specs, so the spec's slice is handed to it here. An overlay that has the option
k8s/components/monitoring gets a patch with the rules of its spec and its namespace (release_overlay.py);
`python -m pipelines.manifests.alert_rules SPEC [NAMESPACE]` prints them for a Prometheus without an operator.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from components.registry.spec import Rollout
from feature_repo import files
from feature_repo.errors import SpecError
from monitoring.observability import prometheus_rules
from monitoring.observability.objectives import promises

FILE = "alerts.yaml"
HEADER = "# Written by `intentflow release` from the spec's promotion.rollout. Do not edit; release again.\n"
TARGET = {"kind": prometheus_rules.KIND, "name": prometheus_rules.NAME}
OPTION = ("components", "monitoring")


def write(folder: Path, overlay: Path, rollout: Rollout) -> list[Path]:
    """Write a spec's rules beside a release's kustomization, where its overlay has alerts; return the file, if any."""
    file = folder / FILE
    if not watched(overlay):
        file.unlink(missing_ok=True)
        return []
    with files.written(file) as part:
        part.write_text(patch(rollout, namespace_of(overlay)))
    return [file]


def patch(rollout: Rollout, namespace: str) -> str:
    """Return the PrometheusRule of a spec as a patch of the committed one."""
    return prometheus_rules.text(promises(rollout, namespace=namespace), header=HEADER)


def printed(spec: Path, namespace: str = "") -> str:
    """Return a spec's rules as a rule file of Prometheus."""
    from pipelines import spec as specs

    groups = prometheus_rules.groups(promises(specs.load(spec).promotion.rollout, namespace=namespace))
    return yaml.safe_dump({"groups": groups}, sort_keys=False, width=120, allow_unicode=True)


def namespace_of(overlay: Path) -> str:
    """Return the namespace that an overlay puts its objects into, '' where it names none."""
    return next((str(part["namespace"]) for _, part in _parts(overlay) if part.get("namespace")), "")


def watched(overlay: Path) -> bool:
    """Say whether an overlay has the option `monitoring`, itself or in what it stands on."""
    return any((folder.parent.name, folder.name) == OPTION for folder, _ in _parts(overlay))


def _parts(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a kustomization and all that it names, outermost first: what stands outside has the last word."""
    file = folder / "kustomization.yaml"
    if file.is_file():
        found = yaml.safe_load(file.read_text()) or {}
        yield folder.resolve(), found
        for name in (*found.get("resources", ()), *found.get("components", ())):
            yield from _parts(folder / name)


def main(arguments: list[str]) -> int:
    """Print the rules of a spec; a mistake in it is one line and exit code 2."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m pipelines.manifests.alert_rules SPEC [NAMESPACE]", file=sys.stderr)
        return SpecError.exit_code
    try:
        sys.stdout.write(printed(Path(arguments[0]), *arguments[1:]))
    except SpecError as error:
        print(f"alert_rules: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
