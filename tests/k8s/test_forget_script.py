"""k8s/forget.sh, with a stand-in for kubectl: every door by its labels, the names of tombstones, the volume of logs."""

import json
import subprocess
from pathlib import Path

import pytest

from feature_repo import env_names

pytestmark = pytest.mark.process
SCRIPT = Path(__file__).resolve().parents[2] / "k8s" / "forget.sh"
KUBECTL = r"""#!/bin/sh
shift 2
printf '%s\n' "$*" >> "$LOG"
case "$1 $2" in
  "create configmap") for given; do case $given in --from-file=*) ls "${given#--from-file=}" ;; esac; done ;;
  "apply -f") cat > "$LOG.applied" ;;
  "get pods") printf '%s\n' "recommender-1a door-of-a-mesh recommender" "recommender-4b2c-2b recommender" \
    "recommender-intent-3c intent" "router-4d router" ;;
  "get pod") printf %s registry/intentflow:1 ;;
  "get persistentvolumeclaim") exit "${NO_CLAIM:-0}" ;;
  "exec -i") cat >> "$LOG.ids"; [ "$3" != "${FAILS:-}" ] || exit 1; echo '{"left": 0}' ;;
  "run forget-logs") cat >> "$LOG.ids"
    for given; do case $given in --overrides=*) printf %s "${given#--overrides=}" > "$LOG.pod" ;; esac; done ;;
esac
"""


@pytest.fixture
def world(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    (tmp_path / "shop" / "forgotten").mkdir(parents=True)
    (tmp_path / "shop" / "forgotten" / "0a-1b.json").write_text('{"proofs": ["who reads this learns something"]}')
    (tmp_path / "ids.txt").write_text("ann\n")
    return {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}


def run(world: dict[str, str], *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    folder = Path(world["LOG"]).parent
    given = arguments or (str(folder / "shop"), str(folder / "ids.txt"))
    return subprocess.run(
        ["sh", str(SCRIPT), *given], env=world | more, capture_output=True, text=True, check=False, timeout=60
    )


def test_every_door_and_no_other_pod_is_asked_and_ids_are_in_no_argument(world: dict[str, str]) -> None:
    done = run(world)
    assert (done.returncode, done.stderr) == (0, "")
    said = Path(world["LOG"]).read_text()
    asked = [line.split()[2] for line in said.splitlines() if line.startswith("exec")]
    assert asked == ["recommender-1a", "recommender-4b2c-2b"], "the overlay's door and the loop's, no model, no router"
    assert "app.kubernetes.io/component=serving" in said
    assert "ann" not in said
    assert Path(world["LOG"] + ".ids").read_text() == "ann\n" * 3
    assert Path(world["LOG"] + ".applied").read_text() == "0a-1b.json\n"


def test_the_volume_of_logs_is_looked_through_by_a_pod_that_pod_security_admits(world: dict[str, str]) -> None:
    run(world)
    spec = json.loads(Path(world["LOG"] + ".pod").read_text())["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "registry/intentflow:1"
    assert container["command"] == ["python", "-m", "bentos.recommender.logs.forget", "/logs"]
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "recommender-state"}
    assert [one["name"] for one in container["env"]] == [
        env_names.PSEUDONYM_KEY, env_names.PREVIOUS_PSEUDONYM_KEYS, env_names.DATA_KEYS,
    ]  # fmt: skip
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_without_the_volume_pods_are_all_there_is(world: dict[str, str]) -> None:
    assert run(world, NO_CLAIM="1").returncode == 0
    assert not Path(world["LOG"] + ".pod").exists()


def test_a_door_where_something_is_left_is_no_success_and_the_others_are_asked(world: dict[str, str]) -> None:
    done = run(world, FAILS="recommender-1a")
    assert done.returncode == 1
    assert "recommender-4b2c-2b" in done.stdout


def test_a_wrong_call_is_one_line(world: dict[str, str]) -> None:
    done = run(world, "nowhere", "ids.txt")
    assert (done.returncode, done.stderr) == (2, "usage: sh k8s/forget.sh STATE_FOLDER IDS [NAMESPACE]\n")
