"""Readers of bytes that others wrote, one function each: it returns where bytes are taken or refused as documented.

Nothing here catches more than the refusal that the reader's own page or docstring names. Where a reader promises more
than not to fall over, the promise is asserted: a backup writes below its folder, a router reads requests alike however
their bytes are cut.
"""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from pydantic import BaseModel, ValidationError

from bentos import keys
from bentos.endpoints.operations import OPERATIONS
from bentos.http.auth import KeyFile, credential_of
from bentos.http.problems import Rejected, rejected
from bentos.recommender.logs import eventlog, json_lines
from bentos.recommender.logs.event_rules import EventRules
from bentos.release import Release
from bentos.router.routes_file import RoutesFile
from components.content.llm import client as llm
from components.content.llm.settings import Endpoint
from components.data import json_lines as source_lines
from components.data import sniff, text_files
from components.data.derived import rules_at_the_door
from components.intent.sessions.score import SessionScorer
from feature_repo import files, release_folder
from feature_repo.errors import DataError, SpecError, UserError
from feature_repo.privacy import sealing
from feature_repo.release_folder import ReleaseFolder
from pipelines import backup, environment, spec
from tests.fuzz import http

CORPUS = Path(__file__).parent / "corpus"
MEMORY = Path("/dev/shm")  # files that live for one call
ASKS: tuple[type[BaseModel], ...] = (
    *(operation.contract.asks for operation in OPERATIONS),
    EventRules(rules_at_the_door({})).request,
)
SPEC = CORPUS / "specs" / "small.yaml"
HELD = ("intent", "ranking")  # parts of a release


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Yield an empty folder in memory."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None, prefix="fuzz-") as name:
        yield Path(name)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Take a mistake of the user's as the answer it is, if it is one line."""
    try:
        yield
    except UserError as error:
        if "\n" in str(error):
            raise AssertionError(f"a mistake of more than one line: {error}") from error


def requests(data: bytes) -> None:
    """Bodies of every endpoint; the first byte says which. A refusal is one line: place, value, what is allowed."""
    asks = ASKS[data[0] % len(ASKS)] if data else ASKS[0]
    try:
        asks.model_validate_json(data[1:])
    except ValidationError as error:
        refusal = rejected(error, asks)
        refusal.problem.model_dump_json()
        assert "\n" not in str(refusal), f"a refusal of more than one line: {refusal}"


def event_lines(data: bytes) -> None:
    """A segment of the event log, as a door finds it when it starts; bad lines are skipped."""
    with folder() as at:
        segment = at / f"2026-11-23.00001{json_lines.SUFFIX}"
        segment.write_bytes(data)
        with contextlib.suppress(sealing.SealError):  # a line that names a key which the environment does not give
            for line in json_lines.read(segment):
                assert isinstance(line, dict)
            log = eventlog.EventLog(at)
            log.unseen([])
            log.close()


def specs(data: bytes) -> None:
    """A spec in YAML; a mistake is one line."""
    with folder() as at:
        path = at / "spec.yaml"
        path.write_bytes(data)
        with one_line():
            spec.load(path)


def environments(data: bytes) -> None:
    """An environment in YAML; a mistake is one line."""
    with folder() as at:
        path = at / "environment.yaml"
        path.write_bytes(data)
        with one_line():
            environment.place(SPEC, str(path), variables={"INTENTFLOW_STATE": str(at)})


def releases(data: bytes) -> None:
    """A release's document as it came, and again under the id that it should have, so that its parts are read too."""
    with folder() as at:
        for part in HELD:
            (at / part).mkdir()
            (at / part / "config.json").write_bytes(b"{}")
        file = at / release_folder.FILE
        file.write_bytes(data)
        with contextlib.suppress(DataError):
            Release.verified(at)
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(data)
            if isinstance(document, dict):
                files.write_json(file, document | {"id": release_folder.digest_of(document)})
                with contextlib.suppress(DataError):
                    Release.load(at)
                with contextlib.suppress(DataError):
                    ReleaseFolder.verified(at)


def weights(data: bytes) -> None:
    """The arrays (.npz) of a session model whose other files are whole."""
    with folder() as at:
        for path in (CORPUS.parent / "session_model").iterdir():
            (at / path.name).write_bytes(path.read_bytes())
        (at / "weights.npz").write_bytes(data)
        with contextlib.suppress(DataError):
            SessionScorer.load(at)


