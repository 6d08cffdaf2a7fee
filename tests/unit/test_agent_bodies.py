"""What the agent makes of bodies and topics: each input with its answer."""

import csv
from typing import Any

import msgspec
import pytest
from edge_etl_agent.configuration import Topic
from edge_etl_agent.readings import Reading
from edge_etl_agent.topics import Pattern
from edge_etl_engine import STATUS, Part, message, readings
from edge_etl_job.errors import EdgeError
from hypothesis import given, settings
from hypothesis import strategies as st

JSON = "application/json"
KINDS = ("application/x-ndjson", JSON, "text/csv", "text/plain")
NOON = 1_772_366_400_000_000


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (JSON, '{"sensor_id":"a","t":21.5}', [(None, {"sensor_id": "a", "t": "21.5"})]),
        (JSON, '[{"a":1},{"a":2}]', [(None, {"a": "1"}), (None, {"a": "2"})]),
        (JSON + "; charset=utf-8", '{"a":true,"b":null}', [(None, {"a": "true"})]),
        (JSON, '{"a":{"b":{"c":1}},"ts":1772366400}', [(NOON, {"a_b_c": "1"})]),
        (JSON, '{"a":1,"time":1772366400000}', [(NOON, {"a": "1"})]),
        (JSON, '{"a":1,"timestamp":"2026-03-01T12:00:00Z"}', [(NOON, {"a": "1"})]),
        (JSON, '{"a":1,"timestamp":"2026-03-01T13:00:00+01:00"}', [(NOON, {"a": "1"})]),
        (JSON, '{"a":1,"timestamp":"2026-03-01 12:00:00"}', [(NOON, {"a": "1"})]),
        ("application/x-ndjson", '{"a":1}\n\n{"a":2}\n', [(None, {"a": "1"}), (None, {"a": "2"})]),
        (
            "text/csv",
            'time,sensor_id,t\r\n2026-03-01T12:00:00Z,"a,b",1\r\n,c,\r\n',
            [(NOON, {"sensor_id": "a,b", "t": "1"}), (None, {"sensor_id": "c"})],
        ),
        (
            "text/plain",
            'air,site=roof,room=a\\ b t=21.5,n=3i,on=t,s="x y,z" 1772366400000000000\n# comment\n',
            [
                (
                    NOON,
                    {
                        "measurement": "air", "site": "roof", "room": "a b",
                        "t": "21.5", "n": "3", "on": "true", "s": "x y,z",
                    },
                )
            ],
        ),
    ],
)  # fmt: skip
def test_what_a_body_says(kind: str, body: str, expected: list[Any]) -> None:
    assert [(time, dict(values)) for time, values in readings(kind, body.encode())] == expected


@pytest.mark.parametrize(
    ("kind", "body", "status", "record", "expected"),
    [
        ("image/png", b"", 415, None, "text/csv"),
        (JSON, b"", 400, None, "not JSON"),
        (JSON, b"[]", 400, None, "no reading"),
        (JSON, b'"a"', 400, None, "a reading is a JSON object"),
        (JSON, b'[{"a":1},7]', 400, 2, "a reading is a JSON object"),
        (JSON, b'{"timestamp":1}', 400, None, "no value"),
        (JSON, b'[{"a":1},{"a":[1]}]', 400, 2, "a: lists are not taken"),
        (JSON, b'{"a":"x\\ny"}', 400, None, "a: has line breaks"),
        (JSON, b'{"a":"\\ud800"}', 400, None, ""),
        (JSON, b'{"a\\nb":1}', 400, None, "is no name of a column"),
        (JSON, b'{"a":' + b"9" * 5000 + b"}", 400, None, ""),
        (JSON, b'{"a":1,"ts":-5}', 400, None, "ts: -5 is no time since 1970"),
        (JSON, b'{"a":1,"ts":"nan"}', 400, None, "ts: nan is no time since 1970"),
        (JSON, b'{"a":1,"ts":"yesterday"}', 400, None, 'ts: "yesterday" is neither ISO 8601'),
        (JSON, b"[" * 100_000, 400, None, "not JSON"),
        (JSON, b'{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}', 400, None, "too deep"),
        ("application/x-ndjson", b'{"a":1}\n{"a"\n', 400, 2, "not JSON"),
        ("text/csv", b"a,b\n1\n", 400, 1, "1 fields, 2 in the header"),
        ("text/csv", b"a,a\n1,2\n", 400, None, "named twice"),
        ("text/csv", b"\xff\xfe", 400, None, "byte 0 is not UTF-8"),
        ("text/plain", b"air t=1\nair\n", 400, 2, "no line protocol"),
        ("text/plain", b"air t=\n", 400, 1, '"t=" has no value'),
    ],
)
def test_what_is_refused_and_why(
    kind: str, body: bytes, status: int, record: int | None, expected: str
) -> None:
    with pytest.raises(ValueError, match=r"^\('") as refused:
        readings(kind, body)
    reason, text, where = refused.value.args
    assert (STATUS[reason], where) == (status, record)
    assert expected in text


