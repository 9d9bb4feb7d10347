"""Every environment variable of ours by name, once: what steps, services, routers and the command line read.

Values come from the environment file (pipelines/environment.py) on a laptop, from ConfigMaps and Secrets on a cluster.
"""

# Where things are
STATE = "INTENTFLOW_STATE"  # folder of all recommenders' state on this machine
HOME = "INTENTFLOW_HOME"  # one recommender's state folder
SPEC_DIR = "INTENTFLOW_SPEC_DIR"  # relative paths of a spec start here
SPEC_FILE = "INTENTFLOW_SPEC_FILE"  # the spec of a run on this machine, for proposals
FORGOTTEN = "INTENTFLOW_FORGOTTEN"  # folder with the names of tombstones
EVIDENTLY = "INTENTFLOW_EVIDENTLY"
EVIDENTLY_SECRET = "INTENTFLOW_EVIDENTLY_SECRET"
FEAST = "INTENTFLOW_FEAST"  # JSON of Feast's stores
MLFLOW_ARTIFACTS = "INTENTFLOW_MLFLOW_ARTIFACTS"
SPARK = "INTENTFLOW_SPARK"
CHECKPOINTS = "INTENTFLOW_CHECKPOINTS"  # folder of trainings' checkpoints, where it is not that of the state folder
TRAINER = "INTENTFLOW_TRAINER"  # JSON of components/distributed/settings.py
SEARCH_STORAGE = "INTENTFLOW_SEARCH_STORAGE"  # database of searches, a SQLAlchemy address; empty: a journal
PROFILES_ENGINE = "INTENTFLOW_PROFILES_ENGINE"
OTLP = "INTENTFLOW_OTLP"
OTLP_SHARE = "INTENTFLOW_OTLP_SHARE"
LLM = "INTENTFLOW_LLM"  # JSON of components/content/llm/settings.py: the endpoint that writes texts
LLM_KEY = "INTENTFLOW_LLM_KEY"  # what it asks of callers
ALERT_URL = "INTENTFLOW_ALERT_URL"
METRICS = "INTENTFLOW_METRICS"

# A run
COMMIT = "INTENTFLOW_COMMIT"  # that an image was built of
RUN = "INTENTFLOW_RUN"  # Kubeflow's id of the run
ALONE = "INTENTFLOW_ALONE"  # set where the pods of a run share no folder
ERROR_FILE = "INTENTFLOW_ERROR_FILE"
PROGRESS_FILE = "INTENTFLOW_PROGRESS_FILE"
LINKS = "INTENTFLOW_LINKS"  # JSON of monitoring/runs/page.py's Links: addresses that browsers reach
CLOCK = "INTENTFLOW_CLOCK"  # wall or data_end
PROCESS = "INTENTFLOW_PROCESS"  # marks processes that `up` started

# People
PSEUDONYM_KEY = "INTENTFLOW_PSEUDONYM_KEY"
PREVIOUS_PSEUDONYM_KEYS = "INTENTFLOW_PREVIOUS_PSEUDONYM_KEYS"
DATA_KEYS = "INTENTFLOW_DATA_KEYS"  # that encrypt event memories and logs at rest, the newest first

# Releases
SIGNING_KEY = "INTENTFLOW_SIGNING_KEY"  # private, of who registers
VERIFY_KEYS = "INTENTFLOW_VERIFY_KEYS"  # public, separated by commas: whose releases are loaded

# Accounts of the MLflow server that pods share (components/registry/accounts.py)
MLFLOW_WRITER = "INTENTFLOW_MLFLOW_WRITER"
MLFLOW_WRITER_PASSWORD = "INTENTFLOW_MLFLOW_WRITER_PASSWORD"
MLFLOW_READER = "INTENTFLOW_MLFLOW_READER"
MLFLOW_READER_PASSWORD = "INTENTFLOW_MLFLOW_READER_PASSWORD"

# Services
RELEASE = "INTENTFLOW_RELEASE"  # folder of the release that a door serves
RELEASE_ID = "INTENTFLOW_RELEASE_ID"
RELEASE_NAME = "INTENTFLOW_RELEASE_NAME"
RELEASE_VERSION = "INTENTFLOW_RELEASE_VERSION"
INTENT_VERSION = "INTENTFLOW_INTENT_VERSION"
RANKING_VERSION = "INTENTFLOW_RANKING_VERSION"
SERVING = "INTENTFLOW_SERVING"  # JSON of bentos/access.py
INTENT_URL = "INTENTFLOW_INTENT_URL"
RANKING_URL = "INTENTFLOW_RANKING_URL"
LIMITS_STORE = "INTENTFLOW_LIMITS_STORE"
REQUESTS_URL = "INTENTFLOW_REQUESTS_URL"  # where closed files of the request log and the event log go
LOGS_KEEP_BYTES = "INTENTFLOW_LOGS_KEEP_BYTES"  # of these, where that is a folder: the oldest go beyond it
DOORS = "INTENTFLOW_DOORS"  # folder of a shared volume with the state folders of all doors, by pod
DOOR_WORKERS = "INTENTFLOW_DOOR_WORKERS"  # processes of one door; left out: one for each core that it may use
DOOR_PORTS = "INTENTFLOW_DOOR_PORTS"  # loopback ports, with commas: one for each of these processes
DOOR_SHARED = "INTENTFLOW_DOOR_SHARED"  # folder of what these processes share while they run; launch.py makes it
SHADOW_TOKEN = "INTENTFLOW_SHADOW_TOKEN"
WEBHOOK_SECRET = "INTENTFLOW_WEBHOOK_SECRET"
ROUTES = "INTENTFLOW_ROUTES"  # file that says where a router sends requests
FIRST_ROUTES = "INTENTFLOW_FIRST_ROUTES"  # file that says so until there is that one
ROUTER_HOST = "INTENTFLOW_ROUTER_HOST"
ROUTER_PORT = "INTENTFLOW_ROUTER_PORT"
ROUTER_ADMIN_PORT = "INTENTFLOW_ROUTER_ADMIN_PORT"
ROUTER_TIMEOUT_S = "INTENTFLOW_ROUTER_TIMEOUT_S"
ROUTER_PATIENCE_S = "INTENTFLOW_ROUTER_PATIENCE_S"
ROUTER_DRAIN_S = "INTENTFLOW_ROUTER_DRAIN_S"
ROUTER_POPULAR_S = "INTENTFLOW_ROUTER_POPULAR_S"
FORWARDED_ALLOW_IPS = "FORWARDED_ALLOW_IPS"  # uvicorn's name: proxies whose X-Forwarded-For is believed
ROUTER_SCRATCH = "INTENTFLOW_ROUTER_SCRATCH"  # folder of what a restarted router may read again
