"""The review's small findings, each as the attack that it was; the larger ones have files of their own."""

import asyncio
import json
import logging
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from bentos.access import Access
from bentos.recommender.logs import json_lines
from bentos.recommender.logs.requestlog import RequestLog, drawn
from bentos.router.settings import HOST, ROUTES, SERVING, TOKEN, Settings
from components.intent import card as intent_card
from components.profiles.segments import card as segment_card
from components.ranking import card as ranking_card
from feature_repo import markdown
from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import KEY as PSEUDONYM_KEY
from feature_repo.privacy.pseudonyms import weakness
from pipelines.environment import FOLDER
from pipelines.graphs import admission
from pipelines.releases import uis
from tests.bentos.conftest import World
from tests.bentos.http.test_auth import ASK, opened_by
from tests.bentos.router.conftest import World as Routed
from tests.bentos.router.conftest import running
from tests.patience import patient

SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"
MARKUP = "<img src=x onerror=alert(1)>|`x`[a](javascript:b)\nc"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def door(world: World) -> TestClient:
    return opened_by(world, Access())[0]


@pytest.mark.parametrize(
    "context",
    [{"page": "x" * 1025}, {"x" * 129: "home"}, {"": "home"}, {str(n): "x" for n in range(33)}, {"page": ["x" * 5000]}],
    ids=["a long value", "a long name", "no name", "many", "a list"],
)
def test_a_context_is_as_short_as_a_line_of_the_log_may_be(world: World, door: TestClient, context: Any) -> None:
    """The review erased the log with 500 requests of 1.9 MB: the oldest files go beyond its bound."""
    reply = door.post("/recommend", json=ASK | {"context": context})
    assert (reply.status_code, reply.json()["where"].split(".")[0].split("[")[0]) == (422, "context")
    assert sum(path.stat().st_size for path in json_lines.files(world.folder / "requests")) == 0


def test_the_longest_question_leaves_a_line_of_bounded_length(world: World, door: TestClient) -> None:
    full = {"context": {f"{n:0128}": "\u00e9" * 1024 for n in range(32)}, "exclude": ["\u00e9" * 256] * 1000}
    assert door.post("/recommend", json=ASK | full).status_code == 200
    written = sum(path.stat().st_size for path in json_lines.files(world.folder / "requests"))
    assert 0 < written < 700_000, "512 MiB hold hundreds of the longest lines, and the bound of a body is 2 MiB"


@pytest.mark.parametrize("amount", ["1e308", "1e400", "-1e308", "NaN", "Infinity", "1e13"])
@pytest.mark.parametrize("field", ["quantity", "value", "discount"])
def test_an_amount_that_makes_infinity_of_a_profile_is_refused(
    door: TestClient, world: World, field: str, amount: str
) -> None:
    body = f'{{"events": [{{"user_id": "a", "item_id": "i1", "event": "buy", "{field}": {amount}}}]}}'
    reply = door.post("/events", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (400, 422)
    assert world.profiles.bought == {}


def test_who_chooses_the_id_of_a_request_does_not_choose_what_is_logged(tmp_path: Path) -> None:
    """The review looked for ids whose hash the sample leaves out, and asked under those alone."""
    log = RequestLog(tmp_path, sample=0.1, sample_key="ab" * 32)
    key = log._sample_key
    log.close()
    unseen = [name for n in range(5000) if not drawn(name := f"chosen-{n}", 0.1)]
    kept = sum(drawn(name, 0.1, key=key) for name in unseen)
    assert 0.07 < kept / len(unseen) < 0.13
    other = RequestLog(tmp_path / "other", sample=0.1, sample_key="cd" * 32)
    assert other._sample_key != key
    other.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /recommend HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{",
    ],
)
def test_what_cannot_be_read_tells_nobody_which_versions_run_here(tmp_path: Path, sent: bytes) -> None:
    async def scene() -> bytes:
        async with running(tmp_path) as place:
            return await said(place, sent)

    answer = asyncio.run(scene()).lower()
    assert answer.startswith(b"http/1.1 ")
    for word in (b"python", b"aiohttp", b"uvicorn", b"httptools", b"llhttp", b"traceback", b".py"):
        assert word not in answer


async def said(place: Routed, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.router.settings.port)
    writer.write(sent)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "router.example"])
def test_a_router_that_others_reach_does_not_start_before_doors_that_let_everybody_in(host: str) -> None:
    given = {ROUTES: "/routes.json", TOKEN: "t" * 32, HOST: host}
    with pytest.raises(SpecError, match="is not this machine alone"):
        Settings.read(given)
    with pytest.raises(SpecError, match="is not this machine alone"):
        Settings.read(given | {SERVING: '{"limits": {"recommend": "5/second"}}'})
    assert Settings.read(given | {SERVING: '{"anyone": true}'}).host == host
    assert Settings.read(given | {HOST: "127.0.0.1"}).host == "127.0.0.1"


