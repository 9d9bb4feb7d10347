"""The way to MLflow: where it is, what is switched off, and what is said when it does not answer.

Every other module of the registry talks to MLflow inside `connected()`, so an unreachable server is one line
and exit code 1 everywhere. Nothing here knows what a release is.
"""

import contextlib
import getpass
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from feature_repo import env_names
from feature_repo.errors import ServerError, SpecError, shortened

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRACKING_URI = "MLFLOW_TRACKING_URI"
ARTIFACTS = env_names.MLFLOW_ARTIFACTS
DEFAULTS = {
    # MLflow would retry for minutes; a step that fails early and is run again loses nothing.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
SQLITE = "sqlite:///"
PORTS = {"http": 80, "https": 443}
SILENT = re.compile(r"API request to \S+ failed with|Max retries exceeded|Connection (refused|aborted|reset)|timed out")
MEND = "start the server or correct the address, then run again"
CONNECT_S = 5.0
LINE = 200  # characters of a cause that are shown
BROKEN = ("TEMPORARILY_UNAVAILABLE", "PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")


@contextlib.contextmanager
def connected() -> Iterator["MlflowClient"]:
    """Yield a client of the server that the environment names; its failures become one line."""
    uri = os.environ.get(TRACKING_URI, "")
    if not uri:
        raise SpecError(
            f"{TRACKING_URI}: not set; give MLflow's address, as sqlite:////folder/mlflow.db or http://host:5000"
        )
    os.environ.update({name: value for name, value in DEFAULTS.items() if name not in os.environ})
    if uri.startswith(SQLITE):
        Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    _require_listener(uri)
    import mlflow
    import requests
    import sqlalchemy.exc

    _skip_plugin("feast")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield mlflow.MlflowClient(uri)
    except (mlflow.exceptions.MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        if line := _failure(uri, error):
            raise ServerError(line) from error
        raise


def unmade() -> bool:
    """Tell whether the registry is a database on this machine that is not there yet; a look at it would make it."""
    uri = os.environ.get(TRACKING_URI, "")
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()


def experiment_id(client: "MlflowClient", name: str) -> str:
    """Return the id of the recommender's experiment, made on first use where the environment wants artifacts."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=os.environ.get(ARTIFACTS) or None))
        except MlflowException as error:  # another process made it meanwhile
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        raise SpecError(
            f"experiment '{name}' was deleted in MLflow; bring it back with "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or rename the recommender"
        )
    return str(found.experiment_id)


def registered_model(client: "MlflowClient", name: str) -> Any | None:
    """Return a registered model, or None where there is none yet."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def version_tagged(client: "MlflowClient", model: str, tag: str, value: str) -> Any | None:
    """Return the first version of a model whose tag has a value, or None."""
    found = client.search_model_versions(f"name='{model}' and tag.`{tag}`='{value}'")
    return min(found, key=lambda version: int(version.version), default=None)


def user() -> str:
    """Name who runs this, also where the system has no name for the user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _skip_plugin(name: str) -> None:
    """Let MLflow's HTTP client load without another package's plugin.

    Why: Feast registers one for servers behind its own authentication; loading it imports all of Feast, which is ten
    seconds in every step that talks to a server.
    """
    from mlflow.utils import plugins

    everything = plugins.get_entry_points
    plugins.get_entry_points = lambda group: [point for point in everything(group) if point.name != name]
    try:
        import mlflow.tracking.request_header.registry  # noqa: F401  # reads the plugins as it is imported
    finally:
        plugins.get_entry_points = everything


def silent(error: BaseException) -> bool:
    """Tell whether an error means that no server answered."""
    return bool(SILENT.search(str(error)))


def first_line(error: BaseException) -> str:
    """Shorten an error to what a person reads."""
    text = str(error).strip()
    cause = re.search(r"Caused by \w+\([\"']?(.*?)[\"']?\)\)?$", text, flags=re.DOTALL)
    line = (cause.group(1) if cause else text).strip().splitlines()[0]
    return shortened(line, LINE)


def _require_listener(uri: str) -> None:
    """Find out at once, and before MLflow is imported, that no one listens at a server's address."""
    address = urlsplit(uri)
    host, scheme = address.hostname or "", address.scheme
    if scheme not in PORTS or (scheme in getproxies() and not proxy_bypass(host)):
        return
    try:
        socket.create_connection((host, address.port or PORTS[scheme]), timeout=CONNECT_S).close()
    except OSError as error:
        place = f"{TRACKING_URI}={_without_password(uri)}"
        raise ServerError(f"{place}: MLflow does not answer ({error.strerror or error}); {MEND}") from error


def _failure(uri: str, error: BaseException) -> str | None:
    """Say in one line why the server cannot be used, or None where it answered and the request was at fault."""
    text = str(error)
    code = str(getattr(error, "error_code", ""))
    place = f"{TRACKING_URI}={_without_password(uri)}"
    if silent(error):
        return f"{place}: MLflow does not answer ({first_line(error)}); {MEND}"
    broken = code in BROKEN or (code == "INTERNAL_ERROR" and not text.startswith("The following failures occurred"))
    if broken or not code:
        return f"{place}: MLflow refused ({first_line(error)}); mend that, then run again"
    return None


def _without_password(uri: str) -> str:
    """Hide the password of an address.

    >>> _without_password("https://ana:secret@mlflow.example")
    'https://ana:***@mlflow.example'
    """
    return re.sub(r"(://[^/:@]+):[^/@]+@", r"\1:***@", uri)
