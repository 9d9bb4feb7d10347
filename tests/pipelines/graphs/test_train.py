"""The training pipeline compiles to one IR, and its graph is the one that `plan` reasons about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo import env_names
from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.environment import FOLDER, place
from pipelines.environment_spec import Gpu, Kubeflow, Toleration
from pipelines.graphs import index, task_settings
from pipelines.graphs.admission import restored
from pipelines.graphs.compute import Compute
from pipelines.graphs.kfp_pipeline import compile_ir
from pipelines.graphs.parameters import form

GROCERY = spec.load(Path("pipelines/specs/grocery.yaml"))
GOLDEN = Path("tests/golden/pipelines/train.yaml")
# Kubeflow names a task after its component; the step is what logs and `plan` say.
TASKS = {"profiles": "build-profiles"}
AROUND = ("admit", "outcome")
# Where nobody serves and the gates held the candidate back; `plan` cannot know that.
BASELINE = {"baseline-intent", "baseline-ranking", "register-baseline", "materialise-2", "promote-2"}
# They judge a champion, which `plan` cannot know of.
TWIN = {"fetch-twin", "twin-rows", "judge-twin-intent", "judge-twin-ranking"}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ir") / "train.yaml"
    compile_ir(GROCERY, path)
    return path.read_text()


@pytest.fixture(scope="module")
def ir(text: str) -> dict[str, Any]:
    document: dict[str, Any] = next(yaml.load_all(text, yaml.CSafeLoader))
    return document


def test_the_compiled_pipeline_is_the_golden_one(text: str, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN, text)


def _tasks(ir: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every step's task by name, those inside groups too; not the groups, nor the first step and the last."""
    found: dict[str, dict[str, Any]] = {}
    for dag in [ir["root"], *ir["components"].values()]:
        found |= dag.get("dag", {}).get("tasks", {})
    groups = {n for n, t in found.items() if "dag" in ir["components"][t["componentRef"]["name"]]}
    return {name: task for name, task in found.items() if name not in groups and name not in AROUND}


def test_the_graph_is_the_one_that_plan_reasons_about(ir: dict[str, Any]) -> None:
    tasks, reads = _tasks(ir), index.reads()
    names = {step: TASKS.get(step, step.replace("_", "-")) for step in reads}
    assert set(tasks) == set(names.values()) | BASELINE | TWIN | {"need-baseline"}
    groups = {n: g for n, g in ir["components"].items() if "dag" in g}
    for step, (slices, after) in reads.items():
        inputs = tasks[names[step]].get("inputs", {}).get("parameters", {})
        read = {
            one.get("componentInputParameter", one.get("taskOutputParameter", {}).get("outputParameterKey", ""))
            for one in inputs.values()
        }
        read = {name.rpartition("--")[2] for name in read}  # a condition's group names them so
        assert set(slices) <= read, step
        (own,) = [g["dag"]["tasks"] for g in [*groups.values(), ir["root"]] if names[step] in g["dag"]["tasks"]]
        beside = {names[a] for a in after} & set(own)  # those of other groups come before its own group
        assert beside <= set(tasks[names[step]].get("dependentTasks", [])), step


def test_only_steps_without_effects_are_cached(ir: dict[str, Any]) -> None:
    cached = {name for name, task in _tasks(ir).items() if task["cachingOptions"].get("enableCache")}
    assert {"register", "promote", "materialise", "watch", "need-baseline", "register-baseline"} & cached == set()
    assert {
        "baseline-intent",
        "baseline-ranking",
        "ingest",
        "validate",
        "build-profiles",
        "train-intent",
        "train-ranking",
    } <= cached


def test_promotion_stands_behind_the_gates(ir: dict[str, Any]) -> None:
    dags = [component["dag"]["tasks"] for component in ir["components"].values() if "dag" in component]
    behind = {name: task["triggerPolicy"] for dag in dags for name, task in dag.items() if "triggerPolicy" in task}
    inside = {policy["condition"]: set(ir["components"][f"comp-{group}"]["dag"]["tasks"])
              for group, policy in behind.items()}  # fmt: skip
    asked = "inputs.parameter_values['pipelinechannel--{}-Output'] == {}".format
    (nobody,) = [group for group, policy in behind.items() if "need-baseline" in policy["condition"]]
    assert inside == {
        asked("register", "true"): {"refit-intent", "refit-ranking", "register-refit", "materialise", "promote"},
        asked("register", "false"): {"need-baseline", nobody},
        asked("need-baseline", "true"): BASELINE,
    }
    assert set(behind) - {nobody} < set(ir["components"]["comp-release"]["dag"]["tasks"])
    (passed,) = [group for group, policy in behind.items() if policy["condition"] == asked("register", "true")]
    after = {
        name: task["dependentTasks"]
        for name, task in ir["components"][f"comp-{passed}"]["dag"]["tasks"].items()
        if "dependentTasks" in task
    }
    assert after["materialise"] == ["register-refit"]
    assert {"materialise", "register-refit"} <= set(after["promote"])


