"""A job document that cannot be meant is refused with the name of the field to mend."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge_etl_job.documents import JobDocument
from edge_etl_job.errors import EdgeError
from edge_etl_job.job import check, load_job

from tests.support.edge import document, job

STRING = {"name": "sensor_id", "type": "string"}
DOUBLE = {"name": "pm10", "type": "double"}


def refusal(tmp_path: Path, content: str) -> str:
    path = tmp_path / "job.json"
    path.write_text(content)
    with pytest.raises(EdgeError) as raised:
        load_job(path)
    assert raised.value.reason == "JobInvalid"
    return raised.value.message


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (
            {"schema": {"fields": [STRING, {"name": "x", "type": "float"}]}},
            "schema.fields[1].type: Invalid enum value 'float'",
        ),
        (
            {
                "schema": {
                    "fields": [STRING, DOUBLE, {"name": "x", "type": "long", "from": ["a", 1]}]
                }
            },
            "schema.fields[2].from[1]: Expected `str`, got `int`",
        ),
        ({"schema": {"fields": []}}, "schema.fields: Expected `array` of length >= 1"),
        (
            {"surprise": 1},
            "document: Object contains unknown field `surprise`",
        ),
        (
            {"schema": {"fields": [STRING, STRING]}, "key": ["sensor_id"]},
            "schema.fields[1].name: 'sensor_id' is there twice",
        ),
        (
            {"schema": {"fields": [STRING, {"name": "timestamp", "type": "string"}]}},
            "schema.fields[1].name: 'timestamp' is a column that every table has",
        ),
        (
            {"schema": {"fields": [STRING, DOUBLE | {"min": 2, "max": 1}]}},
            "schema.fields[1]: min 2 is greater than max 1",
        ),
        (
            {"schema": {"fields": [STRING | {"min": 2}]}},
            "schema.fields[0]: min and max are for fields of type double and long",
        ),
        ({"key": ["sensor"]}, "key[0]: there is no field 'sensor' in schema.fields"),
        ({"key": ["timestamp", "timestamp"]}, "key[1]: 'timestamp' is there twice"),
        (
            {"features": {"groupBy": ["site"]}},
            "features.groupBy[0]: there is no field 'site' in schema.fields",
        ),
        (
            {"features": {"groupBy": ["pm10"]}},
            "features.groupBy[0]: 'pm10' is a double; group by a string, a long or a boolean",
        ),
        (
            {
                "schema": {"fields": [STRING, {"name": "count", "type": "long"}]},
                "features": {"groupBy": ["count"]},
            },
            "features.groupBy[0]: the table of features has a column 'count' already",
        ),
        ({"features": {"window": "0h"}}, "features.window: a window has a length"),
        (
            {"source": {"include": ["/etc/*"]}},
            "source.include[0]: '/etc/*' is not relative to the source",
        ),
        (
            {"source": {"include": ["*.csv", "../*.csv"]}},
            "source.include[1]: '../*.csv' is not relative to the source",
        ),
        (
            {"schema": {"timestamp": {"timeZone": "Europe/Aberdeen"}}},
            "schema.timestamp.timeZone: there is no time zone 'Europe/Aberdeen'",
        ),
        (
            {"schema": {"timestamp": {"timeZone": "/etc/passwd"}}},
            "schema.timestamp.timeZone: there is no time zone '/etc/passwd'",
        ),
        (
            {"schema": {"timestamp": {"timeZone": "Europe"}}},
            "schema.timestamp.timeZone: there is no time zone 'Europe'",
        ),
        (
            {"schema": {"timestamp": {"notBefore": "yesterday"}}},
            "schema.timestamp.notBefore: 'yesterday' is not a time as RFC 3339 has it",
        ),
        (
            {"schema": {"timestamp": {"notBefore": "2015-01-01T00:00:00"}}},
            "schema.timestamp.notBefore: '2015-01-01T00:00:00' lacks its zone, such as Z",
        ),
        (
            {"schema": {"timestamp": {"formats": ["ISO8601", "%Y-%m-%d %Q"]}}},
            "schema.timestamp.formats[1]: '%Y-%m-%d %Q' cannot be used: %Q is not one of %Y",
        ),
        (
            {"schema": {"timestamp": {"formats": ["%H:%M:%S"]}}},
            "schema.timestamp.formats[0]: '%H:%M:%S' does not hold the whole date",
        ),
        (
            {"schema": {"timestamp": {"formats": ["%d.%m. %H:%M"]}}},
            "schema.timestamp.formats[0]: '%d.%m. %H:%M' does not hold the whole date",
        ),
        (
            {"schema": {"timestamp": {"formats": ["%Y-%m-%d %I:%M"]}}},
            "schema.timestamp.formats[0]: '%Y-%m-%d %I:%M' does not tell morning from evening",
        ),
        (
            {"schema": {"timestamp": {"formats": ["%Y-%m-%d %H:%M %Z"]}}},
            "schema.timestamp.formats[0]: '%Y-%m-%d %H:%M %Z' cannot be used: %Z is not one of %Y",
        ),
        (
            {"schema": {"timestamp": {"formats": ["%Y-%m-%d %d"]}}},
            "schema.timestamp.formats[0]: '%Y-%m-%d %d' holds %d twice",
        ),
        (
            {"schema": {"timestamp": {"formats": ["%d %b %m %Y"]}}},
            "schema.timestamp.formats[0]: '%d %b %m %Y' holds both %b and %m",
        ),
        (
            {"schema": {"timestamp": {"formats": ["iso8601"]}}},
            "schema.timestamp.formats[0]: 'iso8601' does not hold the whole date",
        ),
    ],
)
def test_what_is_wrong_is_named(over: dict[str, Any], message: str, tmp_path: Path) -> None:
    found = refusal(tmp_path, json.dumps(document(**over)))
    assert found.startswith(f"job.json: {message}")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = refusal(tmp_path, json.dumps(document(key=["x"], features={"groupBy": ["y"]})))
    assert "key[0]" in found
    assert "features.groupBy[0]" in found


@pytest.mark.parametrize("content", ["", "{", "\udcff", "[1]"])
def test_what_is_no_document_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(EdgeError, match=r"JobInvalid: job\.json: "):
        load_job(path)


def test_a_document_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"JobInvalid: no\.json: cannot be read"):
        load_job(tmp_path / "no.json")


@pytest.mark.parametrize(
    "pattern",
    ["%Y-%m-%d", "%d/%m/%Y %H.%M.%S", "%Y%m%dT%H%M%S%z", "%d %b %y %I:%M:%S %p", "EpochMillis"],
)
def test_patterns_that_hold_a_whole_time_are_good(pattern: str, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(document(schema={"timestamp": {"formats": [pattern]}})))
    assert load_job(path).schema.timestamp.formats == (pattern,)


def test_the_sample_of_the_documents_defaults_is_good(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(document()))
    assert load_job(path) == msgspec.convert(document(), JobDocument)


def test_what_needs_rows_is_refused_without_them() -> None:
    (problem,) = check(job(reprocess="Changed", results={"ship": ["features"]}))
    assert problem.startswith("reprocess: Changed needs rows in results.ship")
    assert list(check(job(reprocess="Changed"))) == []


def test_the_schema_version_follows_what_decides_on_rows() -> None:
    versions = {
        job().schema_version,
        job(run="20200101-000000", features={"window": "2h"}).schema_version,
    }
    assert len(versions) == 1
    for over in (
        {"key": ["timestamp"]},
        {"source": {"csv": {"decimal": ","}}},
        {"schema": {"nullValues": ["-"]}},
    ):
        versions.add(job(**over).schema_version)
    assert len(versions) == 4
