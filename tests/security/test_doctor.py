"""`doctor --security` is quiet about a sound installation, and names each planted weakness with what mends it."""

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos import keys
from feature_repo import env_names, files, signing
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError
from pipelines import security_checks
from pipelines.environment import FOLDER, Installation, place
from pipelines.releases import processes
from pipelines.runs import local
from pipelines.server_checks.check import Check

SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"
KEY = secrets.token_hex(32)


def installed(folder: Path, *, change: dict[str, Any] | None = None, **outside: str) -> Installation:
    """A laptop whose environment file says something else than ours."""
    document = yaml.safe_load((FOLDER / "local.yaml").read_text()) | (change or {})
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(document))
    return place(SPEC, str(path), variables={"INTENTFLOW_STATE": str(folder / "state"), **outside})


def ready(at: Installation) -> Installation:
    """Make the state folder as the first run does."""
    before = os.umask(0o022)
    try:
        with local.alone(at.home):
            assert at.variables
    finally:
        os.umask(before)
    return at


def bad(found: list[Check]) -> dict[str, str]:
    return {one.name: one.note for one in found if one.fine is False}


def test_a_fresh_laptop_has_no_weakness(tmp_path: Path) -> None:
    assert bad(security_checks.examine(installed(tmp_path))) == {}


def test_neither_has_one_after_its_first_run_also_where_others_files_are_open(tmp_path: Path) -> None:
    found = security_checks.examine(ready(installed(tmp_path)))
    assert bad(found) == {}
    assert {one.name for one in found if one.fine} >= {"state folder", "file pseudonym.key", "callers", "registry"}


def open_folder(at: Installation) -> None:
    at.home.chmod(0o755)


def open_key(at: Installation) -> None:
    (at.home / "secrets" / "pseudonym.key").chmod(0o644)


def zero_key(at: Installation) -> None:
    (at.home / "secrets" / "pseudonym.key").write_text("00" * 32)


def short_key(at: Installation) -> None:
    (at.home / "secrets" / "pseudonym.key").write_text("5eed")


@pytest.mark.parametrize(
    ("plant", "name", "mend"),
    [
        (open_folder, "state folder", "chmod 700 "),
        (open_key, "file pseudonym.key", "chmod 600 "),
        (zero_key, "key of pseudonyms pseudonym.key", "rotate it"),
        (short_key, "key of pseudonyms pseudonym.key", "rotate it"),
    ],
)
def test_a_weakness_of_files_is_named_with_what_mends_it(
    tmp_path: Path, plant: Callable[[Installation], None], name: str, mend: str
) -> None:
    at = ready(installed(tmp_path))
    plant(at)
    found = bad(security_checks.examine(at))
    assert list(found) == [name]
    assert mend in found[name]
    assert "\n" not in found[name]


@pytest.mark.parametrize(
    ("change", "outside", "name", "mend"),
    [
        ({"serving": {"anyone": True}}, {}, "callers", "set serving: {auth: keys"),
        ({}, {env_names.ROUTER_HOST: "0.0.0.0"}, "callers", "set serving: {auth: keys"),
        ({"mlflow": {"tracking_uri": "http://mlflow:5000"}}, {}, "registry", "signing_keys"),
        ({"pseudonyms": {"key_env": "SHOP_KEY"}}, {"SHOP_KEY": "ab" * 32}, "key of pseudonyms SHOP_KEY", "rotate it"),
        (
            {"webhooks": {"url": "http://loop:8085/mlflow"}},
            {env_names.WEBHOOK_SECRET: "short"},
            "secret of webhooks",
            "openssl rand -hex 32",
        ),
    ],
)
def test_a_weakness_of_the_environment_is_named_with_what_mends_it(
    tmp_path: Path, change: dict[str, Any], outside: dict[str, str], name: str, mend: str
) -> None:
    found = bad(security_checks.examine(installed(tmp_path, change=change, **outside)))
    assert list(found) == [name]
    assert mend in found[name]


