"""What the program tells of CSV files of which there is no schema yet: for `edge-etl init`."""

from typing import Literal

from edge_etl_job.documents import API_VERSION, Count, Document


class InspectedFile(Document, frozen=True, kw_only=True):
    """How a file is written."""

    path: str
    rows: Count
    """Rows that were looked at."""
    header: bool
    """Whether its first line names the columns; otherwise they are called column_1, ..."""
    note: str = ""
    """What about it is not plain, and what showed it."""


class InspectedTime(Document, frozen=True, kw_only=True):
    """Which columns say when a reading was taken, and how."""

    columns: tuple[str, ...]
    """More than one where a time is spread over several."""
    formats: tuple[str, ...]
    zoned: bool
    """Whether each time says its zone or counts from 1970."""
    ambiguous: bool
    """Whether day and month might be the other way round."""
    earliest: str
    latest: str


class InspectedColumn(Document, frozen=True, kw_only=True):
    """What is in a column."""

    name: str
    kind: Literal["double", "string", "boolean", "empty"]
    distinct: Count
    """Different values, counted up to a hundred."""
    min: float | None = None
    max: float | None = None
    nulls: tuple[str, ...] = ()
    """Texts that stand where there is no value."""
    sentinels: tuple[str, ...] = ()
    """Numbers far beside all others that usually mean that there is no value."""
    example: str = ""


class Inspection(Document, frozen=True, kw_only=True):
    """What there is in some CSV files."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"] = API_VERSION
    kind: Literal["Inspection"] = "Inspection"
    files: tuple[InspectedFile, ...]
    times: tuple[InspectedTime, ...]
    columns: tuple[InspectedColumn, ...]
    key: tuple[str, ...]
    """Columns that, with the time, tell readings apart."""
    unique: bool
    """Whether they do so in these files."""
