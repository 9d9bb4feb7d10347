"""What an environment file says: where servers are, who may ask, where work runs; credentials by reference alone.

A field belongs here when it may differ between two places that run the same spec. `environment.py` reads the file.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bentos.access import Access, problem_of_origin
from components.distributed.settings import Trainer
from feature_repo import env_names
from feature_repo.slice import Slice
from pipelines.graphs.compute import Compute
from pipelines.jobs.spec import Jobs

WARM: Literal["warm"] = "warm"  # how steps of a local run start, by default


class MLflow(Slice):
    """MLflow's server, or its database."""

    tracking_uri: str = Field(description="The server's URL, or that of its database")
    artifacts: str = Field(default="", description="Where new experiments keep artifacts; empty: the server decides")


class Feast(Slice):
    """Feast's registry and online store, in Feast's own words."""

    registry: str | dict[str, Any] = Field(description="A file, or Feast's own mapping")
    online_store: dict[str, Any] = Field(description="Feast's own mapping; type: sqlite, redis or postgres")


class Pseudonyms(Slice):
    """Where the key of the keyed hash of user ids comes from."""

    key_file: str | None = Field(default=None, description="File that holds the key; made on first use")
    key_env: str | None = Field(default=None, description="Variable that holds the key, instead")
    previous_key_file: str | None = Field(default=None, description="While the key is changed: the one before")
    previous_key_env: str | None = Field(default=None, description="The same as a variable")

    @model_validator(mode="after")
    def _one(self) -> "Pseudonyms":
        if (self.key_file is None) == (self.key_env is None):
            raise ValueError("give key_file or key_env, one of them")
        if self.previous_key_file is not None and self.previous_key_env is not None:
            raise ValueError("give previous_key_file or previous_key_env, not both")
        if self.previous_key_file is not None and self.previous_key_file == self.key_file:
            raise ValueError("previous_key_file is the key_file; write the new key to a file of its own")
        return self


class Privacy(Slice):
    """Encryption at rest of event memories and of the services' logs (docs/privacy.md says what is and what is not)."""

    key_env: str | None = Field(
        default=None,
        min_length=1,
        description="Variable that holds the key, 64 hex digits; while it is changed the new one, a comma and the old "
        "one. Left out: nothing is encrypted here",
    )


class Signing(Slice):
    """Who signs releases, and whose releases are loaded (docs/security.md); keys by reference, public ones as they are.

    Left out, releases are neither signed nor asked for a signature.
    """

    key_env: str | None = Field(
        default=None,
        min_length=1,
        description="Variable that holds the private key, 64 hex digits; only who registers releases needs it set",
    )
    public_keys: list[Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]] = Field(
        default=[],
        description="64 hex digits each; a release must be signed with one of them. Empty: nothing is checked",
    )


class Engine(Slice):
    """What computes the features: DuckDB in the step's own process, or Spark past one machine."""

    engine: Literal["duckdb", "spark"] = Field(default="duckdb", description="spark: past one machine")
    spark: dict[str, str] = Field(default={}, description="Spark's own settings, such as spark.master")


class Toleration(Slice):
    """A taint that steps tolerate, in Kubernetes' words."""

    key: str = Field(default="", description="Of the taint; empty: any, with Exists")
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="Exists asks for no value")
    value: str = Field(default="", description="Of the taint")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(default="", description="Empty: any")


class Gpu(Slice):
    """Where steps run that ask for GPUs (`compute` says which do)."""

    resource: str = Field(default="nvidia.com/gpu", description="What Kubernetes calls a GPU here")
    node_selector: dict[str, str] = Field(default={}, description="Beside the others'")
    tolerations: list[Toleration] = Field(default=[], description="Beside the others'")


class Recurring(Slice):
    """A run that comes again. Which there are is the place's matter; what they do is the spec's."""

    pipeline: Literal["train", "batch", "retrain", "policy"] = Field(description="What runs")
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60, description="Unique in the environment")
    cron: str = Field(description="Five fields, or six with seconds first; UTC unless the installation says otherwise")
    max_concurrency: int = Field(default=1, ge=1, le=10, description="Runs of it at a time")
    enabled: bool = Field(default=True, description="False keeps it declared, and quiet")

    @model_validator(mode="after")
    def _known(self) -> "Recurring":
        fields = self.cron.split()
        if len(fields) not in (5, 6) or not all(re.fullmatch(r"[\dA-Za-z*/,?#-]+", field) for field in fields):
            raise ValueError(f"cron '{self.cron}' has not five or six fields, such as '30 2 * * *' for 2:30 every day")
        return self

    @property
    def six(self) -> str:
        """Return the schedule as Kubeflow wants it: six fields, seconds first."""
        fields = self.cron.split()
        return " ".join(fields if len(fields) == 6 else ["0", *fields])


