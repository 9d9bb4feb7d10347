"""`intentflow keys` makes keys for whom it is told, shows each once, and says a mistake in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos import keys
from bentos.access import Access
from bentos.http.auth import check
from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError
from pipelines.environment import FOLDER

SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"
PAGE = ["--for", "page", "--event", "view", "--event", "click", "--origin", "https://shop.example"]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the verb in an environment with a file of keys; return what it prints."""
    document = yaml.safe_load((FOLDER / "local.yaml").read_text())
    document["serving"] = {"auth": "keys", "keys_file": str(tmp_path / "secrets" / "keys.json")}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("INTENTFLOW_STATE", str(tmp_path / "state"))

    def run(*words: str) -> str:
        from pipelines import cli

        arguments = ["keys", str(SPEC), *words, "--env", str(tmp_path / "mine.yaml")]
        cli.cli.main(args=arguments, standalone_mode=False)
        return capsys.readouterr().out.strip()

    return run


def known(tmp_path: Path, key: str) -> Any:
    found = check(Access(auth="keys", keys_file=str(tmp_path / "secrets" / "keys.json")))
    assert found is not None
    return found.caller(key)


def test_each_kind_of_key_has_the_rights_that_it_was_made_with(said: Any, tmp_path: Path) -> None:
    page = known(tmp_path, said("create", *PAGE, "--rate", "60/minute"))
    assert (page.scopes, page.page.kinds, page.page.rate) == ({"events"}, {"view", "click"}, "60/minute")
    user = known(tmp_path, said("create", "--for", "user", "--user", "ann", "--scopes", "recommend"))
    assert (user.scopes, user.speaks_for("ann"), user.speaks_for("bob")) == ({"recommend"}, True, False)
    server = known(tmp_path, said("create", "--for", "server", "--scopes", "admin", "--name", "back office"))
    assert (server.scopes, server.serves) == ({"admin"}, True)
    listed = json.loads(said("list", "--json"))["keys"]
    assert [one["for"] for one in listed] == ["page", "user", "server"]
    assert listed[0]["origins"] == ["https://shop.example"]
    assert "ann" not in said("list")
    file = tmp_path / "secrets" / "keys.json"
    assert file.stat().st_mode & 0o077 == 0


def test_a_rotated_key_holds_until_all_have_the_new_one_and_a_revoked_one_no_longer(said: Any, tmp_path: Path) -> None:
    old = said("create", *PAGE)
    new = said("rotate", old.split("_")[1]).splitlines()[0]
    assert known(tmp_path, old).page == known(tmp_path, new).page
    assert "until 20" in said("list")
    at_once = said("rotate", new.split("_")[1], "--keep-hours", "0").splitlines()[0]
    assert [key.id for key in keys.load(tmp_path / "secrets" / "keys.json").keys] == [
        old.split("_")[1],
        at_once.split("_")[1],
    ]
    said("revoke", at_once.split("_")[1])
    with pytest.raises(Exception, match="no such key"):
        known(tmp_path, at_once)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["create"], "--for: nothing is not allowed; give server"),
        (["create", "--for", "everyone"], "--for: everyone is not allowed"),
        (["create", "--for", "page", "--event", "view"], "--origin: give one or more"),
        (["create", "--for", "page", "--origin", "https://a.example"], "--event: give one or more"),
        (["create", *PAGE, "--origin", "*"], "as browsers write it"),
        (["create", *PAGE, "--rate", "often"], "'often' is no rate"),
        (["create", *PAGE, "--scopes", "recommend"], "--scopes is not allowed"),
        (["create", *PAGE, "--user", "ann"], "--user is not allowed"),
        (["create", "--for", "user"], "--user: is missing"),
        (["create", "--for", "user", "--user", "ann", "--scopes", "admin"], "does not have the scope admin"),
        (["create", "--for", "server", "--scopes", "all"], "no scope 'all'; have recommend, events, admin"),
        (["create", "--for", "server", "x"], "x is not allowed; give no ID"),
        (["rotate"], "nothing is not allowed; give one ID"),
        (["rotate", "x", "--keep-hours", "-1"], "--keep-hours: -1 is not allowed"),
        (["rotate", "x", "--keep-hours", "nan"], "--keep-hours: nan is not allowed"),
        (["rotate", "x"], "no file"),
        (["revoke", "x"], "no file"),
        (["list"], "no file"),
    ],
)
def test_a_mistake_is_one_line(said: Any, words: list[str], line: str) -> None:
    with pytest.raises(SpecError) as error:
        said(*words)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_an_environment_without_a_file_of_keys_says_which_line_it_lacks(monkeypatch: Any, tmp_path: Path) -> None:
    from pipelines import cli

    monkeypatch.setenv("INTENTFLOW_STATE", str(tmp_path / "state"))
    with pytest.raises(SpecError, match=r"names no serving\.keys_file"):
        cli.cli.main(args=["keys", str(SPEC), "list"], standalone_mode=False)
