"""What the kubelet makes of a rendered pod: its containers' words, variables, files and limits, as podman's arguments.

Pure: rendered objects and secrets go in, values come out. cluster.py acts on them. What it does not know (a volume of
another kind, a field that no manifest here uses) it refuses rather than leaves out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.manifests.objects import Object, Workload, quantity, title, workloads
from tests.k8s import pod_security

Texts = Mapping[str, str]
REFERENCE = re.compile(r"\$\$|\$\((\w[\w.-]*)\)")
ROOT_CA = {"kube-root-ca.crt": {"ca.crt": ""}}  # every namespace has it
TOKEN = "token-of-{account}"


@dataclass(frozen=True)
class Command:
    """One container that a manifest names, with its words as they stand there."""

    workload: str
    container: str
    image: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What is behind a mount: a folder by a name of its own, with files that the kubelet writes, or memory."""

    name: str = ""  # claims have their own, whichever pod mounts them
    files: Texts | None = field(default=None, hash=False)
    memory: int | None = None  # bytes
    limit: int | None = None  # bytes that containers may write


@dataclass(frozen=True)
class Mount:
    """One folder of a container."""

    target: str
    source: Source
    read_only: bool = False
    below: str = ""  # a folder of the source


@dataclass(frozen=True)
class Container:
    """A container as the kubelet would start it."""

    image: str
    command: tuple[str, ...]  # in place of the image's entry point, where there is one
    args: tuple[str, ...]
    variables: Texts
    mounts: tuple[Mount, ...]
    user: str
    groups: tuple[str, ...]
    cpus: str
    memory: int

    def words(self, folders: Mapping[str, str]) -> list[str]:
        """Return podman's arguments after the network's; `folders` says where a source's folder is.

        Podman would give a read-only container writable folders that no pod has, and half of the host's groups.
        """
        options = [
            *("--user", self.user, "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"),
            *("--security-opt", "no-new-privileges", "--memory", str(self.memory), "--cpus", self.cpus),
            *(word for group in self.groups for word in ("--group-add", group)),
            *(word for key, value in self.variables.items() for word in ("--env", f"{key}={value}")),
        ]
        for mount in self.mounts:
            if mount.source.memory is not None:
                options += ["--tmpfs", f"{mount.target}:rw,mode=1777,size={mount.source.memory}"]
                continue
            below = f"/{mount.below}" if mount.below else ""
            options += ["--volume", f"{folders[mount.source.name]}{below}:{mount.target}:{_mode(mount)}"]
        entry = ["--entrypoint", self.command[0]] if self.command else []
        return [*options, *entry, self.image, *self.command[1:], *self.args]


def with_image(container: Container, image: str) -> Container:
    """Return a container of another image: the tag that was built here."""
    return replace(container, image=image)


def _mode(mount: Mount) -> str:
    return "ro" if mount.read_only else "rw"


