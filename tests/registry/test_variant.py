"""The model that compression held back: a version of its own beside the one that serves, tagged, in no release."""

import json
import shutil

import pytest

from components import compression
from components.registry import client as mlflow_client
from components.registry import register as module
from components.registry import steps
from components.registry.lineage import Result
from components.registry.register import register
from feature_repo import files
from tests.registry.conftest import LINEAGE

WITHOUT_SERVER = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
TOLD = {
    "format": 1,
    "asked": {"prune": 0.5, "quantize": "int8"},
    "taken": "full",
    "verdict": "refused",
    "why": "mAP 0.2000 against 0.3000 (difference -0.1000, interval -0.1100 to -0.0900; 2.0% may be lost)",
    "rows": 400,
    "users": 90,
    "metrics": {
        "map": {
            "full": 0.3, "compressed": 0.2, "difference": -0.1, "interval": [-0.11, -0.09], "tolerance": 0.02,
            "verdict": "refused",
        }
    },
    "measured": {
        "full": {"size_bytes": 204_800, "cpu_ms": {"1": 0.5, "64": 9.0}},
        "compressed": {"size_bytes": 51_200, "cpu_ms": {"1": 0.4, "64": 4.0}},
    },
}  # fmt: skip


def compressed(folders, make):
    """Put another model, and what compression came to, into a result's intent folder."""
    other = make(seed=7)
    shutil.copytree(other.intent, folders.intent / compression.OTHER)
    files.write_json(folders.intent / compression.FILE, TOLD)
    return folders


class Killed(BaseException):
    """The end of the process, as far as the code can see."""


@WITHOUT_SERVER
def test_both_models_are_versions_told_apart_by_tags_also_after_a_run_that_was_cut_off(
    store, name, make, monkeypatch
) -> None:
    def die(*args, **kwargs):
        raise Killed

    folders = compressed(make(seed=1), make)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_keep_variant", die)
        with pytest.raises(Killed):
            register(name, folders, lineage=LINEAGE)
    for _ in range(2):  # the second makes nothing new
        done = register(name, folders, lineage=LINEAGE)
    served = done.versions["intent"]
    with mlflow_client.connected() as client:
        every = {str(v.version): v.tags for v in client.search_model_versions(f"name='{name}-intent'")}
    assert len(every) == 2
    mine, (other,) = every.pop(served.version), every.values()
    assert (mine["variant"], other["variant"], other["variant_of"]) == ("full", "compressed", served.version)
    assert "variant_of" not in mine
    assert json.loads(mine["compression"]) == json.loads(other["compression"]) == TOLD
    assert "metrics" not in other  # they are of the served model
    assert "metrics" in mine
    assert not [file for file in served.files if compression.OTHER in file or compression.FILE in file]
    assert done.versions["ranking"].version == "1"


def test_the_model_that_does_not_serve_counts_for_no_budget(make) -> None:
    before = Result.read(make(seed=1), LINEAGE).served["intent"]["memory"]["model_mib"]
    folders = compressed(make(seed=1), make)
    assert Result.read(folders, LINEAGE).served["intent"]["memory"]["model_mib"] == before


def test_the_page_says_which_serves_and_why() -> None:
    page = compression.page(TOLD)
    assert page.startswith(
        "## Compression\n\nThe full intent model was taken (200 KiB): the compressed one (50 KiB) was refused: mAP"
    )
    assert "| mAP | 0.3000 | 0.2000 | -0.1000 | -0.1100 to -0.0900 | 2.0% | refused |" in page
    assert "| CPU-ms, batch 64 | 9.000 | 4.000 | | | | |" in page
    assert "50% of the hidden units dropped and weights kept as int8" in page
    passed = TOLD | {"taken": "compressed", "verdict": "passed", "why": "mAP 0.3000 against 0.3000"}
    assert compression.sentence(passed).startswith(
        "The compressed intent model was taken (50 KiB instead of 200 KiB): mAP"
    )
    assert "stayed undecided" in compression.sentence(TOLD | {"verdict": "undecided"})


def test_the_page_of_the_step_says_it_also_in_a_dry_run(make, sqlite, name, tmp_path) -> None:
    folders = compressed(make(seed=1), make)
    passed = steps.register(
        name,
        folders=[str(folder) for folder in vars(folders).values()],
        lineage=LINEAGE.model_dump_json(),
        promotion=json.dumps({"gates": [{"metric": "intent.map", "limit": 0.1}]}),
        serving="{}",
        report=str(tmp_path / "report.md"),
        release_version=str(tmp_path / "version"),
        mode="dry_run",
    )
    assert passed
    text = (tmp_path / "report.md").read_text()
    assert text.startswith(f"# Dry run of {name}: passed\n")
    assert compression.page(TOLD) in text
