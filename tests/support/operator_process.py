"""The operator as a real process, and a kubelet for tests that have no nodes.

The kubelet here does what the API asks of one: it writes the status of pods. Everything between
(Jobs to pods, retries, deadlines) is Kubernetes' own Job controller.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import msgspec
import yaml
from edge_etl_job.documents import NodeSummary
from edge_etl_spark.documents import AggregationReport

ROOT = Path(__file__).parents[2]
SOURCE_PATH = "/data/sensors"

Outcome = dict[str, Any] | None
"""What a pod's status becomes; None leaves the pod as it is."""


def settings(namespace: str, **changes: Any) -> dict[str, Any]:
    """Return settings of the operator as the chart would mount them."""
    return {
        "sources": {"sensors": SOURCE_PATH},
        "edge": {
            "image": "localhost/pi-edge-spark/edge:test",
            "transformImage": "localhost/pi-edge-spark/edge-transform:test",
            "serviceAccount": "edge",
        },
        "spark": {"image": "localhost/pi-edge-spark/spark:test", "serviceAccount": "spark"},
        "landing": {"namespace": namespace, "url": "http://landing:8080", "claim": "results"},
        **changes,
    }


class OperatorProcess:
    """`operator/main.py`, for one namespace unless `where` says otherwise; its log is kept."""

    def __init__(
        self,
        kubeconfig: Path,
        namespace: str,
        folder: Path,
        where: Sequence[str] = (),
        **changes: Any,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._where = where or (f"--namespace={namespace}",)
        self._settings = folder / "settings.yaml"
        self._settings.write_text(yaml.safe_dump(settings(namespace, **changes)))
        self.log_file = folder / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "OperatorProcess":
        """Start it; it may be started again after it was killed."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self._kubeconfig),
            "EDGE_ETL_SETTINGS": str(self._settings),
        }
        command = [sys.executable, str(ROOT / "operator" / "main.py")]
        command += self._where
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.log_file.parent
            )
        return self

    def kill(self) -> None:
        """Kill it with -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as Kubernetes would."""
        self._end(signal.SIGTERM)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> list[dict[str, Any]]:
        """Return the records of its log; a line that is not JSON is a failure of its own."""
        text = self.log_file.read_text() if self.log_file.exists() else ""
        lines = text.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)

    def __enter__(self) -> "OperatorProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.stop()


@dataclass
class Kubelet:
    """Moves the pods of a namespace on, a step at a time, as `behave` says for each."""

    kubeconfig: Path
    namespace: str
    behave: Callable[[dict[str, Any]], Outcome]

    def __post_init__(self) -> None:
        client = kubernetes.config.new_client_from_config(  # type: ignore[no-untyped-call]
            str(self.kubeconfig)
        )
        self._core = kubernetes.client.CoreV1Api(client)
        self._client = client

    def step(self) -> int:
        """Move each pod one step on; return how many moved."""
        moved = 0
        for pod in self.pods():
            if pod["metadata"].get("deletionTimestamp"):
                self._gone(pod)
                moved += 1
            elif pod["status"]["phase"] not in ("Succeeded", "Failed"):
                outcome = self.behave(pod)
                if outcome is not None and not _has(pod["status"], outcome):
                    self.patch(pod, outcome)
                    moved += 1
        return moved

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of the namespace as JSON."""
        found = self._core.list_namespaced_pod(self.namespace, _request_timeout=10)
        items: list[dict[str, Any]] = self._client.sanitize_for_serialization(found)["items"]
        return items

    def patch(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        """Write a pod's status."""
        try:
            self._core.patch_namespaced_pod_status(
                pod["metadata"]["name"],
                self.namespace,
                {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status},
                _request_timeout=10,
            )
        except kubernetes.client.ApiException as error:
            if error.status not in (404, 409):
                raise

    def _gone(self, pod: dict[str, Any]) -> None:
        try:
            self._core.delete_namespaced_pod(
                pod["metadata"]["name"],
                self.namespace,
                grace_period_seconds=0,
                _request_timeout=10,
            )
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                raise

    def run_until(self, done: Callable[[], Any], what: str, timeout: float = 60) -> Any:
        """Step until something is true, and return it."""
        deadline = time.monotonic() + timeout
        while True:
            if found := done():
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout:.0f} s")
            if not self.step():
                time.sleep(0.05)


def succeed(pod: dict[str, Any], rows: int = 100, **changes: Any) -> dict[str, Any]:
    """Return the status of a pod whose program did its work."""
    if stage(pod) == "edge":
        labels = pod["metadata"]["labels"]
        counted = {"rows_read": rows, "rows_clean": rows - 2, "rows_rejected": 2, "files_read": 3}
        document: msgspec.Struct = NodeSummary(
            **{
                "run": labels["pi-edge-spark.io/run"],
                "node": labels["pi-edge-spark.io/node"],
                "attempt": pod["metadata"]["uid"],
                "succeeded": True,
                "reason": "Delivered",
                "message": "delivered",
                "columns_seen": ("sensor_id", "timestamp"),
                **counted,
                **changes,
            }
        )
    else:
        document = AggregationReport(
            **{
                "run": pod["metadata"]["labels"]["pi-edge-spark.io/run"],
                "succeeded": True,
                "reason": "Published",
                "message": "published",
                "version": 1,
                "rows": 294,
                **changes,
            }
        )
    return ended(pod, 0, msgspec.json.encode(document).decode())


def fail(pod: dict[str, Any], message: str, reason: str = "Error") -> dict[str, Any]:
    """Return the status of a pod whose program failed."""
    return ended(pod, 1 if reason == "Error" else 137, message, reason)


def ended(pod: dict[str, Any], code: int, message: str, reason: str = "") -> dict[str, Any]:
    """Return the status of a pod whose container ended."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    terminated = {
        "exitCode": code,
        "reason": reason or "Completed",
        "message": message,
        "startedAt": now,
        "finishedAt": now,
    }
    return {
        "phase": "Failed" if code else "Succeeded",
        "startTime": now,
        "containerStatuses": [_container(pod, {"terminated": terminated})],
    }


def wait(pod: dict[str, Any], reason: str, message: str = "") -> dict[str, Any]:
    """Return the status of a pod whose container cannot start."""
    return {
        "phase": "Pending",
        "containerStatuses": [_container(pod, {"waiting": {"reason": reason, "message": message}})],
    }


def unschedulable(message: str) -> dict[str, Any]:
    """Return the status of a pod that the scheduler has no place for."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    return {"phase": "Pending", "conditions": [{**condition, "message": message}]}


def stage(pod: dict[str, Any]) -> str:
    """Return the stage that a pod belongs to."""
    return str(pod["metadata"]["labels"]["pi-edge-spark.io/stage"])


def node(pod: dict[str, Any]) -> str:
    """Return the node that an edge pod is for."""
    return str(pod["metadata"]["labels"].get("pi-edge-spark.io/node", ""))


def _container(pod: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": state,
    }


def _has(status: dict[str, Any], outcome: dict[str, Any]) -> bool:
    """Tell whether a pod's status already says what it should."""
    return all(
        [_subset(part, has) for part, has in zip(value, status.get(key, []), strict=False)]
        == [True] * len(value)
        if isinstance(value, list)
        else status.get(key) == value
        for key, value in outcome.items()
    )


def _subset(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            _subset(value, whole.get(key)) for key, value in part.items() if value != ""
        )
    return bool(part == whole)
