"""Which engine computes the features: DuckDB in this process, or Spark past one machine.

The expressions of feature_repo are the same on both; the environment chooses (`profiles.engine`), never the spec, and
the files that come out are the same. What differs between engines is here: how to open one and how to keep a table.
"""

import json
import os
import tempfile
from typing import Any

import ibis
import pyarrow as pa

from feature_repo import env_names
from feature_repo.errors import SpecError, nearest

ENGINE = env_names.PROFILES_ENGINE  # duckdb | spark
SPARK = env_names.SPARK  # JSON: Spark's own settings, above ours
ENGINES = ("duckdb", "spark")
# One machine's settings; a cluster's environment names its own spark.master and what it wants otherwise.
SPARK_DEFAULTS = {
    "spark.app.name": "intentflow-profiles",
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
}
LOOPBACK = ("spark.driver.host", "spark.driver.bindAddress")
SUBMITTED = "PYSPARK_GATEWAY_PORT"  # spark-submit sets it: where the session runs is decided, and by whom
# Whatever the environment says: instants are UTC, and wrong types are errors, not nulls.
SPARK_FIXED = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}
Table = Any


def chosen(environment: dict[str, str] | None = None) -> str:
    """Return the engine that the environment names; duckdb where it names none."""
    name = (os.environ if environment is None else environment).get(ENGINE) or ENGINES[0]
    if name not in ENGINES:
        raise SpecError(
            f"{ENGINE}: '{name}' is no engine; have {', '.join(ENGINES)}{nearest(name, list(ENGINES))} "
            "(profiles.engine of the environment)"
        )
    return name


def duckdb(memory: str) -> Any:
    """Open an in-memory DuckDB that spills to disk past `memory` and speaks UTC."""
    connection = ibis.duckdb.connect()
    connection.raw_sql(f"SET memory_limit = '{memory}'; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    # Its own choice is a folder where the process stands, which on a cluster is read-only.
    connection.raw_sql(f"SET temp_directory = '{tempfile.gettempdir()}/intentflow-duckdb-{os.getpid()}'")
    return connection


def spark(settings: dict[str, str] | None = None) -> Any:
    """Open Spark with the environment's settings; needs Java and the package pyspark."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SpecError("profiles.engine: spark needs the package pyspark; install it, or use duckdb") from error
    given = json.loads(os.environ.get(SPARK) or "{}") if settings is None else settings
    builder = SparkSession.builder
    for name, value in session_settings(given).items():
        builder = builder.config(name, value)
    try:
        return ibis.pyspark.connect(builder.getOrCreate())
    except PySparkException as error:
        raise SpecError(
            f"profiles.engine: spark did not start ({str(error).splitlines()[0]}); it needs Java 17, "
            "or a spark.master that is reached from here"
        ) from error


def session_settings(given: dict[str, str]) -> dict[str, str]:
    """Return what a session is opened with: what is given, above what fits where it runs.

    >>> session_settings({"spark.master": "k8s://https://api:6443"}).get("spark.driver.host", "the machine's own")
    "the machine's own"
    """
    if SUBMITTED in os.environ:
        defaults = {}
    elif given.get("spark.master", SPARK_DEFAULTS["spark.master"]).startswith("local"):
        defaults = SPARK_DEFAULTS
    else:  # executors elsewhere call the driver: it must not listen on the loopback alone
        defaults = {name: value for name, value in SPARK_DEFAULTS.items() if name not in LOOPBACK}
    return defaults | given | SPARK_FIXED


def stored(connection: Any, name: str, table: Any) -> Table:
    """Materialise an expression or an Arrow table under a name.

    Spark keeps it in its executors' memory and on their disks: a table of its warehouse would outlive the run.
    """
    if connection.name == "pyspark":
        expression = ibis.memtable(table) if isinstance(table, pa.Table) else table
        connection.create_view(name, expression, overwrite=True)
        connection.raw_sql(f"CACHE TABLE `{name}`")
        return connection.table(name)
    if not isinstance(table, pa.Table):
        return connection.create_table(name, table)
    # As ibis does, without its expression of a table of Arrow: half the time where tables are small.
    given = f"given_{name}"
    connection.con.register(given, table)
    connection.con.execute(f'CREATE TABLE "{name}" AS FROM "{given}"')
    connection.con.unregister(given)
    return connection.table(name)