def keys_here(
    folder: Path, *made: dict[str, Any], change: dict[str, Any] | None = None, **serving: Any
) -> Installation:
    """A laptop with keys, of which one may be changed by hand after it was made."""
    file = folder / "keys.json"
    at = installed(folder, change={"serving": {"auth": "keys", "keys_file": str(file)} | serving})
    for one in made:
        keys.make(file, **{"name": "", "scopes": ("events",)} | one)
    if change:
        held = json.loads(file.read_text())
        held["keys"][0] |= change
        file.write_text(json.dumps(held))
    return at


ORIGIN = "https://shop.example"
PAGE: dict[str, Any] = {"page": keys.Page(events=("view",), origins=(ORIGIN,))}
FREE: dict[str, Any] = {"scopes": ("recommend", "events")}  # of before keys were declared
JWT = {"jwks": "https://id.example/keys", "issuer": "https://id.example", "audience": "shop"}


@pytest.mark.parametrize(
    ("made", "change", "serving", "name", "mend"),
    [
        ([PAGE], {"scopes": ["recommend", "events"]}, {}, "keys", "a page's key has the scope events alone"),
        ([PAGE], {"page": {"events": ["view"], "origins": []}}, {}, "keys", "create another"),
        ([PAGE], {"page": {"events": ["view"], "origins": ["*"]}}, {}, "keys", "as browsers write it"),
        ([PAGE], {"page": {"events": ["view"], "origins": ["http://shop.example"]}}, {}, "keys", "is not https://"),
        ([FREE, PAGE], {}, {}, "key {0}", "--for server"),
        ([FREE, {"user": "ann"}], {}, {}, "key {0}", "--for server"),
        ([FREE], {}, {"auth": "both", "jwt": JWT | {"speaks_for": "sub"}}, "key {0}", "--for server"),
        ([], {}, {"auth": "both", "jwt": JWT}, "tokens", "speaks_for: sub"),
        ([PAGE], {}, {"bounds": {"item_share": 1}}, "bounds", "a share such as 0.2"),
    ],
)
def test_a_weakness_of_callers_rights_is_named_with_what_mends_it(
    tmp_path: Path, made: list[dict[str, Any]], change: dict[str, Any], serving: dict[str, Any], name: str, mend: str
) -> None:
    at = keys_here(tmp_path, *made, change=change, **serving)
    found = bad(security_checks.examine(at))
    ids = [one["id"] for one in json.loads((tmp_path / "keys.json").read_text())["keys"]] if made else []
    assert list(found) == [name.format(*ids)]
    assert mend in found[name.format(*ids)]
    assert "\n" not in found[name.format(*ids)]


@pytest.mark.parametrize(
    ("made", "serving"),
    [
        ([], {}),
        ([FREE], {}),
        ([FREE | {"server": True}, PAGE, {"user": "ann"}], {}),
        ([FREE | {"server": True}, PAGE], {"auth": "both", "jwt": JWT | {"speaks_for": "sub"}}),
        ([], {"auth": "jwt", "jwt": JWT}),
    ],
)
def test_keys_that_are_declared_are_no_weakness_and_neither_are_those_of_before_among_servers(
    tmp_path: Path, made: list[dict[str, Any]], serving: dict[str, Any]
) -> None:
    assert bad(security_checks.examine(keys_here(tmp_path, *made, **serving))) == {}


def test_signed_releases_guard_a_registry_that_others_reach(tmp_path: Path) -> None:
    change = {"mlflow": {"tracking_uri": "http://mlflow:5000"}, "signing": {"public_keys": [secrets.token_hex(32)]}}
    assert bad(security_checks.examine(installed(tmp_path, change=change))) == {}


