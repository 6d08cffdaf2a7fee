"""The description of the HTTP interface (OpenAPI 3.1), which the agent serves itself."""

from typing import Any, Final

from edge_etl_agent import openapi_tasks
from edge_etl_agent.openapi_parts import answer, ref, refusal, refused

REFUSALS: Final = {
    400: ("BadReading", "No reading, and what is wrong with which record."),
    401: ("Unauthenticated", "No known token, or one that has expired; or no client certificate."),
    403: ("Forbidden", "A token for other streams, or for another `sensor_id`."),
    404: ("NotFound", "Nothing is here."),
    405: ("NotFound", "Not with this method; `Allow` says with which."),
    408: ("TimedOut", "Nothing of the body came for too long."),
    413: ("TooLarge", "The body is too large, as it is or unpacked."),
    415: ("UnsupportedMediaType", "A Content-Type or Content-Encoding that is not read."),
    429: ("Busy", "Too much is waiting for the disk: again after `Retry-After` seconds."),
    503: ("Unavailable", "The disk refuses to be written, or the agent is ending."),
    507: ("Full", "The disk budget is used up by readings that no run has delivered."),
}
"""The reasons of the intake, by the status of the answer."""

_SENT: Final = (400, 401, 403, 408, 413, 415, 429, 503, 507)


def document() -> dict[str, Any]:
    """Return the description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pi-Edge-Spark's edge agent",
            "version": "1",
            "description": "Readings come in; an answer goes out when they are on the disk.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        # With tokens or client certificates; without either everybody may ask.
        "security": [{}, {"token": []}],
        "paths": {
            "/v1/readings": {"post": _readings()},
            "/write": {"post": _line_protocol("db")},
            "/api/v2/write": {"post": _line_protocol("bucket")},
            "/v1/streams": {"get": _streams()},
            **openapi_tasks.paths(),
            "/healthz": {"get": _text("Whether the process is alive.")},
            "/readyz": {"get": _text("Whether it takes readings.", 503)},
            "/metrics": {"get": _text("Metrics for Prometheus.")},
            "/openapi.json": {"get": _description()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas() | openapi_tasks.schemas(),
            "responses": {
                str(status): refusal(*why)
                for status, why in (REFUSALS | openapi_tasks.REFUSALS).items()
            },
        },
    }  # fmt: skip


def _readings() -> dict[str, Any]:
    key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    return {
        "operationId": "sendReadings",
        "summary": "Store readings: all of the body, or nothing of it.",
        "parameters": [
            _query("stream", "The stream, which is a folder of its own."),
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "A body with a key that was stored before is not stored again.",
                "schema": key,
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": ref("Readings")},
                "application/x-ndjson": _example('{"sensor_id": "roof-1", "t": 21.5}\n'),
                "text/csv": _example("sensor_id,t\nroof-1,21.5\n"),
                "text/plain": _example("air,sensor_id=roof-1 t=21.5 1772366400000000000\n"),
            },
        },
        "responses": {
            "200": answer("They are on the disk.", ref("Stored")),
            **refused(*_SENT),
        },
    }


def _line_protocol(parameter: str) -> dict[str, Any]:
    return {
        "operationId": f"writeTo{parameter.capitalize()}",
        "summary": "Store InfluxDB line protocol, as Telegraf sends it.",
        "parameters": [_query(parameter, "The stream.")],
        "requestBody": {"required": True, "content": {"text/plain": _example("air t=21.5\n")}},
        "responses": {"204": {"description": "It is on the disk."}, **refused(*_SENT)},
    }


def _streams() -> dict[str, Any]:
    streams = {"type": "array", "items": ref("Stream")}
    found = {"type": "object", "required": ["streams"], "properties": {"streams": streams}}
    return {
        "operationId": "listStreams",
        "summary": "What has been stored since the agent started.",
        "responses": {"200": answer("All streams.", found), **refused(401)},
    }


def _text(summary: str, *refusals: int) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": summary,
        "security": [{}],
        "responses": {"200": {"description": summary, "content": content}, **refused(*refusals)},
    }


def _description() -> dict[str, Any]:
    return {
        "summary": "This document.",
        "security": [{}],
        "responses": {"200": answer("This document.", {"type": "object"})},
    }


def _schemas() -> dict[str, Any]:
    time = {
        "description": "ISO 8601, UTC without a zone; or a number since 1970 in s, ms, µs or ns. "
        "An object is no time, but columns like any other.",
        "type": ["string", "number", "null", "object"],
    }
    reading = {
        "description": "A value for each column; objects within become columns with joined names.",
        "type": "object",
        "minProperties": 1,
        "properties": {"timestamp": time, "time": time, "ts": time},
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_.:/-]{0,63}$"},
        "additionalProperties": {"type": ["string", "number", "boolean", "null", "object"]},
        "examples": [{"sensor_id": "roof-1", "temperature": 21.5}],
    }
    one = ref("Reading")
    number = {"type": "integer", "minimum": 0}
    return {
        "Reading": reading,
        "Readings": {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]},
        "Stored": {
            "type": "object",
            "required": ["accepted", "duplicate"],
            "additionalProperties": False,
            "properties": {
                "accepted": {
                    **number,
                    "description": "Readings stored now: none with a time of its own that was "
                    "stored before.",
                },
                "duplicate": {
                    "type": "boolean",
                    "description": "Whether all of them were stored before.",
                },
            },
        },
        "Stream": {
            "type": "object",
            "required": ["name", "readings", "bytes", "readingsPerMinute"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string"},
                "readings": number,
                "bytes": number,
                "readingsPerMinute": {"type": "number"},
                "lastTimestamp": {"type": ["string", "null"], "format": "date-time"},
                "lastValues": {
                    "type": ["object", "null"], "additionalProperties": {"type": "string"},
                },
            },
        },
        "Refusal": {
            "type": "object",
            "required": ["reason", "message"],
            "additionalProperties": False,
            "properties": {
                "reason": {"type": "string"},
                "message": {"type": "string"},
                "record": {"type": "integer", "minimum": 1},
            },
        },
    }  # fmt: skip


def _query(name: str, description: str) -> dict[str, Any]:
    stream = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
    return {"name": name, "in": "query", "description": description, "schema": stream}


def _example(text: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "example": text}
