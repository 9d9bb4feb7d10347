"""A search as a Katib Experiment (`kubeflow.org/v1beta1`) whose trials are TrainJobs, for clusters that have Katib.

Only a document is made here; nothing is sent anywhere. Katib's API takes unknown keys without a word, so a test holds
every key to its published models, and the TrainJob within to its own.

Spaces differ a little: Katib asks for every field in each trial, and a trial passes over those that its architecture
does not read. Trials take turns on the algorithm `tpe`, and `medianstop` ends those that are behind.
"""

import json
from collections.abc import Mapping
from typing import Any

from components.distributed import trainjob
from components.distributed.settings import Trainer
from components.intent import search_space
from components.intent.search.result import METRIC
from components.intent.search.study import FIRST_PRUNED
from components.intent.search_space import Range, Search
from components.intent.spec import IntentModel
from components.kube_api import Object

API, KIND = "kubeflow.org/v1beta1", "Experiment"
CONTAINER = "node"  # of the runtime's pods (k8s/components/trainer/runtime.yaml)
POD = {"jobset.sigs.k8s.io/replicatedjob-name": CONTAINER}  # label of the pods that train
ENDED = 'status.conditions.#(type=="{}")#|#(status=="True")#'  # GJSON, of a TrainJob
MOST_FAILED = 3  # trials, before the experiment is given up
MODULE = "components.intent.search"


def experiment(
    name: str,
    model: IntentModel,
    *,
    intents: str,
    ranking_weeks: int,
    rows: str,
    settings: Trainer,
    namespace: str = "",
    parallel: int = 2,
) -> Object:
    """Return the Experiment of a spec's search; `rows` is the folder of `training_set` as the runtime's pods see it."""
    search = model.search
    assert search is not None, "a spec without a search has no experiment"
    slices = {
        "intents": intents,
        "model": json.dumps(model.model_dump(mode="json"), separators=(",", ":"), sort_keys=True),
        "ranking-weeks": str(ranking_weeks),
        "rows": rows,
    }
    return {
        "apiVersion": API,
        "kind": KIND,
        "metadata": {
            "name": name,
            **({"namespace": namespace} if namespace else {}),
            "labels": {f"app.kubernetes.io/{key}": value for key, value in _LABELS.items()},
        },
        "spec": {
            "objective": {
                "type": "minimize",
                "objectiveMetricName": METRIC,
                "metricStrategies": [{"name": METRIC, "value": "latest"}],  # the last line is the calibrated model's
            },
            "algorithm": {
                "algorithmName": "tpe",
                "algorithmSettings": _settings(random_state=model.seed),
            },
            "earlyStopping": {
                "algorithmName": "medianstop",
                "algorithmSettings": _settings(min_trials_required=FIRST_PRUNED, start_step=2),
            },
            "maxTrialCount": search.trials,
            "parallelTrialCount": min(parallel, search.trials),
            "maxFailedTrialCount": min(MOST_FAILED, search.trials),
            "resumePolicy": "LongRunning",  # more trials can be asked for later
            "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
            "parameters": [_parameter(one, search) for one in search.space],
            "trialTemplate": {
                "retain": False,
                "primaryContainerName": CONTAINER,
                "primaryPodLabels": dict(POD),
                "successCondition": ENDED.format("Complete"),
                "failureCondition": ENDED.format("Failed"),
                "trialParameters": [
                    {"name": _called(one), "reference": one, "description": f"models.intent.{one}"}
                    for one in search.space
                ],
                "trialSpec": _job(slices, search, settings),
            },
        },
    }


_LABELS = {"name": "search", "component": "training", "part-of": "intentflow"}


def _settings(**values: Any) -> list[dict[str, str]]:
    return [{"name": key, "value": str(value)} for key, value in values.items()]


def _called(name: str) -> str:
    """Return a field's name as a placeholder may hold it.

    >>> _called("trees.learning_rate")
    'trees-learning-rate'
    """
    return name.replace(".", "-").replace("_", "-")


def _parameter(name: str, search: Search) -> Object:
    """Return a field's space, in Katib's words: every number is a text there."""
    given = search.space[name]
    if not isinstance(given, Range):
        return {
            "name": name,
            "parameterType": "categorical",
            "feasibleSpace": {"list": [search_space.text(one) for one in given]},
        }
    step = search_space.step_of(search_space.fields(IntentModel)[name])
    space = {"min": f"{given.low:g}", "max": f"{given.high:g}"}
    if step:
        space = {"min": str(int(given.low)), "max": str(int(given.high)), "step": str(step)}
    if given.log:
        space["distribution"] = "logUniform"
        space.pop("step", None)
    return {"name": name, "parameterType": "int" if step else "double", "feasibleSpace": space}


def _job(slices: Mapping[str, str], search: Search, settings: Trainer) -> Object:
    """Return a trial's TrainJob: one process on one node, since trials are many and a model is small."""
    words = [word for key, value in slices.items() for word in (f"--{key}", value.replace("$(", "$$("))]
    words += [word for one in search.space for word in ("--set", f"{one}=${{trialParameters.{_called(one)}}}")]
    return trainjob.document(
        settings.model_copy(update={"nodes": 1, "processes": 1, "gpus": min(settings.gpus, 1)}),
        command=["python"],
        arguments=["-m", MODULE, *words],
        environment={},
    )
