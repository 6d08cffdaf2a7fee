"""Read the aggregation document, and say what is wrong with it in its own words."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from edge_etl_spark.documents import AggregationDocument, Application, Field
from edge_etl_spark.errors import APPLICATION_FAILED, DOCUMENT_INVALID, AggregationError

TIMESTAMP: Final = "timestamp"
RESERVED_FIELDS: Final = {TIMESTAMP, "day"}
"""Columns of the table that are not the schema's: a field cannot have their names."""
RESERVED_GROUPS: Final = re.compile(
    "window_start|field|count|mean|m2|stddev|min|max|p[1-9][0-9]?|quantiles|first|last|"
    "first_time|last_time|sin|cos|circular_mean"
)
"""Columns of the features: a field with such a name cannot be in ``groupBy``."""


def read(path: Path) -> AggregationDocument:
    """Parse and check the document; raise AggregationError (DocumentInvalid) if it is wrong."""
    try:
        document = msgspec.json.decode(path.read_bytes(), type=AggregationDocument)
    except OSError as error:
        raise AggregationError(DOCUMENT_INVALID, f"cannot read {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise AggregationError(DOCUMENT_INVALID, f"{path}: {error}") from None
    document = with_label_columns(document)
    problem = _problem(document)
    if problem:
        raise AggregationError(DOCUMENT_INVALID, f"{path}: {problem}")
    return document


def application_source(application: Application) -> bytes:
    """Return the person's own aggregation; AggregationError (ApplicationFailed) without it."""
    try:
        return Path(application.path).read_bytes()
    except OSError as error:
        raise AggregationError(
            APPLICATION_FAILED, f"{application.name}: cannot read it: {error.strerror}"
        ) from None


def with_label_columns(document: AggregationDocument) -> AggregationDocument:
    """Return the document with the columns from the nodes' labels among its fields."""
    columns = tuple(Field(name=name, type="string") for name in document.label_columns)
    return msgspec.structs.replace(document, fields=(*document.fields, *columns))


def _problem(document: AggregationDocument) -> str | None:
    names = [field.name for field in document.fields]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        return f"$.fields: {repeated[0]} is there twice"
    if taken := RESERVED_FIELDS.intersection(names):
        return f"$.fields: {min(taken)} is a column of every table; give the field another name"
    if unknown := set(document.key) - {TIMESTAMP, *names}:
        return f"$.key: {min(unknown)} is not a field"
    if unknown := set(document.group_by) - set(names):
        return f"$.groupBy: {min(unknown)} is not a field"
    if groups := list(filter(RESERVED_GROUPS.fullmatch, document.group_by)):
        return f"$.groupBy: {groups[0]} is a column of the features; give the field another name"
    if document.window.rstrip("smhd").strip("0") == "":
        return "$.window: must be longer than nothing"
    return None
