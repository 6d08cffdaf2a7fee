"""Become a Spark executor: what Spark's own image does in its entrypoint script.

Spark's driver creates executor pods with the argument ``executor`` and what they need to know in
environment variables (Spark 4.3, ``BasicExecutorFeatureStep``).
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_etl_spark.errors import INTERNAL_ERROR, JAVA_MISSING, AggregationError
from edge_etl_spark.java import class_path
from edge_etl_spark.trust import AUTHORITY_VARIABLE, trusting

_BACKEND: Final = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
_ARGUMENTS: Final = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}


def command(environment: Mapping[str, str], java: Path, jars: str) -> list[str]:
    """Return the java command of an executor. Raises AggregationError naming a missing variable."""
    missing = [name for name in _ARGUMENTS.values() if name not in environment]
    if missing:
        raise AggregationError(
            INTERNAL_ERROR,
            f"{missing[0]} is not set; only Spark's driver starts a container as executor",
        )
    numbered = (
        (int(match[1]), value)
        for name, value in environment.items()
        if (match := re.fullmatch(r"SPARK_JAVA_OPT_(\d+)", name))
    )
    options = [value for _, value in sorted(numbered)]
    if authority := environment.get(AUTHORITY_VARIABLE):
        options.append(trusting(Path(authority), Path(tempfile.gettempdir())))
    memory = environment.get("SPARK_EXECUTOR_MEMORY")
    arguments = [part for flag, name in _ARGUMENTS.items() for part in (flag, environment[name])]
    return [
        str(java),
        *options,
        *([f"-Xmx{memory}"] if memory else []),
        "-cp",
        f"{jars}:{environment.get('SPARK_CONF_DIR', '/opt/spark/conf')}",
        _BACKEND,
        *arguments,
    ]


def run() -> None:
    """Replace this process by the executor."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        raise AggregationError(JAVA_MISSING, "no java in JAVA_HOME or on PATH")
    arguments = command(os.environ, Path(java), class_path())
    os.execv(arguments[0], arguments)  # noqa: S606  # no shell is wanted
