"""What a cluster would refuse of a render, and what breaks this project's rules: a line for each."""

from pipelines.manifests import rules
from pipelines.manifests.objects import title, workloads
from tests.k8s import pod_security, schemas


def check(objects):
    """Return what is wrong with rendered objects; [] when a cluster would take them."""
    # Rules read fields by name and would trip over a malformed object: they come after the schemas.
    return refused_by_schemas(objects) or refused_pods(objects) + rules.broken(objects)


def refused_by_schemas(objects):
    return [f"{title(found)}: {problem}" for found in objects for problem in schemas.problems(found)]


def refused_pods(objects):
    """Return what a namespace that enforces `restricted` refuses, also of pods that operators and the loop make."""
    return [f"{made.name}: {problem}" for made in workloads(objects) for problem in pod_security.problems(made.pod)]
