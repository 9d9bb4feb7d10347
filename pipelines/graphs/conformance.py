"""One graph on both sides: what the local runner executes and what Kubeflow is given, and what one of them cannot run.

`differences` compares the two graphs; `problems` finds constructs that kfp's local runner or a cluster refuses, or
takes for something else without a word (docs/decisions/pipeline.md). Both read documents, no SDK.

`plan` must not wait for kfp: what was found is on record in checked.json beside this file, under the digest of the code
that makes the pipelines. Only where that code was edited since are they compiled and looked at again, in a process of
its own. `make golden` renews the record.
"""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feature_repo import files
from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError, shortened
from pipelines.graphs import code_digests, index, step_table

RECORD = Path(__file__).with_name("checked.json")
GRAPHS = (
    "batch",
    "conformance",
    "graph",
    "index",
    "kfp_pipeline",
    "policy",
    "retrain",
    "step_table",
    "task_settings",
    "train",
)
MADE_BY = (  # what decides on the pipelines' graphs
    *(f"pipelines/graphs/{name}.py" for name in GRAPHS),
    *dict.fromkeys(f"{row.module.replace('.', '/')}.py" for row in step_table.STEPS.values()),
)
TASK_KEYS = ("dependentTasks", "inputs", "triggerPolicy", "parameterIterator", "artifactIterator")
CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\]")
Document = dict[str, Any]


def require() -> None:
    """Refuse pipelines that do not run alike on both sides, and a step that none has: the first problem, one line."""
    index.require_hung()
    record = files.read_json(RECORD) if RECORD.is_file() else {}
    now = made_by()
    found = record["problems"] if record.get("code") == now else _looked_again(now)
    if found:
        more = f" (and {len(found) - 1} more: python -m pipelines.graphs.conformance)" if len(found) > 1 else ""
        raise SpecError(f"pipelines: {found[0]}{more}")


def made_by() -> str:
    """Digest the code that makes the pipelines."""
    return code_digests.package_digest(*MADE_BY)


def problems(ir: Document) -> list[str]:
    """Name every construct of an IR that one side cannot run: the place, what it is, and what to write instead."""
    executors = ir.get("deploymentSpec", {}).get("executors", {})
    found = [*_parameters(ir["root"]), *(line for name, one in executors.items() for line in _executor(name, one))]
    for place, dag, inputs in _dags(ir):
        found += _selectors(place, dag)
        for name, task in dag["tasks"].items():
            found += [*_condition(name, task, inputs, ir), *_loop(name, task, dag)]
    return found


def differences(local: Document, ir: Document) -> list[str]:
    """Name what the local run's graph and an IR do not have in common, one line each."""
    ours, theirs = dict(_flat(local)), dict(_flat(ir))
    places = sorted(ours.keys() | theirs.keys())
    return [
        f"{place}: {_short(ours.get(place))} locally, {_short(theirs.get(place))} in the IR"
        for place in places
        if ours.get(place) != theirs.get(place)
    ]


def _flat(ir: Document) -> Iterator[tuple[str, Any]]:
    """Yield by place: what is asked of a pipeline, what a component takes and gives, and how each task hangs."""
    executors = ir["deploymentSpec"]["executors"]
    for name, component in {"root": ir["root"], **ir["components"]}.items():
        for side in ("inputDefinitions", "outputDefinitions"):
            for kind, entries in component.get(side, {}).items():
                for key, entry in entries.items():
                    shown = {k: v for k, v in entry.items() if k not in ("defaultValue", "description")}
                    yield f"{name}.{side}.{kind}.{key}", shown
        if label := component.get("executorLabel"):
            container = executors[label].get("container", {})
            yield f"{name}.runs", [*container.get("command", []), *container.get("args", [])]
        for task, found in component.get("dag", {}).get("tasks", {}).items():
            at = f"{name}.tasks.{task}"
            yield f"{at}.component", found["componentRef"]["name"]
            yield f"{at}.cached", bool(found.get("cachingOptions", {}).get("enableCache"))
            yield from ((f"{at}.{key}", found[key]) for key in TASK_KEYS if key in found)
        if outputs := component.get("dag", {}).get("outputs"):
            yield f"{name}.outputs", outputs


def _dags(ir: Document) -> Iterator[tuple[str, Document, Document]]:
    """Yield (name, dag, its input definitions) of the root and of every group."""
    for name, component in {"root": ir["root"], **ir.get("components", {})}.items():
        if "dag" in component:
            yield name, component["dag"], component.get("inputDefinitions", {}).get("parameters", {})