def backups(data: bytes) -> None:
    """An archive that somebody hands over; what it restores lies below its folder, and nothing is a link."""
    with folder() as at:
        archive, outside = at / "given" / "archive.tar.gz", at / "outside"
        archive.parent.mkdir()
        archive.write_bytes(data)
        outside.write_bytes(b"as it was")
        home = at / "state" / "shop"
        with contextlib.suppress(UserError):
            backup.restore(archive, home)
        assert outside.read_bytes() == b"as it was"
        assert {path.name for path in at.iterdir()} <= {"given", "outside", "state"}, "written outside of its folder"
        assert not any(path.is_symlink() for path in at.rglob("*")), "restored a link"


def keys_files(data: bytes) -> None:
    """A file of keys; one that is broken lets nobody in."""
    with folder() as at:
        path = at / "keys.json"
        path.write_bytes(data)
        with contextlib.suppress(SpecError):
            check = KeyFile(path)
            for key in keys.load(path).keys:
                with contextlib.suppress(Rejected):
                    check.caller(f"{keys.PREFIX}_{key.id}_guessed")
                    raise AssertionError("a guess was let in")


def credentials(data: bytes) -> None:
    """The two headers that hold a caller's key, at a door that knows one key."""
    first, _, second = data.decode("latin-1").partition("\n")
    with folder() as at:
        made = keys.make(at / "keys.json", name="shop", scopes=("recommend",))
        check = KeyFile(at / "keys.json")
        with contextlib.suppress(Rejected):
            check.caller(credential_of(first, second))
            raise AssertionError("a stranger was let in")
        assert check.caller(made).scopes == {"recommend"}


def routes(data: bytes) -> None:
    """The router's table; a broken one is told and the last good one holds."""
    with folder() as at:
        path = at / "routes.json"
        path.write_bytes(data)
        found = RoutesFile(path, on_change=lambda _: None)
        assert found.check() == (found.routes is not None)
        assert bool(found.problem) == (found.routes is None)
        assert "\n" not in found.problem


def shop_files(data: bytes) -> None:
    """A file of a shop's own, as `intentflow init` looks at it and ingest reads it; a mistake is one line."""
    with folder() as at:
        path, work = at / "events.txt", at / "work"
        path.write_bytes(data)
        work.mkdir()
        with one_line():
            form = sniff.sniff(path)
            told = text_files.as_utf8(path, form.encoding, work, place="data.source.events")
            names = {"place": "data.source.events", "label": "events"}
            if form.kind == "jsonl":
                source_lines.scan(told, work, **names)
            elif form.kind == "csv":
                dialect = text_files.find_dialect(told, form.delimiter, set(), **names)
                text_files.header(told, dialect, named=form.header, **names)
                for _ in text_files.records(told, dialect, **names):
                    pass
                text_files.count_records(told, dialect)


def model_answers(data: bytes) -> None:
    """What a language model's endpoint sends, as a text that streams and as an object; the first byte says its status.

    Whatever leaves can be written as UTF-8, and a call costs nothing below 0.
    """
    status = 200 if data[:1] != b"!" else 500

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=data[1:])

    async def asked(structured: bool) -> None:
        made, usage = Endpoint(url="http://llm/v1", model="m", structured=structured), llm.Usage()
        client = llm.Client(made, transport=httpx.MockTransport(answer))
        with contextlib.suppress(llm.Failed):
            async for piece in client.stream("Say.", max_tokens=20, temperature=0.0, timeout_s=9, usage=usage):
                piece.encode()
        assert usage.asked >= 0
        assert usage.answered >= 0
        with contextlib.suppress(llm.Failed):
            found = await client.document("Say.", {}, max_tokens=20, timeout_s=9, usage=usage)
            json.dumps(found, ensure_ascii=False).encode()
        await client.close()

    for structured in (True, False):
        asyncio.run(asked(structured))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what readers log about bad lines off the terminal."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "requests": requests,
    "event_lines": event_lines,
    "specs": specs,
    "environments": environments,
    "releases": releases,
    "weights": weights,
    "backups": backups,
    "keys_files": keys_files,
    "credentials": credentials,
    "routes": routes,
    "router": http.router,
    "door_answers": http.door_answers,
    "shop_files": shop_files,
    "model_answers": model_answers,
}
