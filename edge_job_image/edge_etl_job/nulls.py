"""What means that there is no value, as the schema declares it for all fields and for each."""

import math
import re
from typing import Final

from edge_etl_job.documents import Field, JobDocument

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def null_texts(job: JobDocument, field: Field) -> frozenset[str]:
    """Return the cells that have no value."""
    return frozenset({"", *job.schema.null_values, *field.null_values})


def null_ranges(job: JobDocument, field: Field) -> tuple[tuple[float, float], ...]:
    """Return the numbers that mean null, however they are written, as (least, greatest)."""
    texts = sorted({*job.schema.null_values, *field.null_values})
    numbers = [number for text in texts if (number := _number(text, job, field)) is not None]
    return (
        *((number, number) for number in numbers),
        *(
            (
                -math.inf if each.min is None else each.min,
                math.inf if each.max is None else each.max,
            )
            for each in field.null_ranges
        ),
    )


def _number(text: str, job: JobDocument, field: Field) -> float | None:
    plain = text if job.source.csv.decimal == "." else text.replace(",", ".")
    return float(plain) if field.is_number and _NUMBER.fullmatch(plain) else None