@pytest.mark.parametrize("key", ["00" * 32, "5eed" * 16, "00", "000102030405060708090a0b0c"])
def test_a_key_that_can_be_guessed_begins_no_installation(tmp_path: Path, monkeypatch: Any, key: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(SpecError, match="could guess it") as error:
        admission.require_fit_key("shop", {PSEUDONYM_KEY: key})
    assert key not in str(error.value)
    assert not (tmp_path / "mlflow.db").exists(), "a look makes no registry"


def test_a_key_of_before_goes_on_and_is_said_to_be_weak(
    tmp_path: Path, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from components.registry import client

    monkeypatch.setattr(client, "unmade", lambda: False)
    monkeypatch.setattr(client, "registered_model", lambda _, name: {"shop-release": SimpleNamespace()}.get(name))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with caplog.at_level(logging.WARNING, logger="intentflow"):
        admission.require_fit_key("shop", {PSEUDONYM_KEY: "00" * 32})
    assert "change it as docs/privacy.md says" in caplog.text
    with pytest.raises(SpecError, match="before the first run"):
        admission.require_fit_key("another", {PSEUDONYM_KEY: "00" * 32})


def test_keys_that_the_command_line_makes_are_strong() -> None:
    import secrets

    assert [weakness(secrets.token_hex(32)) for _ in range(100)] == [""] * 100
    admission.require_fit_key("shop", {PSEUDONYM_KEY: secrets.token_hex(32)})
    admission.require_fit_key("shop", {})


def test_a_name_of_the_data_is_no_markup_in_a_card() -> None:
    portrait = segment_card.Portrait(
        number=0, name=MARKUP, users=1, share=1.0, then=1.0, targets=((MARKUP, 0.1, 2.0),), items=(), line="", most=1.0
    )
    document = {"method": "kmeans", "silhouette": {}, "weeks": [1, 2], "digest": "d"}
    found: Any = SimpleNamespace(
        cohorts={MARKUP: dict.fromkeys(("rows", "map", "frequency_map", "macro_auroc", "bce", "ece"), 0.5)},
        targets={MARKUP: dict.fromkeys(("auroc", "ap", "precision", "recall", "f1", "support"), 0.5)},
        groups={},
    )
    texts = [segment_card.markdown(document, [portrait], moved=0.0), intent_card._targets(found)]
    ranked = dict.fromkeys((ranking_card.METRICS[0], f"{ranking_card.CHOSEN}_{ranking_card.METRICS[0]}"), 0.5)
    ranked |= {"rows": 1, ranking_card.METRICS[2]: 0.5}
    texts.append(ranking_card._cohorts(SimpleNamespace(cohorts={MARKUP: ranked})))  # type: ignore[arg-type]
    for text in texts:
        assert "<img" not in text
        assert "`x`" not in text.replace("\\`", "")
        assert "[a](" not in text.replace("\\[", "")
        assert markdown.words(MARKUP) in text or markdown.words(MARKUP.lower()) in text
    assert json.dumps(markdown.words("FRUIT & VEG")) == '"FRUIT & VEG"', "usual names stay"


def test_no_ui_of_a_laptop_has_a_password_among_its_arguments(tmp_path: Path) -> None:
    """Every user of a machine reads the arguments of all its processes."""
    mlflow = uis.mlflow(tmp_path, uri="postgresql://shop:hunter2@db/mlflow", port=0)
    store = {"type": "postgres", "host": "db", "user": "shop", "password": "hunter2"}
    feast = uis.feast(tmp_path, project="shop", settings={"registry": "r.db", "online_store": store}, port=0)
    assert mlflow is not None
    for process in (mlflow, feast):
        assert "hunter2" not in " ".join(process.command)
    assert "hunter2" in mlflow.env["MLFLOW_BACKEND_STORE_URI"]


@pytest.mark.process
def test_what_the_command_line_writes_is_its_user_s_alone_whatever_the_umask(tmp_path: Path) -> None:
    document = yaml.safe_load((FOLDER / "local.yaml").read_text())
    document["serving"] = {"auth": "keys", "keys_file": str(tmp_path / "secrets" / "keys.json")}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    script = """
import os, sys
os.umask(0)
from pipelines import cli
cli.main(["keys", sys.argv[1], "create", "--for", "server", "--env", sys.argv[2]])
"""
    words = [sys.executable, "-c", script, str(SPEC), str(tmp_path / "mine.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=patient(120))
    assert done.returncode == 0, done.stderr
    made = [tmp_path / "secrets", tmp_path / "secrets" / "keys.json"]
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in made] == [0, 0]
