"""MLflow's webhook that says at once that a champion was moved, where the server has webhooks and lets us make one.

Who receives it is `pipelines/rollout/webhooks.py`. Deliveries may be lost (MLflow keeps them in memory), so the loop
looks at the registry by itself all the same.
"""

import os
from urllib.parse import urlsplit

from components.registry import client as mlflow_client
from components.registry.release import model_name

EVENT = "model_version_alias.created"  # moving an alias sends this one too
LISTED = 100


def ensure_webhook(name: str, url: str, *, secret: str) -> str:
    """Have MLflow call `url` when an alias of <name>-release moves; return '' or why it does not."""
    tracking = os.environ.get(mlflow_client.TRACKING_URI, "")
    if urlsplit(tracking).scheme not in mlflow_client.PORTS:
        return "MLflow is a database here, and only its server has webhooks"
    from mlflow.exceptions import MlflowException

    called = f"intentflow-{model_name(name)}"
    with mlflow_client.connected() as client:
        try:
            found = [hook for hook in client.list_webhooks(max_results=LISTED) if hook.name == called]
            if found:
                client.update_webhook(found[0].webhook_id, url=url, events=[EVENT], secret=secret, status="ACTIVE")
            else:
                client.create_webhook(called, url, [EVENT], secret=secret)
        except MlflowException as error:
            if mlflow_client.silent(error):
                raise
            return f"MLflow makes no webhook to {url} ({mlflow_client.first_line(error)})"
    return ""
