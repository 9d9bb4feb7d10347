"""A release's overlay: what `write` puts down, and that it changes the release and nothing else."""

import os
import stat
import sys
from pathlib import Path

import pytest
import yaml

from feature_repo import checkout
from feature_repo.errors import SpecError
from pipelines.manifests import release_overlay
from tests.k8s import admission

LOCAL = checkout.ROOT / "k8s" / "overlays" / "local"
RELEASE = {
    "id": "0a1b2c3d4e5f",
    "name": "corner-shop",
    "intent": {"version": 7, "digest": "aaaaaaaaaaaa"},
    "ranking": {"version": "12", "digest": "bbbbbbbbbbbb"},
}


def differences(before, after, path=""):
    """Yield the places where two trees differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{path}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{path}/{index}")
    elif before != after:
        yield path


def by_title(objects):
    """Key objects by kind and name, the hash of a ConfigMap's name left out."""
    names = {o["metadata"]["name"]: o["metadata"]["name"] for o in objects}
    hashed = [n for n in names if len(n.rpartition("-")[2]) == 10]
    names |= {n: n.rpartition("-")[0] for n in hashed}
    return {f"{o['kind']}/{names[o['metadata']['name']]}": o for o in objects}


@pytest.fixture
def written(tmp_path):
    (file,) = release_overlay.write(RELEASE, tmp_path / "k8s", version=3, overlay="local")
    return file


def test_a_released_overlay_changes_only_the_release(written):
    before, after = by_title(release_overlay.render(LOCAL)), by_title(release_overlay.render(written.parent))
    changed = [place for title in sorted(before) for place in differences(before[title], after[title], title)]
    pod = "Deployment/recommender/spec/template"
    assert before.keys() == after.keys()
    assert changed == [
        "ConfigMap/recommender-release/data/INTENTFLOW_INTENT_VERSION",
        "ConfigMap/recommender-release/data/INTENTFLOW_RANKING_VERSION",
        "ConfigMap/recommender-release/data/INTENTFLOW_RELEASE_ID",
        "ConfigMap/recommender-release/data/INTENTFLOW_RELEASE_NAME",
        "ConfigMap/recommender-release/data/INTENTFLOW_RELEASE_VERSION",
        "ConfigMap/recommender-release/metadata/name",
        "Deployment/recommender/metadata/annotations/intentflow/intent-version",
        "Deployment/recommender/metadata/annotations/intentflow/ranking-version",
        "Deployment/recommender/metadata/annotations/intentflow/release-version",
        "Deployment/recommender/metadata/labels/app.kubernetes.io/instance",
        "Deployment/recommender/metadata/labels/app.kubernetes.io/version",
        f"{pod}/metadata/annotations/intentflow/intent-version",
        f"{pod}/metadata/annotations/intentflow/ranking-version",
        f"{pod}/metadata/annotations/intentflow/release-version",
        f"{pod}/metadata/labels/app.kubernetes.io/instance",
        f"{pod}/metadata/labels/app.kubernetes.io/version",
        f"{pod}/spec/containers/0/envFrom/1/configMapRef/name",
        f"{pod}/spec/initContainers/0/envFrom/1/configMapRef/name",
    ]


def test_the_release_reaches_labels_annotations_and_the_environment(written):
    objects = by_title(release_overlay.render(written.parent))
    template = objects["Deployment/recommender"]["spec"]["template"]["metadata"]
    assert objects["ConfigMap/recommender-release"]["data"] == {
        "INTENTFLOW_RELEASE_ID": "0a1b2c3d4e5f",
        "INTENTFLOW_RELEASE_NAME": "corner-shop",
        "INTENTFLOW_RELEASE_VERSION": "3",
        "INTENTFLOW_INTENT_VERSION": "7",
        "INTENTFLOW_RANKING_VERSION": "12",
    }
    assert template["labels"]["app.kubernetes.io/version"] == "0a1b2c3d4e5f"
    assert template["labels"]["app.kubernetes.io/instance"] == "corner-shop"
    assert template["annotations"]["intentflow/release-version"] == "3"
    assert template["annotations"]["intentflow/ranking-version"] == "12"
    assert admission.check(release_overlay.render(written.parent)) == []


