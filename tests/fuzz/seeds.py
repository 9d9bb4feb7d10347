"""Writes the seeds of corpus/ that are no text a person would write: `python -m tests.fuzz.seeds`.

Run it again where a format changes. Files that say what a crash was are not its own, and stay.
"""

import io
import json
import sqlite3
import tarfile
from pathlib import Path

import numpy as np

from bentos.endpoints.operations import OPERATIONS
from components.intent.sessions.encode import Codes
from components.intent.sessions.score import SessionScorer
from components.intent.sessions.spec import SessionIntent
from feature_repo import file_set, release_folder
from tests.fuzz.targets import CORPUS, HELD, folder
from tests.security.test_release_files import SERVING


def write(target: str, name: str, data: bytes) -> None:
    """Write a seed."""
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / name).write_bytes(data)


def requests() -> None:
    """Write every endpoint's documented example."""
    for number, operation in enumerate(OPERATIONS):
        ask = json.dumps(operation.contract.example.ask).encode()
        write("requests", operation.endpoint.name, bytes([number]) + ask)


def releases() -> None:
    """Write the document of a small release."""
    with folder() as at:
        (at / "part").mkdir()
        (at / "part" / "config.json").write_bytes(b"{}")
        parts = {part: {"version": "1", "digest": file_set.digest(at / "part")} for part in HELD}
    rest = {"name": "shop", **parts, "policy": "greedy@1", "vocabulary": "w", "serving": SERVING}
    write("releases", "small", json.dumps(release_folder.identified(rest)).encode())


def database(statement: str) -> bytes:
    """Return a database of one statement."""
    with sqlite3.connect(":memory:") as made:
        made.execute("PRAGMA page_size = 512")
        made.execute(statement)
        return made.serialize()


def archive(
    members: dict[str, bytes], *, link: str = "", kind: bytes = tarfile.SYMTYPE, folder: bool = False, mode: str = "w:"
) -> bytes:
    """Return an archive of files, and of a link with that target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if folder:
            info = tarfile.TarInfo("state/folder")
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        if link:
            info = tarfile.TarInfo("state/link")
            info.type, info.linkname = kind, link
            tar.addfile(info)
    found = out.getvalue()
    if mode == "w:":  # two blocks of zeros end an archive; the rest of its record says nothing
        found = found.rstrip(b"\0")
        found += bytes(-len(found) % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
    return found


def backups() -> None:
    """Write archives: whole, compressed, with a link, with a name that leads outside."""
    about = json.dumps({"home": "/srv/shop", "name": "shop", "not_in_archive": []}).encode()
    whole = {"backup.json": about, "state/last_run.json": b'{"at": "/srv/shop/mlflow"}'}
    write("backups", "whole", archive(whole))
    write("backups", "compressed", archive(whole, mode="w:gz"))
    write("backups", "link", archive(whole, link="../../outside"))
    write("backups", "outside", archive({**whole, "state/../../outside": b"theirs"}))
    write("backups", "second-name-of-itself", archive(whole, link="state/link", kind=tarfile.LNKTYPE))
    write("backups", "second-name-of-a-folder", archive(whole, link="state/folder", kind=tarfile.LNKTYPE, folder=True))
    write("backups", "from-nowhere", archive({**whole, "backup.json": b'{"home": "", "name": "shop"}'}))
    write("backups", "database", archive({**whole, "state/mlflow.db": database('CREATE TABLE "a""b" (c TEXT)')}))
    write("backups", "broken-database", archive({**whole, "state/mlflow.db": b"SQLite format 3\0" + bytes(200)}))


def sessions(at: Path) -> None:
    """Write a session model; its arrays are the seed."""
    codes = Codes(("view",), ())
    wide = len(codes.names)
    SessionScorer(
        intents=(SessionIntent(name="leave", ends=True),),
        codes=codes,
        mean=np.zeros(wide),
        scale=np.ones(wide),
        weights=(np.ones((wide, 2)), np.ones((2, 2)), np.ones((2, 1))),
        biases=(np.zeros(2), np.zeros(2), np.zeros(1)),
        start=np.asarray([0.5]),
    ).save(at)
    (CORPUS / "weights").mkdir(exist_ok=True)
    (at / "weights.npz").rename(CORPUS / "weights" / "small")


def main() -> None:
    """Write them all."""
    requests()
    releases()
    backups()
    at = CORPUS.parent / "session_model"
    at.mkdir(exist_ok=True)
    sessions(at)


if __name__ == "__main__":
    main()
