"""The folders of k8s/ as kubectl renders them, each once: they do not change while tests run."""

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from feature_repo.checkout import ROOT
from pipelines.manifests import release_overlay


@pytest.fixture(scope="session", autouse=True)
def rendered_once() -> Iterator[None]:
    """Let kubectl render a folder of the checkout once for each kubectl that would be found; others every time."""
    real = release_overlay.render_text

    @cache
    def known(folder: Path, executable: str, path: str) -> str:
        return real(folder)

    def render_text(folder: Path) -> str:
        if not folder.resolve().is_relative_to(ROOT / "k8s"):
            return real(folder)
        return known(folder, sys.executable, os.environ.get("PATH", ""))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_overlay, "render_text", render_text)
        yield