def read_or_refused(kind: str, body: bytes) -> list[Reading]:
    try:
        return readings(kind, body)
    except ValueError as error:
        reason, text, _ = error.args
        assert STATUS[reason] == 400
        assert text
        return []


def lines(found: list[Reading], now: int | None = None) -> list[list[str]]:
    """Return what a reader of CSV finds in the rows of readings, without the time."""
    part = Part.of("readings", found)
    columns = part.fit([], 1000)
    rows, _ = part.rows(columns, now, None)
    return [row[1:] for row in csv.reader(rows.decode().splitlines(), strict=True)]


@settings(max_examples=200)
@given(st.sampled_from(KINDS), st.binary(max_size=200) | st.text().map(str.encode))
def test_any_body_is_read_or_refused(kind: str, body: bytes) -> None:
    found = read_or_refused(kind, body)
    assert len(lines(found)) == len(found)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["a", "time", "ts", "b"]), _JSON))
def test_any_json_object_is_read_or_refused(record: dict[str, Any]) -> None:
    read_or_refused(JSON, msgspec.json.encode(record))


_CELL = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)


@settings(max_examples=100)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), _CELL, min_size=1), min_size=1))
def test_a_line_of_csv_keeps_what_a_sender_wrote(records: list[dict[str, str]]) -> None:
    found = readings(JSON, msgspec.json.encode(records))
    columns = list(dict.fromkeys(name for record in records for name in record))
    assert lines(found) == [[record.get(name, "") for name in columns] for record in records]


def test_numbers_are_kept_as_they_were_written() -> None:
    ((_, values),) = readings(JSON, b'{"a":21.50,"b":123456789012345678901234567890,"c":1E5}')
    assert dict(values) == {"a": "21.50", "b": "123456789012345678901234567890", "c": "1E5"}


@pytest.mark.parametrize(
    ("pattern", "topic", "payload", "values"),
    [
        ("sensors/{sensor_id}/{field}", "sensors/a/t", b"21.5", {"sensor_id": "a", "t": "21.5"}),
        ("sensors/{sensor_id}/{field}", "sensors/a/on", b"ON", {"sensor_id": "a", "on": "ON"}),
        ("sensors/{sensor_id}", "sensors/a", b"7", {"sensor_id": "a", "value": "7"}),
        # What the broker lets a client publish to counts, not what its payload claims.
        ("s/{sensor_id}", "s/a", b'{"sensor_id":"b","t":1}', {"sensor_id": "a", "t": "1"}),
        ("{id}/status/+", "sh/status/t:0", b'{"t":{"tC":2}}', {"id": "sh", "t_tC": "2"}),
        ("zigbee/#", "zigbee/x/y", b'{"t":1}', {"t": "1"}),
        ("sensors/{sensor_id}", "sensors/a/b", b"7", None),
    ],
)
def test_what_a_message_says(
    pattern: str, topic: str, payload: bytes, values: dict[str, str] | None
) -> None:
    levels = Pattern.of(Topic(pattern)).levels(topic)
    assert (dict(message(*levels, payload)[0][1]) if levels else None) == values


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b'{"t":', b"[1,2]", b"{}"])
def test_a_message_that_says_nothing(payload: bytes) -> None:
    with pytest.raises(ValueError, match="BadReading"):
        message([("sensor_id", "a")], None, payload)


def test_what_brokers_are_asked_for() -> None:
    filters = {
        "sensors/{site}/{sensor_id}/{field}": "sensors/+/+/+",
        "a/+/#": "a/+/#",
        "plain": "plain",
    }
    assert {text: Pattern.of(Topic(text)).filter for text in filters} == filters
    for wrong in ("a/{b", "a/#/b", "x{y}", "{a}/{a}"):
        with pytest.raises(EdgeError, match=r"mqtt\.topics"):
            Pattern.of(Topic(wrong))
