"""What the agent makes of bodies and topics: each input with its answer."""

from typing import Any

import msgspec
import pytest
from edge_etl_agent.bodies import DECODERS, decode
from edge_etl_agent.configuration import Topic
from edge_etl_agent.records import Reading, columns, line, moment
from edge_etl_agent.refusals import Refusal
from edge_etl_agent.topics import Pattern
from edge_etl_job.errors import EdgeError
from hypothesis import given, settings
from hypothesis import strategies as st

JSON = "application/json"
NOON = 1_772_366_400_000_000


@pytest.mark.parametrize(
    ("kind", "body", "readings"),
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
def test_what_a_body_says(kind: str, body: str, readings: list[Any]) -> None:
    found = decode(kind, body.encode())
    assert [(each.time, each.values) for each in found] == readings


@pytest.mark.parametrize(
    ("kind", "body", "status", "record", "message"),
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
        (JSON, b'{"a":1,"ts":-5}', 400, None, "ts: -5.0 is no time since 1970"),
        (JSON, b'{"a":1,"ts":"nan"}', 400, None, "ts: nan is no time since 1970"),
        (JSON, b'{"a":1,"ts":"yesterday"}', 400, None, "ts: 'yesterday' is neither ISO 8601"),
        (JSON, b"[" * 100_000, 400, None, "not JSON"),
        (JSON, b'{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}', 400, None, "too deep"),
        ("application/x-ndjson", b'{"a":1}\n{"a"\n', 400, 2, "not JSON"),
        ("text/csv", b"a,b\n1\n", 400, 1, "1 fields, 2 in the header"),
        ("text/csv", b"a,a\n1,2\n", 400, None, "named twice"),
        ("text/csv", b"\xff\xfe", 400, None, "byte 0 is not UTF-8"),
        ("text/plain", b"air t=1\nair\n", 400, 2, "no line protocol"),
        ("text/plain", b"air t=\n", 400, 1, "'t=' has no value"),
    ],
)
def test_what_is_refused_and_why(
    kind: str, body: bytes, status: int, record: int | None, message: str
) -> None:
    with pytest.raises(Refusal) as refused:
        decode(kind, body)
    assert (refused.value.status, refused.value.record) == (status, record)
    assert message in refused.value.message


def read_or_refused(kind: str, body: bytes) -> list[Reading]:
    try:
        return decode(kind, body)
    except Refusal:
        return []


@settings(max_examples=200)
@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=200) | st.text().map(str.encode))
def test_any_body_is_read_or_refused(kind: str, body: bytes) -> None:
    readings = read_or_refused(kind, body)
    names = columns(readings, ())
    for each in readings:
        text = line(each, names)
        assert text.count("\n") == 1
        text.encode()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["a", "time", "ts", "b"]), _JSON))
def test_any_json_object_is_read_or_refused(record: dict[str, Any]) -> None:
    read_or_refused(JSON, msgspec.json.encode(record))


def test_a_line_of_csv_keeps_what_would_break_it() -> None:
    reading = Reading(NOON + 1, {"a": 'x,"y"', "b": "1;2"})
    names = columns([reading], ())
    assert names == ("timestamp", "a", "b")
    assert line(reading, names) == '2026-03-01T12:00:00.000001Z,"x,""y""","1;2"\n'
    assert line(Reading(None, {}), names) == ",,\n"
    assert moment(10**19) == ""


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
    found = Pattern.of(Topic(pattern)).reading(topic, payload)
    assert (found.values if found else None) == values


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b'{"t":', b"[1,2]", b"{}"])
def test_a_message_that_says_nothing(payload: bytes) -> None:
    with pytest.raises(Refusal):
        Pattern.of(Topic("sensors/{sensor_id}")).reading("sensors/a", payload)


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
