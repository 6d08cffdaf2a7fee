"""The landing service of a namespace, by the port that it has for people.

The API server forwards it for those who may (`pods/portforward`).
"""

import http.client
from typing import Final

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli import UsageError, cluster_view
from edge_etl_operator.cli.refusal import refusal
from edge_etl_operator.cli.session import Session
from edge_etl_operator.kube import Part, items

_PORT: Final = "reports"
"""The name of the port in the landing service's pod (chart, landing.yaml)."""
_SILENCE_SECONDS: Final = 30


class _Port(Part, frozen=True, kw_only=True):
    container_port: int
    name: str = ""


class _Container(Part, frozen=True, kw_only=True):
    ports: tuple[_Port, ...] = ()


class _Spec(Part, frozen=True, kw_only=True):
    containers: tuple[_Container, ...]


class _Name(Part, frozen=True, kw_only=True):
    name: str


class _Pod(Part, frozen=True, kw_only=True):
    metadata: _Name
    spec: _Spec


class NothingThereError(LookupError):
    """The service has no such thing; the message is its own."""


class Landing:
    """What the landing service of a namespace shows of jobs."""

    def __init__(self, within: Session) -> None:
        self._within = within
        self._pod, self._port = _found(within)

    def get(self, what: str, job: EdgeETLJob, *parts: str) -> bytes:
        """Return what there is of a job; NothingThereError when there is nothing."""
        within = self._within
        path = "/".join(("/v1", what, job.namespace, job.name, *parts))
        connection = http.client.HTTPConnection("localhost", timeout=_SILENCE_SECONDS)
        connection.sock = within.connection.forward(within.namespace, self._pod, self._port)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, OSError) as error:
            raise UsageError(f"pod {self._pod} does not answer: {error}; see its log") from None
        finally:
            connection.close()
        if answer.status == 200:
            return content
        raise self._refused(answer.status, content)

    def _refused(self, status: int, content: bytes) -> Exception:
        said = refusal(content)
        # A path that it does not have is NotFound; of what it has none, the reason says what.
        if status == 404 and said.reason != "NotFound":
            return NothingThereError(said.message)
        of_old = "; is the chart there of this version?" if status == 404 else ""
        return UsageError(f"pod {self._pod} answers {status}: {said.message}{of_old}")


def below(job: EdgeETLJob) -> str:
    """Return the folder of a job's results on its claim."""
    claim = job.spec.results.volume_claim
    parts = (claim.sub_path if claim else "", job.namespace, job.name)
    return "/".join(part for part in parts if part)


def _found(within: Session) -> tuple[str, int]:
    """Return the name of the service's pod and its port."""
    place = f"/api/v1/namespaces/{within.namespace}/pods"
    selector = f"{cluster_view.COMPONENT}landing"
    query = [("labelSelector", selector), ("fieldSelector", "status.phase=Running")]
    for pod in items(within.connection.call("GET", place, query=query), _Pod):
        for container in pod.spec.containers:
            for port in container.ports:
                if port.name == _PORT:
                    return pod.metadata.name, port.container_port
    raise UsageError(
        f"no landing service runs in namespace {within.namespace!r}: see `doctor`, and "
        "whether the chart there is of this version"
    )
