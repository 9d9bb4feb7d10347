"""The routes that a router follows: the rollout's, and until there are such the overlay's first ones."""

from pathlib import Path

from bentos.router import start
from bentos.router.routes import Backend, Routes
from bentos.router.routes_file import RoutesFile


def routes(release: str) -> Routes:
    return Routes(stable=Backend(release=release, url=f"http://{release}"))


def test_the_first_routes_hold_until_the_rollout_has_written_its_own_and_never_again(tmp_path: Path) -> None:
    path, first = tmp_path / "routes.json", tmp_path / "first.json"
    start.write(first, routes("seed"))
    followed: list[str] = []
    file = RoutesFile(path, on_change=lambda now: followed.append(now.stable.release), first=first)
    assert (file.check(), file.problem) == (True, "")
    assert not file.check()
    start.write(path, routes("aaaa"))
    assert file.check()
    path.unlink()  # somebody deletes the ConfigMap: what was routed last holds
    start.write(first, routes("other"))
    assert not file.check()
    assert "No such file" in file.problem
    assert followed == ["seed", "aaaa"]


def test_without_first_routes_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    file = RoutesFile(tmp_path / "routes.json", on_change=lambda now: None)
    assert not file.check()
    assert "No such file" in file.problem