@pytest.mark.parametrize("public_keys", [["ab"], ["zz" * 32], [""]])
def test_a_public_key_that_is_none_is_one_line(tmp_path: Path, public_keys: list[str]) -> None:
    with pytest.raises(SpecError, match=r"signing\.public_keys"):
        installed(tmp_path, change={"signing": {"public_keys": public_keys}})


def test_a_signing_key_that_is_named_and_not_set_does_not_mean_that_signing_is_off(tmp_path: Path) -> None:
    at = installed(tmp_path, change={"signing": {"key_env": "SHOP_SIGNS"}})
    with pytest.raises(SpecError, match=r"signing\.key_env: SHOP_SIGNS is not set"):
        assert at.variables


def test_the_private_key_reaches_who_registers_and_no_door(tmp_path: Path) -> None:
    from pipelines.releases import serving

    one = signing.signer({signing.KEY: KEY})
    assert one is not None
    change = {"signing": {"key_env": "SHOP_SIGNS", "public_keys": [one.public]}}
    at = installed(tmp_path, change=change, SHOP_SIGNS=KEY)
    assert at.variables[env_names.SIGNING_KEY] == KEY
    door = serving.door(at, "0123456789ab", "recommender:1", port=processes.free_port(0))
    assert KEY not in door.env.values()
    assert door.env[env_names.VERIFY_KEYS] == one.public


def test_releases_that_are_signed_and_not_checked_are_named(tmp_path: Path) -> None:
    at = ready(installed(tmp_path, change={"signing": {"key_env": "SHOP_SIGNS"}}, SHOP_SIGNS=KEY))
    one = signing.signer({signing.KEY: KEY})
    assert one is not None
    assert f"public_keys: [{one.public}]" in bad(security_checks.examine(at))["registry"]


@contextlib.contextmanager
def open_port(at: Installation) -> Iterator[int]:
    """A recorded process of the installation, this one, that listens where it should not."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        record = {"name": "mlflow", "pid": os.getpid(), "marker": "m", "version": "", "command": [], "url": url}
        import psutil

        record |= {"created": psutil.Process().create_time(), "ready_url": url, "error_file": ""}
        files.write_json(at.home / "up" / "mlflow.json", record)
        yield server.getsockname()[1]


def test_a_port_that_other_machines_reach_is_named(tmp_path: Path) -> None:
    at = ready(installed(tmp_path))
    with open_port(at) as port:
        assert f"0.0.0.0:{port}" in bad(security_checks.examine(at))["port of mlflow"]


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("click==8.5.1 \\\n    --hash=sha256:aa\nidna==3.10 \\\n    --hash=sha256:bb\n", True),
        ("click==8.5.1 \\\n    --hash=sha256:aa\nidna==3.10\n    # via requests\n", False),
        ("click==8.5.1\nidna==3.10 \\\n    --hash=sha256:bb\n", False),
        ("", False),
    ],
)
def test_a_lock_without_hashes_is_named(tmp_path: Path, text: str, fine: bool) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(text)
    assert security_checks.packages(lock).fine is fine


def test_the_locks_of_this_checkout_have_hashes() -> None:
    for name in ("requirements.lock", "requirements-data.lock", "requirements-fuzz.lock"):
        assert security_checks.packages(ROOT / name).fine, name
    assert security_checks.packages(ROOT / "no.lock").fine is None


def test_the_verb_fails_where_something_is_weak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import cli

    monkeypatch.setenv("INTENTFLOW_STATE", str(tmp_path / "state"))
    cli.cli.main(args=["doctor", str(SPEC), "--security"], standalone_mode=False)
    monkeypatch.setenv(env_names.ROUTER_HOST, "0.0.0.0")
    with pytest.raises(ServerError, match="doctor: 1 of"):
        cli.cli.main(args=["doctor", str(SPEC), "--security"], standalone_mode=False)
    with pytest.raises(SpecError, match="two examinations"):
        cli.cli.main(args=["doctor", str(SPEC), "--security", "--leaks"], standalone_mode=False)
