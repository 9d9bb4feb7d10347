"""What an archive of a state folder cannot hold: what an environment keeps in servers, stores and variables.

Each is named by its address, without passwords, with the command that saves it and the one that brings it back.
`pipelines/backup.py` writes the list into the archive and prints it; docs/disaster-recovery.md has the order.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feature_repo.logs.object_store import shown
from pipelines.environment_spec import Environment

CLUSTER = "k8s/backup FOLDER", "k8s/restore FOLDER"  # where the server runs in the overlay's namespace
SECRET = re.compile(r"(?i)(password|passwd|secret|token|key)=[^,&;\s]*")
DOCUMENTS = "the document log (items changed live)"
Outside = dict[str, str]  # what, where, holds, save, restore


def outside(environment: Environment, home: Path) -> list[Outside]:
    """List what is not below a state folder."""
    return list(_outside(environment, home))


def lines(found: list[Outside], verb: str) -> list[str]:
    """Return what a person reads; `verb` is save or restore."""
    if not found:
        return ["not in this archive: nothing; everything that this environment keeps is below the state folder"]
    said = [f"NOT in this archive ({len(found)}):"]
    for one in found:
        said.append(f"  {one['what']} at {one['where']}: {one['holds']}")
        said.append(f"    {verb}: {one[verb]}")
    return [*said, "  in this order, and what else comes back: docs/disaster-recovery.md"]


def _outside(environment: Environment, home: Path) -> Iterator[Outside]:
    database = environment.mlflow.tracking_uri
    if not _is_here(database, home):
        yield _server(
            "MLflow", database, "models, releases, aliases, gates: its database and its artifacts",
            "pg_dump -Fc of its database, then a copy of its bucket", "pg_restore, and the bucket of that time",
        )  # fmt: skip
    if (artifacts := environment.mlflow.artifacts) and not _is_here(artifacts, home):
        yield _store("MLflow's artifacts", artifacts, "the models themselves")
    online = environment.feast.online_store
    if online["type"] == "redis":
        yield _server(
            "Redis", str(online.get("connection_string", "")), f"profiles, events since the last run, and {DOCUMENTS}",
            "redis-cli --rdb FILE",
            "an empty server over that file; or empty, and `intentflow job materialise`, without what items were put",
        )  # fmt: skip
    elif online["type"] == "postgres":
        where = f"{online.get('host', '')}:{online.get('port', 5432)}/{online.get('database', '')}"
        yield _postgres("PostgreSQL (online store)", where, f"profiles, events since the last run, and {DOCUMENTS}")
    elif not _is_here(str(online.get("path", "")), home):
        held = f"profiles, events since the last run, and {DOCUMENTS}"
        yield _store("the online store", str(online.get("path", "")), held)
    registry: Any = environment.feast.registry
    registry = registry.get("path", "") if isinstance(registry, dict) else registry
    if not _is_here(str(registry), home):
        yield _postgres("PostgreSQL (Feast's registry)", str(registry), "definitions; `materialise` makes them again")
    if environment.evidently.startswith("http"):
        yield _server("Evidently", environment.evidently, "reports of drift; nothing is served from them",
                      "a snapshot of its volume", "the snapshot, or nothing: reports come again")  # fmt: skip
    if environment.requests.url and not _is_here(environment.requests.url, home):
        yield _store("logs of requests and events", environment.requests.url, "evidence for drift, rewards, parity")
    yield from _key(environment, home)


def _key(environment: Environment, home: Path) -> Iterator[Outside]:
    named = environment.pseudonyms
    if named.key_env is None and _is_here(str(named.key_file), home):
        return
    where = f"variable {named.key_env}" if named.key_env else f"file {named.key_file}"
    yield {
        "what": "the pseudonym key", "where": where, "holds": "without it no profile, log or release fits anyone",
        "save": "keep it apart from every backup; on a cluster it is in the Secret `recommender`",
        "restore": "first of all, the same key",
    }  # fmt: skip


def _server(what: str, where: str, holds: str, save: str, restore: str) -> Outside:
    """Describe a server; the cluster's own scripts come first."""
    save, restore = f"{CLUSTER[0]} (in the overlay), else {save}", f"{CLUSTER[1]} (in the overlay), else {restore}"
    return {"what": what, "where": redacted(where), "holds": holds, "save": save, "restore": restore}


def _postgres(what: str, where: str, holds: str) -> Outside:
    return _server(what, where, holds, "pg_dump -Fc DATABASE", "pg_restore --clean --if-exists -d DATABASE")


def _store(what: str, where: str, holds: str) -> Outside:
    return {"what": what, "where": redacted(where), "holds": holds,
            "save": "a copy, or the bucket's own versions", "restore": "that copy under the same address"}  # fmt: skip


def _is_here(address: str, home: Path) -> bool:
    """Tell whether an address is a file below the state folder."""
    path = address.removeprefix("sqlite:///").removeprefix("file://")
    return "://" not in path and Path(path).is_absolute() and Path(path).is_relative_to(home)


def redacted(address: str) -> str:
    """Return an address without its password.

    >>> redacted("redis:6379,password=s3cret"), redacted("postgresql+psycopg://feast:s3@cret@db:5432/feast")
    ('redis:6379,password=***', 'postgresql+psycopg://feast:***@db:5432/feast')
    """
    return SECRET.sub(r"\1=***", shown(address))
