"""One Spark session for every test of a process that asks for it: starting one takes seconds."""

import importlib.util
import os
import shutil
from typing import Any

import pytest

from components.profiles.build import engine

SETTINGS = {  # tiny tables, tiny plans: what optimises large ones costs more than the queries
    "spark.sql.shuffle.partitions": "1",
    "spark.default.parallelism": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


def spark_or_skip() -> Any:
    """Return Spark on this machine, or skip where Java or pyspark is missing."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed")
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    if shutil.which(java) is None:
        pytest.skip("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    return engine.spark(SETTINGS)  # the running session, where there is one
