"""The stores of requests and artifacts, where the environment names them: whether they can be listed."""

from feature_repo.logs import object_store
from pipelines.server_checks.check import Check, bare, words


def store(name: str, address: str) -> list[Check]:
    """Look whether the folder or prefix can be read."""
    shown = bare(address).partition("?")[0]
    try:
        found = object_store.opened(address)
        (info,) = found.system.get_file_info([found.base])
    except (OSError, ValueError) as error:  # arrow's errors are of these two kinds
        mend = "start the store, export its credentials, or mend the address"
        return [Check(name, False, f"{shown} cannot be read ({words(error)}); {mend}")]
    there = "" if info.type.name != "NotFound" else ", nothing is in it yet"
    return [Check(name, True, f"{shown} can be read{there}")]
