"""Bodies of requests and payloads of messages as readings: JSON, NDJSON, CSV, line protocol."""

import csv
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from edge_etl_agent.records import Reading, reading
from edge_etl_agent.refusals import BAD_READING, UNSUPPORTED, Refusal

MOST_READINGS: Final = 10_000
"""In one body."""


def decode(content_type: str, body: bytes) -> list[Reading]:
    """Return the readings of a body; raise Refusal that says what is wrong with which record."""
    kind = content_type.partition(";")[0].strip().lower()
    decoder = DECODERS.get(kind)
    if decoder is None:
        known = ", ".join(sorted(DECODERS))
        raise Refusal(UNSUPPORTED, f"Content-Type {kind[:80]!r} is not read; these are: {known}")
    readings: list[Reading] = []
    for each in decoder(body):
        if len(readings) == MOST_READINGS:
            raise Refusal(BAD_READING, f"more than {MOST_READINGS} readings: send them in parts")
        readings.append(each)
    if not readings:
        raise Refusal(BAD_READING, "the body holds no reading")
    return readings


def parsed(body: bytes, number: int | None = None) -> Any:
    """Return a JSON document; raise Refusal when it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(BAD_READING, f"this is not JSON: {error}", number) from None


def _json(body: bytes) -> Iterator[Reading]:
    document = parsed(body)
    if isinstance(document, list):
        for number, record in enumerate(document, 1):
            yield reading(record, number)
    else:
        yield reading(document)


def _ndjson(body: bytes) -> Iterator[Reading]:
    for number, line in enumerate(body.splitlines(), 1):
        if line.strip():
            yield reading(parsed(line, number), number)


def _csv(body: bytes) -> Iterator[Reading]:
    rows = csv.reader(_text(body).splitlines(), strict=True)
    header: list[str] = []
    number = 0
    try:
        for number, row in enumerate(rows):
            if not row:
                continue
            if not header:
                header = [name.strip() for name in row]
                if len(set(header)) != len(header):
                    raise Refusal(BAD_READING, "a column is named twice in the header")
                continue
            if len(row) != len(header):
                message = f"{len(row)} fields, {len(header)} in the header"
                raise Refusal(BAD_READING, message, number)
            cells = {name: cell for name, cell in zip(header, row, strict=True) if cell}
            yield reading(cells, number)
    except csv.Error as error:
        raise Refusal(BAD_READING, f"this is not CSV: {error}", number + 1) from None


# Line protocol: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
_PART: Final = re.compile(r'((?:\\.|"(?:\\.|[^"\\])*"|[^\\" ])+)')
_COMMA: Final = re.compile(r'(?:\\.|"(?:\\.|[^"\\])*"|[^\\",])+')
_PAIR: Final = re.compile(r"((?:\\.|[^\\=])+)=(.+)", re.DOTALL)
_ESCAPED: Final = re.compile(r'\\([, ="\\])')


def _line_protocol(body: bytes) -> Iterator[Reading]:
    for number, line in enumerate(_text(body).split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            try:
                record = _point(stripped)
            except ValueError as error:
                raise Refusal(BAD_READING, f"this is no line protocol: {error}", number) from None
            yield reading(record, number)


def _point(line: str) -> dict[str, object]:
    parts = _PART.findall(line)
    if len(parts) not in (2, 3) or " ".join(parts) != line:
        raise ValueError("expected `measurement,tag=value field=value timestamp`")
    name, *tags = _COMMA.findall(parts[0])
    point: dict[str, object] = {"measurement": _plain(name)}
    for tag in tags:
        key, value = _pair(tag)
        point[key] = _plain(value)
    for field in _COMMA.findall(parts[1]):
        key, value = _pair(field)
        point[key] = _field(value)
    if len(parts) == 3:
        point["timestamp"] = int(parts[2])
    return point


def _pair(part: str) -> tuple[str, str]:
    found = _PAIR.fullmatch(part)
    if not found:
        raise ValueError(f"{part[:80]!r} has no value")
    return _plain(found[1]), found[2]


def _field(value: str) -> object:
    if value.startswith('"'):
        if len(value) < 2 or not value.endswith('"'):
            raise ValueError("a text has no end")
        return _plain(value[1:-1])
    if value in ("t", "T", "true", "True", "TRUE"):
        return True
    if value in ("f", "F", "false", "False", "FALSE"):
        return False
    return int(value[:-1]) if value[-1:] in ("i", "u") else float(value)


def _plain(value: str) -> str:
    return _ESCAPED.sub(r"\1", value)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(BAD_READING, f"byte {error.start} is not UTF-8") from None


DECODERS: Final[dict[str, Callable[[bytes], Iterator[Reading]]]] = {
    "application/json": _json,
    "application/x-ndjson": _ndjson,
    "application/vnd.influx.line-protocol": _line_protocol,
    "text/csv": _csv,
    "text/plain": _line_protocol,
}
