"""Where the console may listen, whom it lets in by the environment, and what it reads anew."""

import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bentos import keys
from feature_repo import env_names
from feature_repo.errors import SpecError
from pipelines import environment
from pipelines.console import catalogue, server
from pipelines.releases import uis
from tests.bentos.conftest import vocabulary
from tests.pipelines.conftest import ROOT

SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment file of a laptop."""
    monkeypatch.setenv(env_names.STATE, str(tmp_path / "state"))
    made = tmp_path / "mine.yaml"
    made.write_text((ROOT / "pipelines" / "environments" / "local.yaml").read_text())
    return made


def test_without_keys_it_listens_on_this_machine_alone(file: Path) -> None:
    place = environment.place(SPEC, str(file))
    for host in ("127.0.0.1", "::1", "localhost"):
        server.require_loopback(place, host)
    for host in ("0.0.0.0", "::", "10.0.0.7", "shop.example"):
        with pytest.raises(SpecError, match=rf"console: --host {host}: the environment 'local' names no serving"):
            server.require_loopback(place, host)


def test_with_keys_it_asks_for_them(file: Path, tmp_path: Path) -> None:
    listed = tmp_path / "keys.json"
    with file.open("a") as stream:
        stream.write(f"serving: {{auth: keys, keys_file: {listed}}}\n")
    with pytest.raises(SpecError, match=r"serving.keys_file: no file .*; `intentflow keys SPEC create` makes it"):
        server.application(server.Placed(SPEC, str(file)))
    keys.make(listed, name="owner", scopes=("admin",), server=True)
    server.require_loopback(environment.place(SPEC, str(file)), "0.0.0.0")
    visitor = TestClient(server.application(server.Placed(SPEC, str(file))), base_url="https://console.example")
    assert visitor.get("/console", follow_redirects=False).status_code == 303


def test_every_page_of_an_installation_where_nothing_was_made_yet_is_a_page(file: Path) -> None:
    visitor = TestClient(server.application(server.Placed(SPEC, str(file))), base_url="http://localhost")
    assert "grocery" in visitor.get("/console").text
    people = visitor.get("/console/people")
    assert (people.status_code, "Nobody was answered yet" in people.text) == (200, True)


def test_a_changed_environment_is_read_anew_and_a_broken_one_is_one_line(file: Path) -> None:
    placed = server.Placed(SPEC, str(file))
    first = placed()
    assert placed() is first
    text = file.read_text()
    file.write_text(text + "console: {url: 'http://127.0.0.1:3000'}\n")
    os.utime(file, ns=(1, 1))
    assert placed().environment.console.url == "http://127.0.0.1:3000"
    file.write_text(text + "console: {urll: 'x'}\n")
    with pytest.raises(SpecError, match="urll"):
        placed()


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("{picture: image}", "picture: 'image' is shown from declared origins alone; give picture_origins"),
        ("{picture_origins: ['https://img.example/']}", "is not as browsers write it"),
        ("{picture_origins: ['http://img.example']}", "is not https://"),
        ("{picture_origins: [\"'unsafe-inline'\"]}", "is not as browsers write it"),
        ("{url: 'ftp://x'}", "console.url"),
    ],
)
def test_a_wrong_block_is_one_line(file: Path, block: str, said: str) -> None:
    file.write_text(file.read_text() + f"console: {block}\n")
    with pytest.raises(SpecError) as refusal:
        environment.place(SPEC, str(file))
    assert said in str(refusal.value)


def test_pictures_are_shown_from_declared_origins_alone(file: Path) -> None:
    file.write_text(file.read_text() + "console: {picture: image, picture_origins: ['https://img.example']}\n")
    visitor = TestClient(server.application(server.Placed(SPEC, str(file))), base_url="http://localhost")
    assert "img-src 'self' https://img.example;" in visitor.get("/console").headers["content-security-policy"]
    for address, shown in (
        ("https://img.example/a.jpg", True),
        ("https://img.example:443/a.jpg", True),
        ("https://img.example:444/a.jpg", False),
        ("https://img.example@evil.example/a.jpg", False),
        ("http://img.example/a.jpg", False),
        ("javascript:alert(1)", False),
        ("https://img.example:x/a.jpg", False),
        (7, False),
        (None, False),
    ):
        found = catalogue.picture_of({"image": address}, "image", ("https://img.example",))
        assert bool(found) == shown, address


def test_a_catalogue_by_id() -> None:
    found = catalogue.Catalogue(vocabulary())
    assert (found.title("i0"), found.title("i5"), found.title("i9")) == ("apple", "i5", "i9")
    assert (found.row("i2")["kind"], found.row("i9")) == ("soup", {})
    assert [catalogue.price_of(row) for row in ({"price": 2}, {"price": None}, {"price": float("nan")}, {})] == [
        2.0, None, None, None,
    ]  # fmt: skip


def test_up_starts_it_from_another_folder_over_the_same_state(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    place = environment.place(SPEC, file.name)
    process = uis.console(place, port=0)
    assert process.command[3:6] == ("console", str(SPEC), "--env")
    assert process.command[6] == str(file)
    assert process.env == {env_names.STATE: str(place.home.parent)}
    assert process.url.endswith("/console")
    assert process.ready_url.removesuffix("/readyz") == process.url.removesuffix("/console")