@dataclass(frozen=True)
class Namespace:
    """What pods are made of: the objects of a render, and secrets by name."""

    objects: Sequence[Object]
    secrets: Mapping[str, Texts]
    name: str = "intentflow"
    more: Mapping[str, Texts] = field(default_factory=lambda: ROOT_CA)  # ConfigMaps that no manifest brings

    def workload(self, name: str) -> Workload:
        """Return the object that makes pods, by its title, such as Deployment/mlflow."""
        (found,) = [made for made in workloads(list(self.objects)) if made.name == name]
        return found

    def container(self, workload: Workload, name: str, *, pod: str) -> Container:
        """Return one container of a workload's pod `pod`."""
        spec = workload.pod
        (found,) = [one for _, one in pod_security.containers(spec) if one["name"] == name]
        variables = self.variables(workload, found, pod=pod)
        context, limits = spec.get("securityContext", {}), found["resources"]["limits"]
        assert found["securityContext"]["readOnlyRootFilesystem"], f"{workload.name}: {name} may write to its root"
        return Container(
            image=found["image"],
            command=tuple(expanded(word, variables) for word in found.get("command", [])),
            args=tuple(expanded(word, variables) for word in found.get("args", [])),
            variables=variables,
            mounts=tuple(self._mounts(workload, found, variables, pod=pod)),
            user=f"{context['runAsUser']}:{context['runAsGroup']}",
            groups=(str(context["fsGroup"]),),
            cpus=str(quantity(limits["cpu"])),
            memory=int(quantity(limits["memory"])),
        )

    def variables(self, workload: Workload, container: Object, *, pod: str) -> dict[str, str]:
        """Return a container's variables: those of envFrom, then each of env, which may name those before it."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            kind, reference = next((k, v) for k, v in source.items() if k != "prefix")
            texts = self._texts({"configMapRef": "configMap", "secretRef": "secret"}[kind], reference)
            found |= {source.get("prefix", "") + key: text for key, text in (texts or {}).items()}
        for entry in container.get("env", []):
            if "valueFrom" not in entry:
                found[entry["name"]] = expanded(entry.get("value", ""), found)
            elif (text := self._value(workload, entry["valueFrom"], pod=pod)) is not None:
                found[entry["name"]] = text
        return found

    def _value(self, workload: Workload, asked: Object, *, pod: str) -> str | None:
        ((kind, reference),) = asked.items()
        if kind == "fieldRef":
            return self._field(workload, reference["fieldPath"], pod=pod)
        texts = self._texts({"configMapKeyRef": "configMap", "secretKeyRef": "secret"}[kind], reference)
        if texts is not None and reference["key"] in texts:
            return texts[reference["key"]]
        assert reference.get("optional"), f"{workload.name}: {kind} {reference['name']} has no key {reference['key']}"
        return None

    def _field(self, workload: Workload, path: str, *, pod: str) -> str:
        if label := re.fullmatch(r"metadata\.labels\['(.+)'\]", path):
            return workload.labels.get(label.group(1), "")
        return {"metadata.name": pod, "metadata.namespace": self.name}[path]

    def _texts(self, kind: str, reference: Object) -> Texts | None:
        """Return a ConfigMap's or a Secret's data; None where it is absent and may be."""
        name = reference.get("secretName") or reference["name"]
        maps = {o["metadata"]["name"]: o.get("data", {}) for o in self.objects if o["kind"] == "ConfigMap"}
        found: Texts | None = (self.secrets if kind == "secret" else {**self.more, **maps}).get(name)
        assert found is not None or reference.get("optional"), f"{kind} {name} is absent: the kubelet would wait for it"
        return found

    def _mounts(self, workload: Workload, container: Object, variables: Texts, *, pod: str) -> Iterator[Mount]:
        volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            source = self._source(workload, volumes[mount["name"]], pod=pod)
            below = mount.get("subPath") or expanded(mount.get("subPathExpr", ""), variables)
            fixed = source.files is not None  # ConfigMaps, Secrets and tokens are never writable
            yield Mount(mount["mountPath"], source, fixed or mount.get("readOnly", False), below)

    def _source(self, workload: Workload, volume: Object, *, pod: str) -> Source:
        ((kind, about),) = [(k, v) for k, v in volume.items() if k != "name"]
        name = f"{pod}/{volume['name']}"
        if kind == "emptyDir":
            size = int(quantity(about["sizeLimit"])) if "sizeLimit" in about else None
            # Memory of one container is its own; what several share outlives the first of them: a folder.
            alone = about.get("medium") == "Memory" and _mounting(workload.pod, volume["name"]) == 1
            return Source(memory=size) if alone else Source(name, limit=size)
        if kind == "persistentVolumeClaim":
            return Source(f"claims/{about['claimName']}")
        if kind in ("configMap", "secret"):
            return Source(name, files=_files(self._texts(kind, about), about.get("items")))
        assert kind == "projected", f"{workload.name}: a volume of the kind {kind} is not known here"
        files: dict[str, str] = {}
        for source in about["sources"]:
            ((part, said),) = source.items()
            if part == "serviceAccountToken":
                files[said["path"]] = TOKEN.format(account=workload.pod["serviceAccountName"])
            elif part == "downwardAPI":
                fields = {item["path"]: item["fieldRef"]["fieldPath"] for item in said["items"]}
                files |= {path: self._field(workload, at, pod=pod) for path, at in fields.items()}
            else:
                files |= _files(self._texts({"configMap": "configMap", "secret": "secret"}[part], said), said["items"])
        return Source(name, files=files)


def _mounting(pod: Object, volume: str) -> int:
    """Count the containers of a pod that mount a volume."""
    every = [*pod.get("initContainers", []), *pod["containers"]]
    return sum(any(mount["name"] == volume for mount in one.get("volumeMounts", [])) for one in every)


def _files(texts: Texts | None, items: Sequence[Object] | None) -> dict[str, str]:
    """Return the files of a volume; items pick and rename keys."""
    texts = texts or {}
    return {item["path"]: texts[item["key"]] for item in items} if items else dict(texts)


def expanded(text: str, variables: Texts) -> str:
    """Replace $(NAME) as the kubelet does.

    >>> expanded("$(HOST):$(PORT) $$(HOST) $(ABSENT)", {"HOST": "redis", "PORT": "6379"})
    'redis:6379 $(HOST) $(ABSENT)'
    """

    def replaced(match: re.Match[str]) -> str:
        return "$" if match.group() == "$$" else variables.get(match.group(1), match.group())

    return REFERENCE.sub(replaced, text)


def commands(objects: Sequence[Object]) -> list[Command]:
    """Return every container that a render names."""
    return [
        Command(
            made.name,
            place,
            one["image"],
            (*one.get("command", []), *one.get("args", [])),
        )
        for made in workloads(list(objects))
        for place, one in pod_security.containers(made.pod)
    ]


def probe(container: Object, kind: str) -> tuple[int, str]:
    """Return the port and the path that a probe asks."""
    asked = container[kind]["httpGet"]
    return port(container, asked["port"]), asked["path"]


def port(container: Object, name: str | int) -> int:
    """Return the number of a container's port."""
    return name if isinstance(name, int) else {p["name"]: p["containerPort"] for p in container["ports"]}[name]


@dataclass(frozen=True)
class Service:
    """A Service: which ports lead to which of a workload's pods; headless where names lead to the pods themselves."""

    name: str
    workload: str
    ports: Mapping[int, int]
    headless: bool


def services(objects: Sequence[Object]) -> list[Service]:
    """Return the Services of a render that lead to one workload of it."""
    found = []
    for one in objects:
        if one["kind"] != "Service":
            continue
        wanted = one["spec"]["selector"].items()
        (made,) = [w for w in workloads(list(objects)) if w.kind == "Deployment" and wanted <= w.labels.items()]
        named = {p["name"]: p for c in made.pod["containers"] for p in c.get("ports", [])}
        ports = {p["port"]: named[p["targetPort"]]["containerPort"] for p in one["spec"]["ports"]}
        found.append(Service(title(one).partition("/")[2], made.name, ports, one["spec"].get("clusterIP") == "None"))
    return found
