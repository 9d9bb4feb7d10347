"""Writes that carry a fencing token: a loop that was paused cannot overwrite what a later holder of the lease wrote.

Each object that the loop writes holds the last writer's token (annotation `intentflow/fencing-token`). A writer reads
it, refuses to write over a larger one, and has the API server refuse where the object changed since it was read
(resourceVersion). One case is open, since Kubernetes refuses no name that is free: an object that a newer loop deleted
may be created once more by an old one that wakes; the newer loop's next look deletes it.
"""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from components.kube_api import Api, Conflict, Object, Propagation
from feature_repo.errors import ServerError
from pipelines.leases.cluster_lease import TOKEN
from pipelines.leases.lease import LeaseLost

T = TypeVar("T")
TRIES = 5  # of a write that met another one


class FencedApi(Api):
    """The API of a namespace for whoever holds a lease."""

    def __init__(self, api: Api, token: int) -> None:
        super().__init__(api.client, api.namespace, forbidden=api.forbidden)
        self.token = token

    def apply(self, body: Object) -> Object:
        """Apply an object over the version that was looked at."""
        write = super().apply
        return self._over(body["kind"], body["metadata"]["name"], lambda there: write(self._marked(body, **_at(there))))

    def patch(self, kind: str, name: str, body: Object) -> Object:
        """Merge fields into an object, over the version that was looked at or the one that the body names."""
        write = super().patch
        if "resourceVersion" in body.get("metadata", {}):
            self._looked(kind, name)
            return write(kind, name, self._marked(body))
        return self._over(kind, name, lambda there: write(kind, name, self._marked(body, **_at(there))))

    def create(self, kind: str, body: Object) -> Object:
        """Make an object; one that is there is a Conflict."""
        return super().create(kind, self._marked(body))

    def delete(self, kind: str, name: str, *, propagation: Propagation = "Background") -> bool:
        """Delete an object as it was looked at."""

        def at(there: Object | None) -> bool:
            if there is None:
                return False
            return self.delete_at(kind, name, _at(there)["resourceVersion"], propagation=propagation)

        return self._over(kind, name, at)

    def _over(self, kind: str, name: str, write: Callable[[Object | None], T]) -> T:
        """Write over the version that was looked at, and look again where another one was faster."""
        for _ in range(TRIES):
            with contextlib.suppress(Conflict):
                return write(self._looked(kind, name))
        raise ServerError(f"{kind}/{name}: another one writes it at the same time; see who does")

    def _looked(self, kind: str, name: str) -> Object | None:
        """Read an object that is about to be written."""
        there = self.get(kind, name)
        if there is not None and (last := token_of(there)) > self.token:
            raise LeaseLost(f"{kind}/{name}: written under token {last}, this loop's is {self.token}: another acts now")
        return there

    def _marked(self, body: Object, **metadata: Any) -> Object:
        own = body.get("metadata", {})
        annotations = {**(own.get("annotations") or {}), TOKEN: str(self.token)}
        return {**body, "metadata": {**own, **metadata, "annotations": annotations}}


def token_of(found: Object) -> int:
    """Return the token that an object was last written under, 0 where there is none."""
    text = (found["metadata"].get("annotations") or {}).get(TOKEN, "0")
    return int(text) if text.isdigit() else 0


def _at(there: Object | None) -> dict[str, str]:
    """Name the version that was looked at, where there is one."""
    return {} if there is None else {"resourceVersion": there["metadata"]["resourceVersion"]}
