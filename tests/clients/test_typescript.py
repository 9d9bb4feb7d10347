"""The TypeScript client's types and its package: what is wrong does not compile, what is shipped is whole."""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from bentos.endpoints import typescript as derived
from feature_repo.checkout import CLIENTS, ROOT, TYPESCRIPT
from tests.clients import typescript

MOST_BYTES = 3 << 10

WRONG = (
    ("recommender.recommend({ user_id: 4711 });", "Type 'number' is not assignable to type 'string'"),
    ('recommender.recommend({ user_id: "1", kk: 3 });', "'kk' does not exist"),
    ('recommender.rank({ user_id: "1" });', "Property 'item_ids' is missing"),
    ('recommender.events({ events: [{ user_id: "1", item_id: "2" }] });', "Property 'event' is missing"),
    ('(await recommender.recommend({ user_id: "1" })).itemz;', "Property 'itemz' does not exist"),
)
RIGHT = """
const answer = await recommender.recommend({ user_id: "1", k: 3, context: { page: "home" } });
const first: string | undefined = answer.items[0]?.item_id;
const rung: "fresh" | "stale" | "segment" | "popular" = answer.profile.rung;
const { request_id } = answer;
await recommender.events({ events: [{ user_id: "1", item_id: first ?? "2", event: "view", request_id }] });
"""


def program(dist: Path, lines: str) -> str:
    """Return a program that uses the client."""
    return (
        f'import {{ Recommender }} from "{dist}/client.js";\n'
        f'const recommender = new Recommender("http://localhost:3000");\n{lines}\nexport {{}};\n'
    )


@pytest.mark.process
def test_right_programs_compile_and_wrong_ones_do_not(dist: Path, tmp_path: Path) -> None:
    (tmp_path / "right.mts").write_text(program(dist, RIGHT))
    (tmp_path / "wrong.mts").write_text(program(dist, "\n".join(line for line, _ in WRONG)))
    flags = ["--noEmit", "--strict", "--target", "ES2022", "--module", "NodeNext"]
    command = [str(typescript.TOOLS / "tsc"), *flags, "right.mts", "wrong.mts"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=typescript.BUILD_S).stdout
    assert "right.mts" not in said
    for line, complaint in WRONG:
        assert complaint in said, (line, said)
    assert said.count("error TS") == len(WRONG), said


@pytest.mark.process
def test_the_package_holds_what_it_names(dist: Path, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("no npm on PATH")
    shutil.copy(CLIENTS / "browser" / "snippet.js", dist)
    shutil.copy(TYPESCRIPT / "README.md", dist.parent)
    command = ["npm", "pack", "--json", "--dry-run", "--ignore-scripts", "--offline"]
    done = subprocess.run(command, cwd=dist.parent, capture_output=True, text=True, timeout=typescript.BUILD_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (package,) = found.values() if isinstance(found, dict) else found
    names = {one["path"] for one in package["files"]}
    modules = {f"dist/{name}{kind}" for name in ("client", "methods", "schemas") for kind in (".js", ".d.ts")}
    assert names == modules | {"dist/snippet.js", "package.json", "README.md"}


def test_versions_are_the_project_s() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert json.loads((TYPESCRIPT / "package.json").read_text())["version"] == version
    assert derived.INFO["version"] == version


def test_the_snippet_is_small() -> None:
    assert len((CLIENTS / "browser" / "snippet.js").read_bytes()) <= MOST_BYTES


def test_the_page_of_the_shop_is_short() -> None:
    assert len((CLIENTS / "shop" / "index.html").read_text().splitlines()) <= 50
