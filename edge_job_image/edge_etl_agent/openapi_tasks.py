"""The description of the requests for tasks."""

from typing import Any, Final

import msgspec
from edge_etl_job.documents import JobDocument, NodeManifest

from edge_etl_agent.openapi_parts import answer, ref, refused, response
from edge_etl_agent.refusals import OF_TASKS
from edge_etl_agent.task_service import Overview

_NO_JOB, _CONFLICT = (f"{status}-{reason}" for reason, status in OF_TASKS.items())
REFUSALS: Final = {
    _NO_JOB: ("JobInvalid", "No job document, and what is wrong with which field; or no dataset."),
    _CONFLICT: (
        "TaskConflict",
        "The same run was asked for with another document, or the task is being run.",
    ),
}

_TASK_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9]{8}-[0-9]{6}-[0-9a-f]{16}$"},
}
_FILE_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._=-]{0,127}$"},
}


def paths() -> dict[str, Any]:
    """Return what is below /v1/tasks."""
    return {
        "/v1/tasks": {"get": _list_tasks(), "post": _add_task()},
        "/v1/tasks/{id}": {"parameters": [_TASK_ID], "get": _task(), "delete": _remove_task()},
        "/v1/tasks/{id}/files/{name}": {
            "parameters": [_TASK_ID, _FILE_NAME], "get": _result_file(),
        },
    }  # fmt: skip


def schemas() -> dict[str, Any]:
    """Return the schemas of the documents that tasks are made of."""
    _, components = msgspec.json.schema_components(
        (JobDocument, NodeManifest, Overview), ref_template="#/components/schemas/{name}"
    )
    return components


def _list_tasks() -> dict[str, Any]:
    return {
        "operationId": "listTasks",
        "summary": "This Pi's name, what tasks may read here, and all tasks. Off by default.",
        "responses": {"200": answer("All tasks.", ref("Overview")), **refused(401, 403, 404)},
    }


def _add_task() -> dict[str, Any]:
    dataset = {"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"}
    document = {"required": True, "content": {"application/json": {"schema": ref("JobDocument")}}}
    new = answer("It is on the disk, and will be run.", ref("Shown"))
    # The job document may only name a source that this agent has: 403.
    return {
        "operationId": "addTask",
        "summary": "Have the edge program run; the same document again is the same task.",
        "parameters": [
            {
                "name": "dataset",
                "in": "query",
                "required": True,
                "description": "The id in the dataset.json of the results: what was delivered "
                "there is not delivered again.",
                "schema": dataset,
            }
        ],
        "requestBody": document,
        "responses": {
            "200": answer("It is there already.", ref("Shown")),
            "201": new,
            "400": response(_NO_JOB),
            "409": response(_CONFLICT),
            **refused(401, 403, 404, 408, 413, 429, 503, 507),
        },
    }


def _task() -> dict[str, Any]:
    return {
        "operationId": "showTask",
        "summary": "How far a task is, and what became of it.",
        "responses": {"200": answer("The task.", ref("Shown")), **refused(401, 403, 404)},
    }


def _remove_task() -> dict[str, Any]:
    return {
        "operationId": "removeTask",
        "summary": "Forget a task that is not being run, and remove its results from this Pi.",
        "responses": {
            "204": {"description": "It is gone."},
            "409": response(_CONFLICT),
            **refused(401, 403, 404),
        },
    }


def _result_file() -> dict[str, Any]:
    whole = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    manifest = {"schema": ref("NodeManifest")}
    return {
        "operationId": "getFile",
        "summary": "A file of the results: manifest.json, which lists the others with SHA-256.",
        "responses": {
            "200": {
                "description": "The file.",
                "content": {"application/octet-stream": whole, "application/json": manifest},
            },
            **refused(401, 403, 404, 503),
        },
    }