class Kubeflow(Slice):
    """The pipelines API, and what its steps get on the cluster; credentials and config by reference."""

    host: str = Field(pattern=r"^(https?://\S+)?$", description="URL of the pipelines API (or of the UI before it)")
    ui: str = Field(default="", pattern=r"^(https?://\S+)?$", description="What people open; empty: host")
    namespace: str = Field(default="", description="Of a multi-user installation; empty: single-user")
    experiment: str = Field(default="", description="Kubeflow's experiment; empty: the recommender's name")
    image: str = Field(default="", description="Of the steps; empty: the one of this version")
    token_env: str = Field(default="", description="Variable that holds a bearer token")
    token_file: str = Field(default="", description="File that holds a bearer token; read again as it is renewed")
    ca_file: str = Field(default="", description="Certificates to trust for host; empty: the system's usual ones")
    config_map: str = Field(default="intentflow", description="ConfigMap whose keys become the steps' variables")
    secret: str = Field(default="intentflow", description="Secret whose keys become the steps' variables")
    claim: str = Field(default="", description="PersistentVolumeClaim of the state; empty: it lives as long as a pod")
    data_claim: str = Field(default="", description="PersistentVolumeClaim that a spec's relative paths point into")
    image_pull_secrets: list[str] = Field(default=[], description="Secrets of the image's registry")
    node_selector: dict[str, str] = Field(default={}, description="Labels of nodes that steps run on")
    tolerations: list[Toleration] = Field(default=[], description="Taints of nodes that steps may run on")
    gpu: Gpu = Gpu()
    service_account: str = Field(default="", description="Of the runs; empty: the installation's")
    recurring: list[Recurring] = Field(default=[], description="Runs that come again")
    trainer: Trainer | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Kubeflow":
        if self.token_env and self.token_file:
            raise ValueError("give token_env or token_file, not both")
        if self.trainer and not self.claim:
            raise ValueError("trainer needs claim: a volume (ReadWriteMany) that steps share with the job's pods")
        names = [one.name for one in self.recurring]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"recurring: {', '.join(twice)} is there twice; names tell recurring runs apart")
        return self


class Kubernetes(Slice):
    """Which overlay of k8s/overlays a release is written on, and where it is rolled out."""

    overlay: str = Field(default="local", description="Of k8s/overlays")
    namespace: str = Field(
        default="",
        description="Where releases roll out; empty: on this machine, while status and doctor look at the overlay's",
    )
    context: str = Field(default="", description="The kubeconfig's; empty: its current one. Inside a pod: its account")


class Services(Slice):
    """Models as services of their own, for scaling apart; '' has them in the door's process."""

    intent_url: str = Field(default="", pattern=r"^(https?://\S+)?$", description="Of the intent model's service")
    ranking_url: str = Field(default="", pattern=r"^(https?://\S+)?$", description="Of the ranker's service")


class Webhooks(Slice):
    """Where MLflow may call when a champion moves, so that the loop need not wait for its next look."""

    url: str = Field(default="", description="As MLflow reaches the loop, with /mlflow; empty: the loop polls")
    host: str = Field(default="0.0.0.0", description="Address that the loop listens on")
    port: int = Field(default=8085, ge=0, le=65535, description="Where the loop listens")
    secret_env: str = Field(default=env_names.WEBHOOK_SECRET, description="Variable that holds the shared secret")


class Telemetry(Slice):
    """Where services send traces."""

    otlp: str = Field(default="", pattern=r"^(https?://\S+)?$", description="OTLP/HTTP collector's URL for traces")
    share: float = Field(default=1.0, ge=0, le=1, description="Of requests that come without a trace of their own")


class Links(Slice):
    """Addresses of UIs as people's browsers reach them, for the page that a run ends with; empty: no link."""

    mlflow: str = Field(default="", pattern=r"^(https?://\S+)?$", description="MLflow's UI")
    evidently: str = Field(default="", pattern=r"^(https?://\S+)?$", description="Evidently's UI")


class Console(Slice):
    """The console's own settings (docs/console.md): how it asks the service, and whose pictures it shows."""

    url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Of the service, as the console reaches it; empty: the one that runs on this machine",
    )
    key_env: str = Field(
        default="",
        description="Variable that holds the key it asks with; scopes recommend and events, and admin for the lists "
        "that a rule's preview shows",
    )
    picture: str = Field(default="", description="Column of items that holds addresses of pictures; empty: none shown")
    picture_origins: list[str] = Field(
        default=[], description="Whose pictures pages may load: https://img.shop.example; no other address is loaded"
    )

    @model_validator(mode="after")
    def _declared(self) -> "Console":
        for origin in self.picture_origins:
            if problem := problem_of_origin(origin):
                raise ValueError(f"picture_origins: {origin[:60]!r} {problem}")
        if self.picture and not self.picture_origins:
            raise ValueError(
                f"picture: '{self.picture}' is shown from declared origins alone; give picture_origins, such as "
                "[https://img.shop.example]"
            )
        return self


class Requests(Slice):
    """Where services copy closed files of the request log."""

    url: str = Field(default="", description="A folder, or s3://bucket/path, gs://…; empty: they stay where they are")


class Environment(Slice):
    """Addresses, credentials by reference, and how much of the place's machines work may take and keep."""

    name: str = Field(description="As --env names it")
    clock: Literal["wall", "data_end"] = Field(
        default="wall", description="What now is: the moment, or the end of the release's data, for demonstrations"
    )
    mlflow: MLflow
    feast: Feast
    evidently: str = Field(description="Evidently's server, or the folder of its workspace")
    pseudonyms: Pseudonyms
    privacy: Privacy = Privacy()
    signing: Signing = Signing()
    profiles: Engine = Engine()
    runner: Literal["warm", "subprocess"] = Field(
        default=WARM,
        description="How steps of a local run start: `warm` forks each from one process that has imported the "
        "libraries, where the platform can; `subprocess` starts a Python for each",
    )
    kubeflow: Kubeflow | None = None
    kubernetes: Kubernetes = Kubernetes()
    compute: Compute = Compute()
    jobs: Jobs = Jobs()
    webhooks: Webhooks = Webhooks()
    services: Services = Services()
    requests: Requests = Requests()
    telemetry: Telemetry = Telemetry()
    links: Links = Links()
    console: Console = Console()
    serving: Access = Access()
    limits_store: str = Field(default="", description="redis://…, where replicas share the counts of serving.limits")
