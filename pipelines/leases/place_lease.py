"""Take the lease where the environment keeps it: a file of this machine, or a Lease of a Kubernetes namespace."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.environment import Installation
from pipelines.leases.file_lease import held_here
from pipelines.leases.lease import Lease


@contextmanager
def held(place: Installation, *, job: str = "", wait_s: float = 0) -> Iterator[Lease]:
    """Hold the lease of the rollout, or of a job; raises Refused where a living holder keeps it past `wait_s`."""
    if place.environment.kubernetes.namespace:
        from pipelines.leases import cluster_lease

        with cluster_lease.held(place, job=job, wait_s=wait_s) as lease:
            yield lease
    else:
        with held_here(place.home, job=job, wait_s=wait_s) as lease:
            yield lease
