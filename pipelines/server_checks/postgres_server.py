"""PostgreSQL: whether it lets us in, its version, and the encoding that Feast needs."""

from typing import Any

from pipelines.server_checks.check import TIMEOUT_S, Check, words


def settings_of_url(url: str) -> dict[str, Any]:
    """Return what the client is given of an SQLAlchemy URL.

    >>> settings_of_url("postgresql+psycopg://feast:p@postgres:5432/feast")
    {'host': 'postgres', 'dbname': 'feast', 'user': 'feast', 'password': 'p', 'port': 5432}
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("no URL such as postgresql+psycopg://user:password@host:5432/database") from error
    return parsed.translate_connect_args(username="user", database="dbname") | dict(parsed.query)


def settings_of_store(store: dict[str, Any]) -> dict[str, Any]:
    """Return what the client is given of Feast's online store.

    >>> settings_of_store({"type": "postgres", "host": "db", "database": "feast", "user": "u", "password": "p"})
    {'host': 'db', 'dbname': 'feast', 'user': 'u', 'password': 'p'}
    """
    names = {"host": "host", "port": "port", "database": "dbname", "user": "user", "password": "password"}
    ssl = {key: value for key, value in store.items() if key.startswith("sslmode") or key == "sslrootcert"}
    return {ours: store[feast] for feast, ours in names.items() if feast in store} | ssl


def postgres(name: str, settings: dict[str, Any]) -> list[Check]:
    """Connect, and read version and encoding from what the server then says."""
    try:
        import psycopg
    except ImportError:
        return [Check(name, None, "not checked: its client is not installed; pip install 'intentflow[postgres]'")]
    at, secret = f"{settings.get('host', 'localhost')}:{settings.get('port', 5432)}", str(settings.get("password", ""))
    try:
        with psycopg.connect(**settings | {"connect_timeout": TIMEOUT_S}) as connection:
            # What the server says as it lets us in. Not by a query: in SQL_ASCII its answers are bytes.
            version, encoding = (_said(connection, name) for name in ("server_version", "server_encoding"))
    except psycopg.Error as error:
        return [Check(name, False, f"{at} {_problem(words(error, secret), settings)}")]
    if encoding != "UTF8":
        database = settings.get("dbname", "feast")
        return [
            Check(
                name,
                False,
                f"{at} keeps database {database} in {encoding}, which Feast reads as bytes and fails; make it anew: "
                f"dropdb {database} && createdb -E UTF8 -T template0 {database}",
            )
        ]
    return [Check(name, True, f"{at} runs {version.split()[0]}, encoding {encoding}")]


def _said(connection: Any, name: str) -> str:
    return str(connection.info.parameter_status(name) or "?")


def _problem(said: str, settings: dict[str, Any]) -> str:
    """Tell a refusal from silence: a failed connection carries no code, only the server's words."""
    if "authentication failed" in said or "no password supplied" in said or 'role "' in said:
        return f"answers and refuses user {settings.get('user', '?')} ({said}); give it the password of its Secret"
    if "database" in said and "does not exist" in said:
        return f"has no database {settings.get('dbname', '?')}; make it: createdb -E UTF8 {settings.get('dbname', '?')}"
    return f"does not answer ({said}); start it, forward its port, or mend the address"
