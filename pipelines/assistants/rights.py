"""What an assistant may change: nothing, or what its key's scopes say. The key is looked at again before each change.

The key is a server's of the environment's `serving.keys_file` (`intentflow keys`), and comes by a variable, which no
list of processes shows. One that is revoked or has ended changes nothing from the next second on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feature_repo import env_names
from feature_repo.errors import SpecError
from pipelines.environment import Installation

if TYPE_CHECKING:
    from bentos.http.auth import KeyFile
    from bentos.http.callers import Caller

ADMIN = "admin"


@dataclass(frozen=True)
class Rights:
    """A key that may be none."""

    key: str
    file: "KeyFile | None"

    @property
    def changes(self) -> bool:
        """Tell whether the key has the scope that changes things; one that is no key, or has ended, is refused."""
        if self.file is None:
            return False
        return ADMIN in self._caller().scopes

    def text(self) -> str:
        """Say what an assistant with it does."""
        if self.changes:
            return "reads and changes"
        return "reads only" if self.file is None else f"reads only: the key's scopes lack {ADMIN}"

    def require(self) -> str:
        """Return by which name the key stands beside what it changes, or refuse."""
        from bentos.http.problems import Rejected

        if self.file is None:
            raise SpecError(
                f"{env_names.ASSISTANT_KEY} is not set, so this assistant only reads; give it a key of "
                "`intentflow keys SPEC create --for server --scopes admin`"
            )
        caller = self._caller()
        try:
            caller.need(ADMIN)
        except Rejected as refusal:
            raise SpecError(f"{env_names.ASSISTANT_KEY}: {refusal}") from None
        return f"{caller.name}, assistant"

    def _caller(self) -> "Caller":
        from bentos.http.problems import Rejected

        assert self.file is not None
        try:
            return self.file.caller(self.key)
        except Rejected as refusal:
            raise SpecError(f"{env_names.ASSISTANT_KEY}: {refusal}") from None


def rights(place: Installation, variables: Mapping[str, str]) -> Rights:
    """Return what the assistant that a process was started for may change."""
    key = variables.get(env_names.ASSISTANT_KEY, "")
    if not key:
        return Rights("", None)
    file = place.environment.serving.keys_file
    if not file:
        raise SpecError(
            f"{env_names.ASSISTANT_KEY}: the environment '{place.environment.name}' names no serving.keys_file to "
            "look the key up in; give it one, or leave the variable out to read only"
        )
    from bentos.http.auth import KeyFile

    return Rights(key, KeyFile(Path(file)))
