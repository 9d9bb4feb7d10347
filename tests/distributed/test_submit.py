"""The Spark image's entry point on this machine: spark-submit runs the product's module as a driver's pod would."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.profiles.build import engine
from tests import worlds
from tests.spark import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = ROOT / "k8s" / "images" / "spark-entrypoint"
MODULE = ROOT / "components" / "profiles" / "__main__.py"


def environment(**more: str) -> dict[str, str]:
    """Return this process's variables with the commands beside its Python first, as in the image."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | more


@pytest.mark.slow
def test_a_submitted_driver_builds_the_profiles_with_the_settings_it_was_submitted_with(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("Spark needs pyspark and Java 17: apt-get install openjdk-17-jre-headless")
    clean = worlds.checkerboard().write(tmp_path / "clean")
    profiles = {"windows_days": [7, 28, 91], "segments": {"k": 2}}
    slices = {"profiles": profiles, "split": worlds.SPLIT, "vocabulary": worlds.VOCABULARY}
    settings = SETTINGS | {"spark.ui.enabled": "false", "spark.app.name": "submitted"}
    words = [str(ENTRYPOINT), "driver", "--master", "local[1]"]
    words += [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    words += [str(MODULE), *(word for name, value in slices.items() for word in (f"--{name}", json.dumps(value)))]
    words += ["--clean", str(clean), "--features", str(tmp_path / "features")]
    variables = {"SPARK_DRIVER_BIND_ADDRESS": "127.0.0.1", "SPARK_LOCAL_IP": "127.0.0.1"}
    variables |= {"INTENTFLOW_PROFILES_ENGINE": "spark"}
    given = environment(**variables)
    done = subprocess.run(words, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "features" / "profiles.json").read_text())
    assert (found["targets"], found["items"], found["users"]) == (5, 12, 24)
    assert "Submitted application: submitted" in done.stderr, "the session is the submitted one"


def test_where_the_driver_listens_and_what_was_submitted_are_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(engine.SUBMITTED, raising=False)
    assert engine.session_settings({})["spark.driver.host"] == "127.0.0.1"
    assert engine.session_settings({"spark.master": "local[8]"})["spark.driver.host"] == "127.0.0.1"
    far = engine.session_settings({"spark.master": "k8s://https://api:6443"})
    assert not set(engine.LOOPBACK) & far.keys()
    monkeypatch.setenv(engine.SUBMITTED, "1234")
    assert engine.session_settings({}) == engine.SPARK_FIXED


def test_an_executor_starts_java_with_what_the_driver_told_it(tmp_path: Path) -> None:
    java = tmp_path / "java"  # stands where Java does, and says what it was asked
    java.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    java.chmod(0o755)
    told = {
        "SPARK_DRIVER_URL": "spark://driver:7078",
        "SPARK_EXECUTOR_ID": "3",
        "SPARK_EXECUTOR_CORES": "2",
        "SPARK_EXECUTOR_MEMORY": "6144m",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.3",
        "SPARK_EXECUTOR_POD_NAME": "profiles-exec-3",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_HOME": "/spark",
        **{"SPARK_JAVA_OPT_0": "-Dfirst=1 2", "SPARK_JAVA_OPT_10": "-Dlast=x", "SPARK_JAVA_OPT_2": "-Dsecond=y"},
    }
    variables = environment(**told)
    variables["PATH"] = f"{tmp_path}:{variables['PATH']}"
    done = subprocess.run([str(ENTRYPOINT), "executor"], env=variables, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words[:5] == ["-Dfirst=1 2", "-Dsecond=y", "-Dlast=x", "-Xms6144m", "-Xmx6144m"]
    assert words[6:8] == ["/spark/jars/*", "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"]
    said = dict(zip(words[8::2], words[9::2], strict=True))
    assert said == {
        **{"--driver-url": "spark://driver:7078", "--executor-id": "3", "--cores": "2", "--app-id": "spark-1"},
        **{"--hostname": "10.0.0.3", "--resourceProfileId": "0", "--podName": "profiles-exec-3"},
    }


def test_any_other_command_is_run_as_it_is() -> None:
    done = subprocess.run([str(ENTRYPOINT), "echo", "a  b"], capture_output=True, text=True, check=True)
    assert done.stdout == "a  b\n"
