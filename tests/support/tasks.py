"""Edge agents that run tasks, and the job documents that they are sent."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_etl_operator import api
from edge_etl_operator.documents import job_document
from edge_etl_operator.validation import load_job

from tests.support.agent import JSON, AgentProcess, Answer
from tests.support.cluster.cache import REPOSITORY
from tests.support.cluster.kube import until

SAMPLE = REPOSITORY / "manifests/samples/air-quality.yaml"
TOKEN = "d" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}
TOKENS: list[dict[str, Any]] = [
    {"name": "driver", "token": TOKEN, "tasks": True, "streams": []},
    {"name": "sensor", "token": "s" * 32},
]
DATASET = "6f1d2c0e-test"


class TaskAgent(AgentProcess):
    """An agent whose tasks may read one source, `sensors`."""

    def __init__(self, root: Path, node: str = "pi-1", **tasks: Any) -> None:
        for folder in ("sensors", "tasks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        settings = {
            "directory": str(root / "tasks"),
            "sources": {"sensors": str(root / "sensors")},
            **tasks,
        }
        super().__init__(root, {"tasks": settings}, TOKENS, node=node)

    @property
    def sensors(self) -> Path:
        return self.root / "sensors"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str = "", headers: Mapping[str, str] = BEARER) -> Answer:
        """Send a request below /v1/tasks."""
        return self.request(method, f"/v1/tasks{path}", headers=headers)

    def post(
        self, document: object, dataset: str = DATASET, headers: Mapping[str, str] = BEARER
    ) -> Answer:
        """Ask for a task."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Content-Type": JSON, **headers}
        return self.request("POST", f"/v1/tasks?dataset={dataset}", body, headers)

    def ended(self, name: str) -> dict[str, Any]:
        """Wait for the end of a task, and return it."""

        def shown() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask("GET", f"/{name}").document
            return found if found["phase"] in ("Succeeded", "Failed") else None

        return until(shown, f"task {name} has ended", every=0.02) or {}


def document(run: str = "20260301-120000", **changed: Any) -> dict[str, Any]:
    """Return the job document of the sample, with parts of it replaced."""
    return {**job_document(api.parse(load_job(SAMPLE)), run, ""), **changed}
