"""The two accounts of an MLflow server that asks who calls: `python -m components.registry.accounts FOLDER`.

Runs before the server starts, in its pod's init container. It writes FOLDER/basic_auth.ini, which MLflow's own
basic-auth app reads (MLFLOW_AUTH_CONFIG_PATH), and makes both accounts in the database of users, or gives them their
new passwords:

    writer    an administrator of MLflow: pipelines, the loop, jobs, people who move the champion
    reader    reads everything, moves no alias, and changes nothing that it did not make: doors and model services

Nobody else has an account; who has none learns what the server is able to do (server-info), and reads nothing. Every
account may make experiments, models and secrets of its gateway, of names that are free; it then owns those. Names and
passwords come from the Secrets `mlflow-writer` and `mlflow-reader`. Nothing is printed of them. What an account was
called before loses its rights with the next start.
"""

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from feature_repo import env_names, files
from feature_repo.errors import SpecError, UserError

FILE = "basic_auth.ini"
PERMISSION = "READ"  # of every account to what it does not own
REMEMBERED_S = 60  # for which a password that was right is not hashed again, which costs a tenth of a second
SHORTEST = 12  # characters of a password, as MLflow asks
NAMES = {  # by role: the variables of its name and its password
    "writer": (env_names.MLFLOW_WRITER, env_names.MLFLOW_WRITER_PASSWORD),
    "reader": (env_names.MLFLOW_READER, env_names.MLFLOW_READER_PASSWORD),
}
STORE = "MLFLOW_BACKEND_STORE_URI"  # MLflow's own: the users lie in the same database, in tables of their own


@dataclass(frozen=True)
class Account:
    """Who may ask MLflow."""

    name: str
    password: str
    admin: bool


def accounts(variables: Mapping[str, str]) -> tuple[Account, ...]:
    """Read both accounts; a password that is short, or the same twice, is a mistake."""
    found = []
    for role, (name, password) in NAMES.items():
        given, secret = variables.get(name, "").strip(), variables.get(password, "")
        if not given:
            raise SpecError(f"{name} is not set; give the Secret mlflow-{role} a MLFLOW_TRACKING_USERNAME")
        if len(secret) < SHORTEST:
            raise SpecError(
                f"{password}: {len(secret)} characters are not allowed; give the Secret mlflow-{role} a "
                f"MLFLOW_TRACKING_PASSWORD of {SHORTEST} or more, such as `openssl rand -hex 24`"
            )
        found.append(Account(given, secret, role == "writer"))
    writer, reader = found
    if writer.name == reader.name or writer.password == reader.password:
        raise SpecError(
            f"{NAMES['reader'][0]}: writer and reader have the same name or password, so a door could move models; "
            "give each its own"
        )
    return writer, reader


def settings(database: str) -> str:
    """Return the text of MLflow's file.

    >>> "database_uri = sqlite:////data/mlflow.db" in settings("sqlite:////data/mlflow.db")
    True
    """
    import io

    file = configparser.ConfigParser()
    file["mlflow"] = {
        "default_permission": PERMISSION,
        "database_uri": database.replace("%", "%%"),  # its reader takes a % as the beginning of a reference
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        "grant_default_workspace_access": "false",
        "auth_cache_ttl_seconds": str(REMEMBERED_S),
    }
    out = io.StringIO()
    file.write(out)
    return out.getvalue()


def keep(database: str, wanted: tuple[Account, ...]) -> dict[str, str]:
    """Make the accounts in a database of users; return by name what was done. Every other account goes."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store, done = SqlAlchemyStore(), {}
    store.init_db(database)
    for one in wanted:
        if not store.has_user(one.name):
            store.create_user(one.name, one.password, is_admin=one.admin)
            done[one.name] = "made"
        elif store.authenticate_user(one.name, one.password) and store.get_user(one.name).is_admin == one.admin:
            done[one.name] = "kept"
        else:
            store.update_user(one.name, password=one.password, is_admin=one.admin)
            done[one.name] = "changed"
    for other in store.list_users():
        if other.username not in {one.name for one in wanted}:
            store.delete_user(other.username)
            done[other.username] = "removed"
    return done


def main() -> None:
    """Run the command; a mistake is one line and exit code 2."""
    files.private_from_now()
    try:
        if len(sys.argv) != 2:
            raise SpecError("python -m components.registry.accounts FOLDER: give the folder to write to")
        wanted, database = accounts(os.environ), os.environ.get(STORE, "")
        if not database:
            raise SpecError(f"{STORE} is not set; give the server's database, where its users lie too")
        with files.written(Path(sys.argv[1]) / FILE) as aside:
            aside.write_text(settings(database))
        done = keep(database, wanted)
    except UserError as error:
        print(f"intentflow: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print("accounts of MLflow: " + ", ".join(f"{name} {what}" for name, what in done.items()))


if __name__ == "__main__":
    main()