def test_what_is_released_is_held_to_the_rules(written, tmp_path):
    assert release_overlay.require(written.parent)
    broken = tmp_path / "broken"
    broken.mkdir()
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "Always"}]
    target = {"kind": "Deployment", "name": "recommender"}
    kustomization = {"resources": ["../k8s"], "patches": [{"target": target, "patch": yaml.safe_dump(patch)}]}
    (broken / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    with pytest.raises(SpecError, match=r"broken: Deployment/recommender: .*must be IfNotPresent.*; mend the overlay"):
        release_overlay.require(broken)


def test_without_kubectl_nothing_is_checked(written, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not release_overlay.require(written.parent)


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_beside(written):
    before = written.read_bytes()
    release_overlay.write(RELEASE, written.parent, version=3, overlay="local")
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["kustomization.yaml"]


def test_the_checkout_is_named_by_a_relative_path(tmp_path):
    (file,) = release_overlay.write(RELEASE, tmp_path / "k8s", version=3, overlay="local")
    (overlay,) = yaml.safe_load(file.read_text())["resources"]
    assert not os.path.isabs(overlay)
    assert (file.parent / overlay).resolve() == LOCAL


def test_a_state_folder_behind_a_link_still_finds_the_checkout(tmp_path):
    (tmp_path / "far" / "away" / "disk").mkdir(parents=True)
    (tmp_path / "state").symlink_to(tmp_path / "far" / "away" / "disk")
    release_overlay.write(RELEASE, tmp_path / "state" / "k8s", version=3, overlay="local")
    assert release_overlay.render(tmp_path / "state" / "k8s")


@pytest.mark.parametrize("release_id", ["123456789012", "1234567890e1", "012345670123", "00000e000001"])
def test_an_id_that_looks_like_a_number_stays_text(tmp_path, release_id):
    # YAML reads 1234567890e1 as a float, and the API server refuses a float for a label.
    release_overlay.write(RELEASE | {"id": release_id}, tmp_path, version=10, overlay="local")
    text = release_overlay.render_text(tmp_path)
    seen = [line.split(": ")[1] for line in text.splitlines() if release_id in line]
    assert seen == [f'"{release_id}"'] * 3  # the ConfigMap, the Deployment, its pods
    assert text.count('intentflow/release-version: "10"') == 2


@pytest.mark.parametrize(
    ("image", "served"),
    [
        ("intentflow-python:0.1.0", "intentflow-python:0.1.0"),
        ("registry.example:5000/team/intentflow-python:1234567890e1", None),
        ("registry.example/intentflow-python@sha256:" + "a1" * 32, None),
    ],
)
def test_the_image_is_the_one_asked_for(tmp_path, image, served):
    release_overlay.write(RELEASE, tmp_path, version=3, overlay="local", image=image)
    objects = by_title(release_overlay.render(tmp_path))
    pod = objects["Deployment/recommender"]["spec"]["template"]["spec"]
    assert {pod["containers"][0]["image"], pod["initContainers"][0]["image"]} == {served or image}
    assert admission.check(release_overlay.render(tmp_path)) == []


@pytest.mark.parametrize("image", ["intentflow-python", "intentflow-python:latest", "host:5000/intentflow-python", ""])
def test_an_image_without_a_fixed_tag_is_refused(tmp_path, image):
    with pytest.raises(SpecError, match="must carry a tag other than latest"):
        release_overlay.write(RELEASE, tmp_path, version=3, overlay="local", image=image)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_overlay_is_one_line_with_the_nearest_name(tmp_path):
    with pytest.raises(
        SpecError, match=r"^overlay: 'locl' is not in .*; have gpu, local, production; did you mean 'local'\?$"
    ):
        release_overlay.write(RELEASE, tmp_path, version=3, overlay="locl")


def test_a_folder_that_kustomize_cannot_render_is_one_line(tmp_path):
    with pytest.raises(SpecError, match=r"kustomize cannot render it: .*kustomization") as caught:
        release_overlay.render(tmp_path)
    assert "\n" not in str(caught.value)


def kubectl_that_says(folder: Path, version: str) -> None:
    folder.mkdir()
    script = folder / "kubectl"
    script.write_text(f"#!/bin/sh\necho '{version}'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def test_an_old_kubectl_is_refused_by_name(tmp_path, monkeypatch):
    kubectl_that_says(tmp_path / "old", '{"clientVersion": {"minor": "20"}}')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "old"))
    with pytest.raises(SpecError, match=r"need one with kustomize 5.0 or newer, .*old/kubectl has none"):
        release_overlay.render(LOCAL)


def test_no_kubectl_at_all_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpecError, match=r"found none on PATH; install kubectl 1.27 or newer"):
        release_overlay.render(LOCAL)


def test_a_new_kubectl_on_the_path_is_taken_when_the_one_beside_python_is_old(tmp_path, monkeypatch):
    kubectl_that_says(tmp_path / "venv", '{"kustomizeVersion": "v4.5.7"}')
    kubectl_that_says(tmp_path / "path", '{"kustomizeVersion": "v5.4.2"}')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert release_overlay._kubectl() == str(tmp_path / "path" / "kubectl")
