"""The commands that manifests name, as they are run by test_commands.py: a literal list, held to every render.

A new container, or another word in a command, fails test_pods.py until it stands here, and then is run.
"""

from tests.images.pods import Command

OURS = "intentflow-python:0.1.0"
CUDA, SPARK = "intentflow-python-cuda:0.1.0", "intentflow-python-spark:0.1.0"
HOSTS = "--allowed-hosts=mlflow:5000,mlflow.*.svc:5000,mlflow.*.svc.cluster.local:5000,localhost:*,127.0.0.1:*"
FETCH = (
    "python -m components.registry.fetch $(INTENTFLOW_RELEASE_NAME) $(INTENTFLOW_RELEASE_VERSION) $(INTENTFLOW_RELEASE)"
)
JOB = "python -m pipelines.cli job {} /spec/recommender.yaml --env /environment/environment.yaml"
SERVE = "python -m bentos.launch serve bentos.{} --host 0.0.0.0 --port 3000"


def _row(workload: str, container: str, words: str, image: str = OURS) -> Command:
    return Command(workload, container, image, tuple(words.split()))


MLFLOW = _row(
    "Deployment/mlflow",
    "containers.mlflow",
    "mlflow server --app-name=basic-auth --backend-store-uri=sqlite:////data/mlflow.db"
    f" --artifacts-destination=/data/artifacts --host=0.0.0.0 --port=5000 --workers=1 {HOSTS}",
)
MANAGED = _row(
    "Deployment/mlflow",
    "containers.mlflow",
    f"mlflow server --app-name=basic-auth --host=0.0.0.0 --port=5000 --workers=1 {HOSTS}",
)
ACCOUNTS = _row("Deployment/mlflow", "initContainers.accounts", "python -m components.registry.accounts /auth")
EVIDENTLY = _row(
    "Deployment/evidently",
    "containers.evidently",
    "python -m evidently.cli ui --workspace /data/workspace --host 0.0.0.0 --port 8000",
)
FETCHES = tuple(_row(f"Deployment/{name}", "initContainers.fetch-release", FETCH)
                for name in ("recommender", "intent", "ranking"))  # fmt: skip
DOOR = _row("Deployment/recommender", "containers.recommender", SERVE.format("recommender.service:Recommender"))
INTENT = _row("Deployment/intent", "containers.intent", SERVE.format("intent.service:Intent"))
RANKING = _row("Deployment/ranking", "containers.ranking", SERVE.format("ranking.service:Ranking"))
ROUTER = _row("Deployment/router", "containers.router", "python -m bentos.router")
LOOP = _row(
    "Deployment/reconciler",
    "containers.reconciler",
    "python -m pipelines.cli reconcile /spec/recommender.yaml --watch --env /spec/environment.yaml",
)
MATERIALISE = _row(
    "ConfigMap/recommender-materialise",
    "containers.materialise",
    f"{JOB.format('materialise')} --version $(INTENTFLOW_RELEASE_VERSION)",
)
JOBS = {name: _row(f"CronJob/job-{name}", "containers.job", JOB.format(name))
        for name in ("materialise", "monitor", "score", "compact")}  # fmt: skip
TRAINER = _row("TrainingRuntime/intentflow-torch", "containers.node", "torchrun")  # the step adds what to train
RUN = {
    ACCOUNTS,
    MLFLOW,
    MANAGED,
    EVIDENTLY,
    *FETCHES,
    DOOR,
    INTENT,
    RANKING,
    ROUTER,
    LOOP,
    MATERIALISE,
    *JOBS.values(),
    TRAINER,
}

# Not run, and why.
LEFT = {
    # Each needs what a release has only where its spec asks for it, or a log of weeks; tests/pipelines/jobs and
    # tests/monitoring/quality run them without an image.
    _row("CronJob/job-quality", "containers.job", JOB.format("quality")): "a log whose labels are ripe",
    _row("CronJob/job-audiences", "containers.job", JOB.format("audiences")): "a release with a curve of audiences",
    _row("CronJob/job-digests", "containers.job", JOB.format("digests")): "a spec with digests",
    # The intent service's words are run in the CPU image; there is no GPU, and CUDA's is not built.
    _row("Deployment/intent", "containers.intent", SERVE.format("intent.service:Intent"), CUDA): "no GPU",
    # Both are started by Spark's own operator with arguments of its own, in an image that is not built here.
    _row("SparkApplication/profiles driver", "containers.driver", "", SPARK): "no operator",
    _row("SparkApplication/profiles executor", "containers.executor", "", SPARK): "no operator",
    # Other people's images.
    _row("Deployment/postgres", "containers.postgres", "", "postgres:16.6-alpine"): "not our image",
    _row(
        "Deployment/redis",
        "containers.redis",
        "redis-server --dir /data --appendonly yes --maxmemory 200mb --maxmemory-policy noeviction"
        " --requirepass $(REDISCLI_AUTH)",
        "redis:7.2.7-alpine",
    ): "not our image",
    _row(
        "Deployment/otel-collector",
        "containers.otel-collector",
        "--config=/config/collector.yaml",
        "docker.io/otel/opentelemetry-collector:0.139.0",
    ): "not our image",
}

# Steps of the compiled pipelines, each run by kfp's own executor in the image.
AROUND = {"admit", "outcome"}  # the first step, and what is done however a run ends
# What follows where the gates held a first candidate back; tests/pipelines/runs/test_first_run.py runs it.
HELD_BACK = {
    *("need-baseline", "baseline-intent", "baseline-ranking", "register-baseline", "materialise-2", "promote-2"),
}
STEPS = {
    "train": AROUND
    | {
        *("ingest", "validate", "build-profiles", "training-set", "train-intent", "evaluate-intent"),
        *("train-ranking", "evaluate-ranking", "fetch-twin", "twin-rows"),
        *("judge-twin-intent", "judge-twin-ranking", "register"),
        *("refit-intent", "refit-ranking", "register-refit", "materialise", "promote", "watch"),
    }
    | HELD_BACK,
    "batch": AROUND
    | {
        *("champion", "fetch-release", "ingest", "validate", "newest-rows", "predict-intents", "recommend"),
    },
    # Only on logs of weeks: tests/pipelines/runs/test_policy_run.py runs these.
    "policy": AROUND | {"champion", "policy-log", "learn-policy", "register-policy", "promote"},
}
STEPS["retrain"] = STEPS["train"] | {"decide"}
