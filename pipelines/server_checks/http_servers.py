"""MLflow and Evidently, asked by HTTP: whether they answer, which version, whether experiments can be read."""

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from pipelines.server_checks.check import TIMEOUT_S, Check, bare

MEND = "start it, forward its port, or mend the environment"
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"


def evidently(url: str) -> list[Check]:
    """Ask whether it answers."""
    answer = _asked("evidently", url)
    return [answer if isinstance(answer, Check) else Check("evidently", True, f"{bare(url)} answers")]


def mlflow(url: str, variables: Mapping[str, str]) -> list[Check]:
    """Ask for its version and for an experiment, as the person whose credentials the variables hold."""
    version = _asked("mlflow", f"{url.rstrip('/')}/version", variables)
    if isinstance(version, Check):
        return [version]
    experiments = _asked("mlflow", url.rstrip("/") + EXPERIMENTS, variables)
    if isinstance(experiments, Check):
        return [experiments]
    theirs, ours = version.text.strip()[:40], importlib.metadata.version("mlflow")
    if _minor(theirs) != _minor(ours):
        return [
            Check("mlflow", False, f"{bare(url)} runs {theirs}, this client {ours}; install the same on both sides")
        ]
    return [Check("mlflow", True, f"{bare(url)} runs {theirs}, experiments can be read")]


def _asked(name: str, url: str, variables: Mapping[str, str] | None = None) -> Any:
    """Return the answer, or the failed check that stands for it."""
    import requests

    at = bare(url)
    try:
        answer = requests.get(url, timeout=TIMEOUT_S, **_credentials(variables or {}))
    except requests.RequestException as error:
        return Check(name, False, f"{at} does not answer ({type(error).__name__}); {MEND}")
    if answer.status_code in (401, 403):
        how = "set MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN" if name == "mlflow" else "ask for access"
        return Check(name, False, f"{at} does not let this account in ({answer.status_code}); {how}")
    # Evidently's page may be anywhere; what MLflow is asked for must be there.
    if answer.status_code >= (400 if name == "mlflow" else 500):
        return Check(
            name, False, f"{at} answers with {answer.status_code}; its log says why, or the address is another's"
        )
    return answer


def _credentials(variables: Mapping[str, str]) -> dict[str, Any]:
    if token := variables.get("MLFLOW_TRACKING_TOKEN"):
        return {"headers": {"Authorization": f"Bearer {token}"}}
    user, password = (variables.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    return {"auth": (user, password)} if user else {}


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
