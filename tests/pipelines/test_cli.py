"""The command line: help, exit codes and one-line errors."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.cli import cli, main

GROCERY = "pipelines/specs/grocery.yaml"


def _main(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.process
def test_help_is_fast_and_lists_the_verbs() -> None:
    start = time.process_time()
    done = subprocess.run([sys.executable, "-m", "pipelines.cli", "--help"], capture_output=True, text=True, check=True)
    assert time.process_time() - start < 0.5
    for verb in cli.commands:
        assert f"\n  {verb} " in done.stdout


def test_every_verb_has_help_of_one_sentence() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
        assert command.help.strip().endswith("."), name


def test_the_readme_names_only_verbs_that_exist() -> None:
    named = set(re.findall(r"intentflow ([a-z]+)\b", Path("README.md").read_text()))
    assert named <= set(cli.commands), named - set(cli.commands)


@pytest.mark.parametrize("verb", ["plan", "run", "demo", "status", "release", "monitor"])
def test_a_spec_that_is_absent_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code, out, err = _main(capsys, verb, "nowhere/shop.yaml")
    assert (code, out) == (2, "")
    assert err == "intentflow: nowhere/shop.yaml: no such file\n"


def test_an_unknown_environment_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, _out, err = _main(capsys, "plan", GROCERY, "--env", "clustr")
    assert code == 2
    assert "have cluster, cluster-postgres, local; did you mean 'cluster'?" in err


def test_an_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _out, err = _main(capsys, "statsu", GROCERY)
    assert code == 2
    assert "No such command 'statsu'" in err


def test_a_mapping_without_equals_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    code, _out, err = _main(capsys, "init", "orders.csv", "--map", "user_id")
    assert code == 2
    assert "--map: 'user_id' is no CANONICAL=COLUMN, such as user_id=customer" in err


def test_asking_a_server_that_is_away_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTENTFLOW_STATE", str(tmp_path))
    monkeypatch.setenv("AWAY", "http://127.0.0.1:9")
    environment = tmp_path / "away.yaml"
    environment.write_text(Path("pipelines/environments/local.yaml").read_text().replace(
        "tracking_uri: sqlite:///{home}/mlflow/mlflow.db", 'tracking_uri: "${AWAY}"'
    ))  # fmt: skip
    code, _out, err = _main(capsys, "status", GROCERY, "--env", str(environment))
    assert code == 1
    assert "http://127.0.0.1:9" in err
    assert len(err.strip().splitlines()) == 1
