"""Why a pod waits or failed: from what Kubernetes says to a cause."""

from typing import Any

import pytest
from edge_etl_operator.documents import node_summary
from edge_etl_operator.kube import Event, Job, Metadata
from edge_etl_operator.policies import diagnosis

from tests.support import operator_facts as facts


def unscheduled(message: str) -> dict[str, Any]:
    return {"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return facts.container(waiting={"reason": reason, "message": message})


def mount(message: str) -> list[Event]:
    return [facts.warning("FailedMount", message)]


SOURCE = (
    'MountVolume.SetUp failed for volume "source" : '
    "hostPath type check failed: /d is not a directory"
)


@pytest.mark.parametrize(
    ("status", "warnings", "reason", "part"),
    [
        ({}, [], None, ""),
        (waiting("ContainerCreating"), [], None, ""),
        (waiting("PodInitializing"), [], None, ""),
        (unscheduled("0/3 nodes are available: 3 Insufficient cpu."), [], "Unschedulable", "cpu"),
        (
            unscheduled('persistentvolumeclaim "r" not found'),
            [],
            "ClaimUnavailable",
            '"r" not found',
        ),
        (
            unscheduled("pod has unbound immediate PersistentVolumeClaims"),
            [],
            "ClaimUnavailable",
            "unbound",
        ),
        (waiting("ImagePullBackOff", "Back-off"), [], "ImageUnavailable", "edge:1"),
        (waiting("ErrImageNeverPull"), [], "ImageUnavailable", "edge:1"),
        (waiting("InvalidImageName"), [], "ImageUnavailable", "edge:1"),
        (waiting("CreateContainerConfigError", 'secret "s" not found'), [], "ConfigMissing", '"s"'),
        (waiting("RunContainerError", "exec: not found"), [], "ContainerFailed", "exec"),
        (waiting("ContainerCreating"), mount(SOURCE), "SourceMissing", "/d is not a directory"),
        (
            waiting("ContainerCreating"),
            mount('MountVolume.SetUp failed for volume "config" : configmap "c" not found'),
            "ConfigMissing",
            '"c"',
        ),
        (waiting("ContainerCreating"), mount("Unable to attach"), "MountFailed", "attach"),
    ],
)
def test_why_a_pod_waits(
    status: dict[str, Any], warnings: list[Event], reason: str | None, part: str
) -> None:
    """Peers: waiting has no reason (KF#686, #2872, #2667)."""
    found = diagnosis.waiting(facts.pod(**status), warnings)
    assert (found.reason.code if found else None) == reason
    if found:
        assert part in found.fact
        assert found.reason.remedy in found.message


def test_a_pod_that_runs_does_not_wait() -> None:
    status = waiting("ImagePullBackOff")
    assert diagnosis.waiting(facts.pod(phase="Running", **status), mount(SOURCE)) is None


def test_an_init_container_waits_for_its_image_too() -> None:
    status = {"initContainerStatuses": waiting("ErrImagePull")["containerStatuses"]}
    found = diagnosis.waiting(facts.pod(**status), [])
    assert found is not None
    assert found.reason.code == "ImageUnavailable"


def test_the_latest_warning_counts() -> None:
    old = facts.warning("FailedMount", SOURCE, second=1)
    new = facts.warning("FailedMount", "timed out", second=2)
    found = diagnosis.waiting(facts.pod(**waiting("ContainerCreating")), [new, old])
    assert found is not None
    assert found.reason.code == "MountFailed"


def test_a_job_without_a_pod_says_who_refused_it() -> None:
    job = Job(metadata=Metadata(name="air-1"))
    assert diagnosis.refused(job, []) is None
    found = diagnosis.refused(job, [facts.warning("FailedCreate", "exceeded quota: none")])
    assert found is not None
    assert found.reason.code == "PodRefused"
    assert "exceeded quota" in found.fact


def ended(code: int = 1, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return facts.container(terminated={"exitCode": code, "reason": reason, "message": message})


DISRUPTED = {
    "conditions": [{"type": "DisruptionTarget", "status": "True", "message": "drained by hand"}]
}
SAID = facts.summary("pi-1", "a", succeeded=False, reason="StateCorrupt", message="damaged")


@pytest.mark.parametrize(
    ("status", "answer", "reason", "part"),
    [
        (ended(1), SAID, "StateCorrupt", "damaged"),
        (ended(137, "OOMKilled"), "", "OutOfMemory", "128Mi"),
        (ended(1, message="Traceback\nValueError: x"), "", "ContainerFailed", "ValueError: x"),
        (ended(2), "", "ContainerFailed", "exit code 2"),
        ({"reason": "Evicted", "message": "low on disk"}, "", "Evicted", "low on disk"),
        ({**ended(143), **DISRUPTED}, SAID, "Evicted", "drained by hand"),
        ({**ended(143), "reason": "DeadlineExceeded"}, SAID, "RunDeadlineExceeded", "too long"),
        ({}, "", "ContainerFailed", "failed"),
    ],
)
def test_why_a_pod_failed(status: dict[str, Any], answer: str, reason: str, part: str) -> None:
    found = diagnosis.failed(facts.pod(phase="Failed", **status), node_summary(answer))
    assert found.reason.code == reason
    assert part in found.fact


def test_a_long_log_keeps_its_end_and_a_long_message_its_beginning() -> None:
    log = "x" * 5000 + "the cause"
    found = diagnosis.failed(facts.pod(phase="Failed", **ended(message=log)), None)
    assert found.fact.endswith("the cause")
    assert len(found.fact) < 1000
