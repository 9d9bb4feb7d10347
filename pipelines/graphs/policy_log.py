"""The step that gathers a policy's log: what was shown and what it brought, with one name for each person.

The log is the policy's matter, and who goes by two names while the pseudonyms' key is being changed only the source can
tell; so this step reads both. Its input `data` is the slice that reading the source needs.
"""

import json
import os
from pathlib import Path

from components.data import new_names
from components.data.spec import HORIZON, Data
from components.policy import steps
from feature_repo import env_names
from feature_repo.privacy.new_names import NewNames


def gather(policy: str, release: str, *, data: str, folder: str) -> None:
    """Write what learning reads, without a name."""
    steps.gather(policy, release, folder=folder, names=_names(data))


def _names(data: str) -> NewNames:
    if not os.environ.get(env_names.PREVIOUS_PSEUDONYM_KEYS):
        return NewNames()
    asked = json.loads(data)
    asked.pop(HORIZON, None)
    return new_names.known(Data.model_validate(asked), Path(os.environ.get(env_names.SPEC_DIR, ".")), os.environ)