def test_the_outcome_is_told_however_any_step_of_the_root_ends(ir: dict[str, Any]) -> None:
    tasks = ir["root"]["dag"]["tasks"]
    last = tasks.pop("outcome")
    assert last["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    # Kubeflow runs it as a hook of each of them: one that it does not depend on could fail unheard.
    assert set(last["dependentTasks"]) == set(tasks)
    assert not last["inputs"].get("artifacts")
    assert all("runtimeValue" in one for one in last["inputs"]["parameters"].values())


def test_the_run_form_is_the_spec_itself(ir: dict[str, Any]) -> None:
    declared = ir["root"]["inputDefinitions"]["parameters"]
    assert set(declared) == {"spec", "mode", "note"}
    for name, value in form(GROCERY).items():
        assert declared[name]["defaultValue"] == value
        assert declared[name]["description"]
    again = spec.parse(restored(declared["spec"]["defaultValue"]), place="spec")  # 7.0, as Kubeflow has it, is 7
    assert again.digest == GROCERY.digest


def test_no_address_path_or_secret_is_in_the_ir(text: str) -> None:
    for word in ("sqlite:", "http://", "https://", "redis:", str(Path.cwd()), "/tmp/", "password="):
        assert word not in text


def test_a_key_of_the_environment_is_named_and_never_written(tmp_path: Path) -> None:
    secrets = {
        "INTENTFLOW_PSEUDONYM_KEY": "5ec2e7" * 12,
        "INTENTFLOW_FEAST_REGISTRY": "postgresql://feast:hidden@db/feast",
        "INTENTFLOW_REDIS": "redis:6379,password=hidden",
        "KF_PIPELINES_ENDPOINT": "https://kubeflow.invalid",
    }
    at = place(
        Path("pipelines/specs/grocery.yaml"), "cluster", variables={**secrets, "INTENTFLOW_STATE": str(tmp_path)}
    )
    compile_ir(at.spec, tmp_path / "ir.yaml", kubeflow=at.environment.kubeflow)
    written = (tmp_path / "ir.yaml").read_text()
    assert "secretKey: INTENTFLOW_PSEUDONYM_KEY" in written
    for value in [*secrets.values(), "mlflow:5000", "evidently:8000"]:
        assert value not in written


@pytest.fixture(scope="module")
def pods(text: str) -> dict[str, dict[str, Any]]:
    """What Kubernetes is asked for, by executor."""
    platforms = list(yaml.load_all(text, yaml.CSafeLoader))[1]
    found: dict[str, dict[str, Any]] = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return found


def test_every_step_has_resources_a_deadline_retries_and_labels(
    ir: dict[str, Any], pods: dict[str, dict[str, Any]]
) -> None:
    executors = ir["deploymentSpec"]["executors"]
    assert set(pods) == set(executors)
    for name, executor in executors.items():
        resources = executor["container"]["resources"]
        assert {"resourceCpuRequest", "resourceCpuLimit"} <= set(resources), name
        assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"], name
        assert int(pods[name]["activeDeadlineSeconds"]) >= 900, name
        assert pods[name]["podMetadata"]["labels"]["app.kubernetes.io/part-of"] == "intentflow"
        assert pods[name]["securityContext"]["runAsNonRoot"] is True
    assert executors["exec-train-ranking"]["container"]["resources"]["resourceMemoryLimit"] == "6Gi"  # 2.6 GiB measured
    for name, task in _tasks(ir).items():
        assert task["retryPolicy"]["maxRetryCount"] >= 1, name


def test_variables_come_by_reference_and_may_be_absent(pods: dict[str, dict[str, Any]]) -> None:
    for name, pod in pods.items():
        (config,), (secret,) = pod["configMapAsEnv"], pod["secretAsEnv"]
        assert (config["configMapName"], secret["secretName"]) == ("intentflow", "intentflow")
        assert config["optional"]
        assert secret["optional"]
        assert {pair["envVar"] for pair in config["keyToEnv"]} == set(task_settings.CONFIG_KEYS)
        step = name.removeprefix("exec-").replace("-", "_")
        own = set(task_settings.OF_STEPS.get(step, ()))
        assert {pair["secretKey"] for pair in secret["keyToEnv"]} == {*task_settings.SECRET_KEYS} | own, name


def test_the_steps_that_look_at_the_source_know_who_was_forgotten(
    ir: dict[str, Any], pods: dict[str, dict[str, Any]]
) -> None:
    mounts = {name: pod.get("configMapAsVolume", []) for name, pod in pods.items()}
    for name in ("exec-admit", "exec-ingest"):
        (mount,) = mounts.pop(name)
        assert (mount["configMapName"], mount["optional"]) == ("recommender-forgotten", True)
        env = ir["deploymentSpec"]["executors"][name]["container"]["env"]
        assert {one["name"]: one["value"] for one in env}["INTENTFLOW_FORGOTTEN"] == mount["mountPath"]
    assert not any(mounts.values())


def test_every_variable_that_an_environment_gives_reaches_the_steps_that_read_it(tmp_path: Path) -> None:
    at = place(Path("pipelines/specs/grocery.yaml"), "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    names = {value: f"env_names.{constant}" for constant, value in vars(env_names).items() if constant.isupper()}
    roots = ("components", "monitoring", "feature_repo")
    files = [path for root in roots for path in Path(root).rglob("*.py") if path != Path("feature_repo/env_names.py")]
    code = "\n".join(path.read_text() for path in files)
    read = {name for name in at.variables if f'"{name}"' in code or names.get(name, f'"{name}"') in code}
    assert {"INTENTFLOW_CLOCK", "MLFLOW_TRACKING_URI"} <= read
    fixed = {"INTENTFLOW_HOME", "INTENTFLOW_SPEC_DIR", "INTENTFLOW_FORGOTTEN"}  # places of volumes
    fixed |= {env_names.SPEC_FILE}  # which a cluster has not
    assert read - fixed <= {*task_settings.CONFIG_KEYS, *task_settings.SECRET_KEYS, env_names.SIGNING_KEY}


def test_a_spec_and_an_environment_say_what_steps_get(tmp_path: Path) -> None:
    sizes = {"train_intent": {"gpu": 1, "memory": "16Gi"}, "validate": {"cpu": 4, "minutes": 5}}
    taint = Toleration(key="gpu", operator="Exists", effect="NoSchedule")
    kubeflow = Kubeflow(
        host="",
        image="registry.example/steps-python:7",
        claim="state",
        data_claim="sources",
        image_pull_secrets=["pull"],
        node_selector={"pool": "batch"},
        gpu=Gpu(node_selector={"pool": "gpu"}, tolerations=[taint]),
    )
    compute = Compute.model_validate({"steps": sizes})
    compile_ir(GROCERY, tmp_path / "ir.yaml", kubeflow=kubeflow, compute=compute)
    ir, platforms = yaml.load_all((tmp_path / "ir.yaml").read_text(), yaml.CSafeLoader)
    executors = {name: one["container"] for name, one in ir["deploymentSpec"]["executors"].items()}
    pods = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {one["image"] for one in executors.values()} == {"registry.example/steps-python:7"}
    gpu = executors["exec-train-intent"]["resources"]
    assert (gpu["accelerator"]["resourceType"], gpu["accelerator"]["resourceCount"]) == ("nvidia.com/gpu", "1")
    assert gpu["resourceMemoryLimit"] == "16Gi"
    assert "accelerator" not in executors["exec-train-ranking"]["resources"]
    assert executors["exec-validate"]["resources"]["resourceCpuRequest"] == "4"
    assert pods["exec-validate"]["activeDeadlineSeconds"] == "300"
    assert pods["exec-validate"]["nodeSelector"]["labels"] == {"pool": "batch"}
    assert pods["exec-train-intent"]["nodeSelector"]["labels"] == {"pool": "gpu"}
    (tolerated,) = pods["exec-train-intent"]["tolerations"]
    assert (tolerated["key"], tolerated["operator"], tolerated["effect"]) == ("gpu", "Exists", "NoSchedule")
    assert "tolerations" not in pods["exec-validate"]
    mounts = {mount["mountPath"]: mount["constant"] for mount in pods["exec-ingest"]["pvcMount"]}
    assert mounts == {"/state": "state", "/data": "sources"}
    assert pods["exec-ingest"]["imagePullSecret"][0]["secretName"] == "pull"


@pytest.mark.parametrize(
    ("steps_", "said"),
    [
        ({"train_intnet": {"cpu": 1}}, "no step 'train_intnet'"),
        (
            {"validate": {"gpu": 1}},
            "validate.gpu: this step uses no GPU; "
            "give them to search_intent, train_intent, refit_intent, train_ranking, refit_ranking",
        ),
        ({"validate": {"memory": "6GB"}}, "compute.steps.validate.memory"),
    ],
)
def test_a_mistake_in_compute_is_one_line(steps_: dict[str, Any], said: str, tmp_path: Path) -> None:
    document = yaml.safe_load((FOLDER / "local.yaml").read_text()) | {"compute": {"steps": steps_}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(SpecError) as caught:
        place(Path("pipelines/specs/grocery.yaml"), str(tmp_path / "mine.yaml"), variables={})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
