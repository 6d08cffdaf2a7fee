"""Why a pod waits or failed: from what Kubernetes says to a cause."""

from typing import Any

import msgspec
import pytest
from edge_etl_operator.documents import aggregation_report, node_summary
from edge_etl_operator.kube import Event, Job, OwnMetadata, PodSpec
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
            unscheduled("1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }."),
            [],
            "DiskPressure",
            "disk-pressure",
        ),
        (
            unscheduled("1 node(s) had untolerated taint {node.kubernetes.io/memory-pressure: }."),
            [],
            "MemoryPressure",
            "memory-pressure",
        ),
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
        # A kubelet that has much to do: it tries again by itself.
        (
            waiting("ContainerCreating"),
            mount('MountVolume.SetUp failed for volume "config" : failed to sync configmap cache'),
            None,
            "",
        ),
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


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "a" is forbidden: exceeded quota: none, requested: pods=1', "QuotaExceeded"),
        ('pods "a" is forbidden: failed quota: q: must specify limits.cpu', "QuotaExceeded"),
        (
            'error looking up service account farm/edge: serviceaccount "edge" not found',
            "ServiceAccountMissing",
        ),
        ('admission webhook "p" denied the request: no hostPath', "PodRefused"),
        ('violates PodSecurity "restricted:latest": restricted volume types', "PodRefused"),
        (
            'pods is forbidden: User "system:serviceaccount:a:op" cannot create resource "pods"',
            "PermissionMissing",
        ),
    ],
)
def test_a_job_without_a_pod_says_who_refused_it(message: str, reason: str) -> None:
    job = Job(metadata=OwnMetadata(name="air-1"))
    assert diagnosis.refused(job, []) is None
    found = diagnosis.refused(job, [facts.warning("FailedCreate", message)])
    assert found is not None
    assert found.reason.code == reason
    assert message in found.fact
    assert found.reason.remedy in found.message


def ended(code: int = 1, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return facts.container(terminated={"exitCode": code, "reason": reason, "message": message})


FORBIDDEN = (
    'Message: pods is forbidden: User "system:serviceaccount:farm:spark" cannot create resource '
    '"pods" in API group "" in the namespace "farm".'
)
DISRUPTED = {
    "conditions": [{"type": "DisruptionTarget", "status": "True", "message": "drained by hand"}]
}
SAID = facts.summary("pi-1", "a", succeeded=False, reason="StateCorrupt", message="damaged")


@pytest.mark.parametrize(
    ("status", "answer", "reason", "part"),
    [
        (ended(1), SAID, "StateCorrupt", "damaged"),
        (ended(137, "OOMKilled"), "", "OutOfMemory", "of pod pod needed more than 128Mi"),
        (ended(137), "", "OutOfMemory", "exit code 137: killed, probably because it needed more"),
        (
            ended(128, "StartError", "container init was OOM-killed (memory limit too low?)"),
            "",
            "OutOfMemory",
            "of pod pod needed more than 128Mi",
        ),
        (ended(137), SAID, "StateCorrupt", "damaged"),
        (ended(137, "ContainerStatusUnknown"), "", "ContainerFailed", "ContainerStatusUnknown"),
        ({**ended(137), **DISRUPTED}, "", "Evicted", "drained by hand"),
        ({**ended(137), "reason": "Evicted", "message": "low"}, "", "Evicted", "low"),
        ({**ended(137), "reason": "DeadlineExceeded"}, "", "RunDeadlineExceeded", "too long"),
        ({**ended(137), "reason": "Terminated"}, "", "ContainerFailed", "exit code 137"),
        ({**ended(137), "reason": "Preempting"}, "", "ContainerFailed", "exit code 137"),
        (ended(1, message="Traceback\nValueError: x"), "", "ContainerFailed", "ValueError: x"),
        (ended(2), "", "ContainerFailed", "exit code 2"),
        ({"reason": "Evicted", "message": "preempted"}, "", "Evicted", "preempted"),
        (
            {"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."},
            "",
            "DiskPressure",
            "low on resource",
        ),
        (
            {"reason": "Evicted", "message": 'Usage of EmptyDir volume "work" exceeds the limit'},
            "",
            "DiskPressure",
            '"work"',
        ),
        (
            {"reason": "Evicted", "message": "The node was low on resource: memory."},
            "",
            "MemoryPressure",
            "memory",
        ),
        (ended(1, message=FORBIDDEN), "", "PermissionMissing", "may not create pods: "),
        (
            ended(1),
            facts.report(succeeded=False, reason="SparkFailed", message=FORBIDDEN),
            "PermissionMissing",
            "system:serviceaccount:farm:spark may not create pods: ",
        ),
        ({**ended(143), **DISRUPTED}, SAID, "Evicted", "drained by hand"),
        ({**ended(143), "reason": "DeadlineExceeded"}, SAID, "RunDeadlineExceeded", "too long"),
        ({}, "", "ContainerFailed", "failed"),
    ],
)
def test_why_a_pod_failed(status: dict[str, Any], answer: str, reason: str, part: str) -> None:
    said = node_summary(answer) or aggregation_report(answer)
    found = diagnosis.failed(facts.pod(phase="Failed", **status), said)
    assert found.reason.code == reason
    assert part in found.fact


def test_a_pod_that_is_deleted_was_killed_for_that() -> None:
    killed = facts.pod(phase="Failed", **ended(137))
    going = msgspec.structs.replace(killed.metadata, deletion_timestamp=facts.START)
    found = diagnosis.failed(msgspec.structs.replace(killed, metadata=going), None)
    assert found.reason.code == "ContainerFailed"


def test_a_container_that_was_killed_without_a_limit_is_told_of_its_nodes_memory() -> None:
    killed = facts.pod(phase="Failed", **ended(137))
    found = diagnosis.failed(msgspec.structs.replace(killed, spec=PodSpec()), None)
    assert found.message.endswith(
        "probably because it needed more than its node's memory. Raise the memory: "
        "spec.edge.resources.limits or spec.aggregate."
    )


def test_a_long_log_keeps_its_end_and_a_long_message_its_beginning() -> None:
    log = "x" * 5000 + "the cause"
    found = diagnosis.failed(facts.pod(phase="Failed", **ended(message=log)), None)
    assert found.fact.endswith("the cause")
    assert len(found.fact) < 1000
