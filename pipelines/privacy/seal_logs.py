"""Encrypt logs that were written in plain before `privacy.key_env` named a key, or under a key that is to go.

What the online store holds comes under the key by the next `materialise`; what lies elsewhere (copies in
`requests.url`, pods) is named as not reached. It holds the run's lock and the logs'.
"""

from dataclasses import asdict, dataclass
from typing import Any

from bentos.recommender.logs import sealed_files, traces
from bentos.recommender.logs.sealed_files import SealedFiles
from feature_repo.errors import ServerError, SpecError
from feature_repo.privacy import sealing
from pipelines.environment import Installation
from pipelines.privacy.forget import working_alone


@dataclass(frozen=True)
class SealReport:
    """What sealing the logs came to."""

    key: str  # fingerprint of the newest key
    found: SealedFiles
    not_reached: list[str]

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"key": self.key, **asdict(self.found), "not_reached": self.not_reached}

    def text(self) -> str:
        """Return it as a person reads it."""
        done = self.found
        sealed = f"{done.lines:,} lines and {done.answers:,} answers of {done.files:,} files"
        lines = [f"Sealed     {sealed if done.files else 'nothing: no file of a log is in plain'}, key {self.key}"]
        return "\n".join([*lines, *(f"Not reached  {place}" for place in self.not_reached)])


def seal(place: Installation) -> SealReport:
    """Bring the logs of the state folder under the newest key; raises where a service has lines in plain open."""
    with working_alone(place, "seal"):
        keys = sealing.given()
        if not keys.newest:
            raise SpecError(
                f"{place.environment.name}: privacy.key_env names no key, so logs stay in plain; name a variable that "
                f"holds one ({sealing.FORM}), restart the service, and run this again (docs/privacy.md)"
            )
        found = SealedFiles()
        for name in traces.LOGS:
            found += sealed_files.seal(place.home / name)
    report = SealReport(keys.newest, found, _not_reached(place))
    if found.open:
        raise ServerError(
            f"seal: {found.open_lines:,} lines of {found.open} files are in plain or under an earlier key, and a "
            f"service has the files open; the rest is sealed ({found.files:,} files); stop the service (`intentflow "
            "down`), run the same command again, and start it with the key"
        )
    return report


def _not_reached(place: Installation) -> list[str]:
    told = []
    if place.environment.requests.url:
        told.append("copies in requests.url that doors shipped before: they go by that store's retention")
    if place.environment.feast.online_store["type"] != "sqlite":
        told.append("logs of doors in pods: they end with the pod, or with event-volume's claim up to its bound")
    return told
