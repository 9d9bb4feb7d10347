#!/bin/sh
# Complete on a cluster what `intentflow forget SPEC --users-file IDS` did: bring the names of the tombstones to the pods
# that read the source, and take the people out of the logs that lie in doors' pods and on the volume of their logs.
#   sh k8s/forget.sh STATE_FOLDER IDS [NAMESPACE]      as: sh k8s/forget.sh .intentflow/grocery ids.txt
# Safe to repeat. Every door is found by its labels, whoever made it. IDS has one user id a line.
set -eu
[ $# -ge 2 ] && [ -d "$1" ] && [ -f "$2" ] || { echo "usage: sh k8s/forget.sh STATE_FOLDER IDS [NAMESPACE]" >&2; exit 2; }
state=$1 ids=$2 namespace=${3:-intentflow} left=0
kube() { kubectl --namespace "$namespace" "$@"; }
names=$(mktemp -d)
trap 'rm -rf "$names"' EXIT
for tombstone in "$state"/forgotten/*-*.json; do
  [ -e "$tombstone" ] && echo '{}' > "$names/${tombstone##*/}"  # the names alone
done
kube create configmap recommender-forgotten --from-file="$names" --dry-run=client -o yaml | kube apply -f -
doors=$(kube get pods --selector app.kubernetes.io/component=serving --field-selector status.phase=Running \
  -o 'jsonpath={range .items[*]}{.metadata.name} {.spec.containers[*].name}{"\n"}{end}' | awk '{ for (n = 2; n <= NF; n++) if ($n == "recommender") print $1 }')
for pod in $doors; do
  printf '%s ' "$pod"
  kube exec -i "$pod" --container recommender -- python -m bentos.recommender.logs.forget < "$ids" || left=1
done
if kube get persistentvolumeclaim recommender-state >/dev/null 2>&1 && [ -n "$doors" ]; then
  # Folders of pods that are gone are on the claim too: one pod of the door's image looks at all of them.
  image=$(kube get pod "${doors%%[!a-z0-9-]*}" -o 'jsonpath={.spec.containers[?(@.name=="recommender")].image}')
  printf 'claim recommender-state '
  kube run forget-logs --rm --stdin --quiet --restart=Never --image="$image" --overrides='{"apiVersion": "v1", "spec": {
    "automountServiceAccountToken": false,
    "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
      "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "forget-logs", "image": "'"$image"'", "stdin": true, "stdinOnce": true,
      "command": ["python", "-m", "bentos.recommender.logs.forget", "/logs"],
      "env": [{"name": "INTENTFLOW_PSEUDONYM_KEY",
        "valueFrom": {"secretKeyRef": {"name": "recommender", "key": "INTENTFLOW_PSEUDONYM_KEY"}}},
        {"name": "INTENTFLOW_PREVIOUS_PSEUDONYM_KEYS", "valueFrom": {"secretKeyRef": {"name": "recommender",
          "key": "INTENTFLOW_PREVIOUS_PSEUDONYM_KEYS", "optional": true}}},
        {"name": "INTENTFLOW_DATA_KEYS", "valueFrom": {"secretKeyRef": {"name": "recommender",
          "key": "INTENTFLOW_DATA_KEYS", "optional": true}}}],
      "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true},
      "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
      "volumeMounts": [{"name": "logs", "mountPath": "/logs"}, {"name": "scratch", "mountPath": "/tmp"}]}],
    "volumes": [{"name": "logs", "persistentVolumeClaim": {"claimName": "recommender-state"}},
      {"name": "scratch", "emptyDir": {}}]}}' < "$ids" || left=1
fi
[ -n "$doors" ] || echo "no door is running: nothing was looked at in pods" >&2
exit $left
