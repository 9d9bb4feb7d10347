#!/bin/sh
# Make the small cluster's secrets, once, and print what this machine needs of them as `export` lines:
#   eval "$(sh k8s/overlays/local/secrets.sh)"
# A second run makes nothing and prints the same. No value is written to a file.
set -eu
kube() { kubectl --namespace intentflow "$@"; }
random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
field() { kube get secret "$1" -o "jsonpath={.data.$2}" | base64 -d; }
made() { kube get secret "$1" >/dev/null 2>&1; }

made redis || kube create secret generic redis --from-literal=password="$(random 24)" >&2
made postgres || kube create secret generic postgres --from-literal=password="$(random 24)" >&2
REDIS_PASSWORD=$(field redis password)
POSTGRES_PASSWORD=$(field postgres password)
FEAST='{"registry": {"registry_type": "sql", "path": "postgresql+psycopg://feast:'$POSTGRES_PASSWORD'@postgres:5432/feast",
       "cache_ttl_seconds": 60},
       "online_store": {"type": "redis", "connection_string": "redis:6379,password='$REDIS_PASSWORD'"}}'
# The key hashes user ids: pipelines and the service must share it.
made recommender || kube create secret generic recommender --from-literal=INTENTFLOW_FEAST="$FEAST" \
  --from-literal=INTENTFLOW_PSEUDONYM_KEY="$(random 32)" --from-literal=INTENTFLOW_SHADOW_TOKEN="$(random 32)" >&2
KEY=$(field recommender INTENTFLOW_PSEUDONYM_KEY)
# MLflow's accounts: the loop, jobs and people write, doors read; and the key of its forms.
for role in writer reader; do
  made "mlflow-$role" || kube create secret generic "mlflow-$role" --from-literal=MLFLOW_TRACKING_USERNAME="$role" \
    --from-literal=MLFLOW_TRACKING_PASSWORD="$(random 24)" >&2
done
made mlflow-server || kube create secret generic mlflow-server \
  --from-literal=MLFLOW_FLASK_SERVER_SECRET_KEY="$(random 32)" >&2
# What the environments of components/jobs, materialise and reconciler name.
for name in jobs materialise reconciler; do
  made "$name" || kube create secret generic "$name" --from-literal=INTENTFLOW_PSEUDONYM_KEY="$KEY" \
    --from-literal=INTENTFLOW_REDIS="redis:6379,password=$REDIS_PASSWORD" \
    --from-literal=INTENTFLOW_FEAST_REGISTRY="postgresql+psycopg://feast:$POSTGRES_PASSWORD@postgres:5432/feast" >&2
done
echo "export REDIS_PASSWORD=$REDIS_PASSWORD POSTGRES_PASSWORD=$POSTGRES_PASSWORD"
echo "export INTENTFLOW_PSEUDONYM_KEY=$KEY"
echo "export MLFLOW_TRACKING_USERNAME=$(field mlflow-writer MLFLOW_TRACKING_USERNAME)"
echo "export MLFLOW_TRACKING_PASSWORD=$(field mlflow-writer MLFLOW_TRACKING_PASSWORD)"
