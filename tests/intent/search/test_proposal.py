"""A proposal is a diff that git applies; comments and order stay; what would mean something else is no proposal."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.intent.search import proposal

BLOCK = """\
apiVersion: intentflow/v1  # the format
name: shop
models:
  intent:
    # why it is small
    width: 32   # of the layers
    search:
      space: {width: [32, 64]}
    learning_rate: 0.002

  ranking: {model: lambdamart}
promotion: {mode: manual}
"""
FLOW = "name: shop\nmodels: {intent: {width: 32}}  # kept\n"
BARE = "name: shop\nintents: [{name: visit}]\n"
EMPTY = "name: shop\nmodels:\n  intent:\npromotion: {}\n"
UNENDED = "name: shop\nmodels: {intent: {width: 32}}"


def applied(tmp_path: Path, text: str, diff: str) -> str:
    (tmp_path / "shop.yaml").write_text(text)
    done = subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "shop.yaml").read_text()


@pytest.mark.parametrize("text", [BLOCK, FLOW, BARE, EMPTY, UNENDED])
@pytest.mark.parametrize(
    "settings",
    [
        {"width": 64},
        {"width": 64, "learning_rate": 0.00512, "loss": {"positives": "balanced"}, "calibrate": "isotonic"},
        {"architecture": "gbdt", "trees": {"leaves": 15, "learning_rate": 0.05}},
        {},
    ],
)
def test_what_git_applies_means_the_settings(tmp_path: Path, text: str, settings: dict[str, Any]) -> None:
    before = yaml.safe_load(text)
    diff = proposal.diff(text, "shop.yaml", settings)
    after = yaml.safe_load(applied(tmp_path, text, diff)) if diff else before
    found = (after.get("models") or {}).get("intent") or {}
    assert {key: value for key, value in found.items() if key != "search"} == settings
    kept = ((before.get("models") or {}).get("intent") or {}).get("search")
    assert found.get("search") == kept
    for document in (before, after):
        (document.get("models") or {}).pop("intent", None)
        if not document.get("models"):
            document.pop("models", None)
    assert before == after, "nothing else changes"


def test_comments_and_order_stay(tmp_path: Path) -> None:
    diff = proposal.diff(BLOCK, "shop.yaml", {"width": 64, "learning_rate": 0.002})
    assert [line for line in diff.splitlines() if line.startswith(("-", "+"))] == [
        "--- a/shop.yaml",
        "+++ b/shop.yaml",
        "-    width: 32   # of the layers",
        "+    width: 64   # of the layers",
    ]


def test_where_anchors_share_a_value_the_part_is_written_anew(tmp_path: Path) -> None:
    text = "a: &w 32\nmodels:\n  intent: {width: *w}\n"
    after = yaml.safe_load(applied(tmp_path, text, proposal.diff(text, "shop.yaml", {"width": 64})))
    assert after == {"a": 32, "models": {"intent": {"width": 64}}}


@pytest.mark.parametrize(
    "text", ["models: [1]\n", "just words\n", "a: {b: 1\n", "models: &m {intent: {width: 1}}\nb: *m\n"]
)
def test_a_text_that_cannot_be_changed_so_gives_no_proposal(text: str) -> None:
    assert proposal.diff(text, "shop.yaml", {"width": 64}) == ""