def _parameters(root: Document) -> Iterator[str]:
    for name, entry in root.get("inputDefinitions", {}).get("parameters", {}).items():
        if entry.get("isOptional") and "defaultValue" not in entry:
            yield (
                f"parameter '{name}': optional without a default, which the local runner cannot leave unset; "
                "give it a default such as '' or -1"
            )


def _executor(name: str, executor: Document) -> Iterator[str]:
    step = name.removeprefix("exec-")
    if importer := executor.get("importer"):
        uri = importer.get("artifactUri", {}).get("constant", "")
        side = "this machine" if "://" in uri else "a cluster's pod"
        if uri:
            yield f"step '{step}': imports {uri}, which {side} does not see; read it in a component, by environment"
    elif "--function_to_execute" not in executor.get("container", {}).get("args", []):
        yield f"step '{step}': a container component, which the local runner cannot run; write a Python component"


def _selectors(place: str, dag: Document) -> Iterator[str]:
    for name, output in dag.get("outputs", {}).get("artifacts", {}).items():
        if len(output.get("artifactSelectors", [])) > 1:
            yield (
                f"group '{place.removeprefix('comp-')}': OneOf over artifacts ('{name}'), which the local runner "
                "cannot resolve; choose by a parameter, or let one component choose"
            )


def _condition(name: str, task: Document, inputs: Document, ir: Document) -> Iterator[str]:
    condition = task.get("triggerPolicy", {}).get("condition", "")
    given = task.get("inputs", {}).get("parameters", {})
    declared = ir["components"][task["componentRef"]["name"]].get("inputDefinitions", {}).get("parameters", {})
    for channel in dict.fromkeys(CONDITION.findall(condition)):
        kind = (declared.get(channel) or inputs.get(channel) or {}).get("parameterType")
        if kind == "STRING":
            yield (
                f"condition '{_called(name, task)}': compares the text {channel.removeprefix('pipelinechannel--')}; a "
                "quote or line break in it makes the local runner skip every branch; compare a bool or a number"
            )
        key = given.get(channel, {}).get("taskOutputParameter", {}).get("outputParameterKey", "Output")
        if key != "Output":
            yield (
                f"condition '{_called(name, task)}': reads the output '{key}', which the local runner takes for false; "
                "return the value"
            )


def _loop(name: str, task: Document, dag: Document) -> Iterator[str]:
    """Find loops whose results are collected and that may run over nothing."""
    iterator = task.get("parameterIterator") or task.get("artifactIterator")
    if iterator is None or not _collected(name, dag):
        return
    raw = iterator.get("items", {}).get("raw")
    if raw is None or json.loads(raw) == []:
        yield (
            f"loop '{_called(name, task)}': its results are collected, and the list may be empty, which ends a local "
            "run; loop over a fixed list, or gather inside one component"
        )


def _collected(name: str, dag: Document) -> bool:
    """Tell whether a task of the group, or the group itself, reads what a loop gives."""
    readers = [other.get("inputs", {}) for other in dag["tasks"].values()] + [dag.get("outputs", {})]
    return any(f'"{name}"' in json.dumps(reader) for reader in readers)


def _called(name: str, task: Document) -> str:
    return str(task.get("taskInfo", {}).get("name", name))


def _short(value: Any, limit: int = 100) -> str:
    return shortened("nothing" if value is None else json.dumps(value, sort_keys=True), limit)


def examined() -> list[str]:
    """Build every pipeline, for here and for a cluster, and name all problems; needs kfp."""
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

    from pipelines.environment_spec import Kubeflow
    from pipelines.graphs import task_settings
    from pipelines.graphs.compute import Compute

    found = []
    for name, pipeline in index.PIPELINES.items():
        here = pipeline.build()
        with task_settings.given(task_settings.Platform("any", Compute(), Kubeflow(host=""))):
            there = pipeline.build()
        local, ir = (MessageToDict(one.pipeline_spec) for one in (here, there))
        found += [f"{name}: {line}" for line in [*problems(ir), *differences(local, ir)]]
    return found


@functools.cache
def _looked_again(_made_by: str) -> list[str]:
    """Examine the pipelines in a process of its own, since this one must not import kfp; once for the same code."""
    command = [sys.executable, "-m", "pipelines.graphs.conformance"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 2):
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [f"they cannot be built: {last}"]
    return done.stdout.splitlines()


def main() -> int:
    """Print the problems, one a line."""
    found = examined()
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main())
