"""A person's own aggregation: ``aggregate(spark, clean, features) -> DataFrame`` in a file.

It runs whenever a version is built, on the whole table, and its result is a part of that version:
readers see rows, features and result of the same data, or the version before.
"""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from edge_etl_spark.document import application_source
from edge_etl_spark.documents import Application
from edge_etl_spark.errors import APPLICATION_FAILED, AggregationError
from edge_etl_spark.files import Files, names

FUNCTION: Final = "aggregate"
TABLE: Final = "application"


def run(
    application: Application,
    spark: SparkSession,
    files: Files,
    staging: Path,
    target: Path,
    rows: StructType,
    features: StructType,
) -> None:
    """Write the result to a directory; rows and features in staging are complete.

    Raises AggregationError (ApplicationFailed) with the person's line.
    """
    function = _load(application)
    clean, states = (
        _table(spark, files, staging / "rows", rows),
        _table(spark, files, staging / "features", features),
    )
    try:
        result = function(spark, clean, states)
        if not isinstance(result, DataFrame):
            raise _failed(
                application, f"{FUNCTION} returned {type(result).__name__}, not a DataFrame"
            )
        # What is wrong in a DataFrame shows only when it is computed.
        result.write.parquet(files.named(target))
    except AggregationError:
        raise
    except Exception as error:
        raise _failed(application, _told(application, error)) from error


def _table(spark: SparkSession, files: Files, directory: Path, schema: StructType) -> DataFrame:
    """Return a part of the table with its day, empty where the version has none."""
    with_day = StructType([*schema.fields]).add("day", "string")
    paths = files.below(directory)
    if not paths:
        return spark.createDataFrame([], with_day)
    reader = spark.read.schema(with_day).option("basePath", files.named(directory))
    return reader.parquet(*names(files, paths))


def _load(application: Application) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "application"}
    try:
        code = compile(application_source(application), application.name, "exec")
        exec(code, names)  # noqa: S102  # running it is what the person asks for
    except SyntaxError as error:
        raise _failed(application, f"line {error.lineno}: {error.msg}") from None
    except Exception as error:
        raise _failed(application, _told(application, error)) from error
    function = names.get(FUNCTION)
    if not callable(function):
        raise _failed(application, f"it has no function {FUNCTION}(spark, clean, features)")
    found: Callable[..., Any] = function
    return found


def _told(application: Application, error: Exception) -> str:
    """Return the error in one line, with the last line of the person's file that led to it."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == application.name
    ]
    text = str(error)
    # A Python function that Spark ran in another process tells its own traceback as text.
    inner = re.findall(rf'File "{re.escape(application.name)}", line (\d+)', text)
    where = f"line {inner[-1] if inner else lines[-1]}: " if inner or lines else ""
    said = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"{where}{type(error).__name__}: {said}"[:1000]


def _failed(application: Application, what: str) -> AggregationError:
    return AggregationError(APPLICATION_FAILED, f"{application.name}: {what}")
