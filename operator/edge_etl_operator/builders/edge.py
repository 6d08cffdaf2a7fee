"""The edge stage: one ConfigMap for a run, one Kubernetes Job for each node."""

from collections.abc import Iterable
from typing import Any, Final

from edge_etl_operator import names
from edge_etl_operator.api import GROUP, EdgeETLJob, as_document
from edge_etl_operator.builders.common import (
    CONFIG_PATH,
    RESULTS_GROUP,
    config_map,
    container_security,
    metadata,
    priority,
    pull_secrets,
    results_arguments,
    results_mount,
    results_volume,
)
from edge_etl_operator.documents import job_document
from edge_etl_operator.kube import UNKNOWN_END, Node
from edge_etl_operator.settings import Landing, Settings

CONTAINER: Final = "edge"
LASTING: Final = 3
"""The edge program's exit code of a failure that would only happen again."""
NODE_NAME: Final = {
    "name": "NODE_NAME",
    "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
}
_TOKEN_PATH: Final = "/var/run/secrets/pi-edge-spark"  # noqa: S105  # a path
_TOKEN_SECONDS: Final = 3600
_CA: Final = "ca.crt"
_TRANSFORM: Final = "transform"
_TRANSFORM_PATH: Final = "/etc/edge-etl-transform"


def edge_config(job: EdgeETLJob, run: str) -> dict[str, Any]:
    """Return the ConfigMap that all edge pods of a run mount."""
    name = names.edge_config(job.name, run)
    document = job_document(job, run, job.status.last_replay_request)
    return config_map(metadata(job, run, name, names.EDGE), {"job.json": document})


def node_jobs(
    job: EdgeETLJob, run: str, nodes: Iterable[Node], settings: Settings
) -> list[dict[str, Any]]:
    """Return the Kubernetes Job that cleans on each node; they share what is the same for all."""
    spec = _spec(job)
    pod = _pod(job, run, settings)
    return [
        _on(node, metadata(job, run, _name(job, run, node), names.EDGE, node.name), spec, pod)
        for node in nodes
    ]


def _name(job: EdgeETLJob, run: str, node: Node) -> str:
    return names.node_job(job.name, run, node.name)


def _on(
    node: Node, about: dict[str, Any], spec: dict[str, Any], pod: dict[str, Any]
) -> dict[str, Any]:
    template = {"metadata": {"labels": about["labels"]}, "spec": {**pod, **pinned(node)}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**about, "annotations": {names.NODE: node.name}},
        "spec": {**spec, "template": template},
    }


def _spec(job: EdgeETLJob) -> dict[str, Any]:
    return {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": job.spec.nodes.backoff_limit,
        "activeDeadlineSeconds": job.spec.nodes.active_deadline_seconds,
        # Two attempts on a node never overlap.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
    }


def _failure_rules() -> list[dict[str, Any]]:
    """Return what is no failure of a node, and what another try would not change."""
    return [
        # A drain, an eviction, a node that was lost.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        # A power cut: containerd does not know how a container ended that it finds at boot.
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [UNKNOWN_END]}},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [LASTING]},
        },
    ]


def _pod(job: EdgeETLJob, run: str, settings: Settings) -> dict[str, Any]:
    return {
        **priority(settings.edge.priority_class_name),
        **confined(job, settings),
        "initContainers": [_state_owner(settings)],
        "containers": [_container(job, run, settings)],
        "volumes": _volumes(job, run, settings),
    }


def pinned(node: Node) -> dict[str, Any]:
    """Return what puts a pod on a node."""
    # By label and not by nodeName, which would bypass the scheduler and its volume binding.
    return {"nodeSelector": {"kubernetes.io/hostname": node.hostname}}


def confined(job: EdgeETLJob, settings: Settings) -> dict[str, Any]:
    """Return what a pod on a node of a job has whatever it does there; it holds no token."""
    return {
        "restartPolicy": "Never",
        "tolerations": list(job.spec.nodes.tolerations),
        "serviceAccountName": settings.edge.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "imagePullSecrets": pull_secrets(settings),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.edge.run_as_user,
            "runAsGroup": settings.edge.run_as_group,
            "fsGroup": RESULTS_GROUP,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def source_volume(job: EdgeETLJob, settings: Settings) -> dict[str, Any]:
    """Return the volume of the readings: a directory that the administrator allowed."""
    # A path never comes from the resource: a hostPath of a user's choice is a way into the node.
    path = settings.sources[job.spec.source.name]
    return {"name": "source", "hostPath": {"path": path, "type": "Directory"}}


def source_arguments(job: EdgeETLJob, settings: Settings) -> list[str]:
    """Return where the program finds the readings, and where a person does."""
    path = settings.sources[job.spec.source.name]
    return ["--source", "/source", "--source-on-node", path]


def _state_owner(settings: Settings) -> dict[str, Any]:
    """Return the container that gives the state directory away: the kubelet made it as root."""
    user, group = settings.edge.run_as_user, settings.edge.run_as_group
    return {
        "name": "state-owner",
        "image": settings.edge.image,
        "imagePullPolicy": settings.edge.pull_policy,
        "command": ["chown", f"{user}:{group}", "/state"],
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"memory": "32Mi"},
        },
        "securityContext": {
            **container_security(),
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
        },
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }


def _container(job: EdgeETLJob, run: str, settings: Settings) -> dict[str, Any]:
    landing = _landing(job, settings)
    results = _landing_arguments(landing) if landing else results_arguments(job)
    place = (
        {"name": "token", "mountPath": _TOKEN_PATH, "readOnly": True}
        if landing
        else results_mount(job)
    )
    own = job.spec.edge.transform
    transform = ["--transform", f"{_TRANSFORM_PATH}/{own.config_map.key}"] if own else []
    rules = [{"name": _TRANSFORM, "mountPath": _TRANSFORM_PATH, "readOnly": True}] if own else []
    return {
        "name": CONTAINER,
        "image": edge_image(job, settings),
        "imagePullPolicy": settings.edge.pull_policy,
        "args": [
            "run",
            "--job", f"{CONFIG_PATH}/job.json",
            "--node", "$(NODE_NAME)",
            "--attempt", "$(POD_UID)",
            *source_arguments(job, settings),
            "--state", "/state",
            "--work", "/work",
            *results,
            *transform,
            "--summary", "/dev/termination-log",
        ],
        "env": [
            NODE_NAME,
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "TMPDIR", "value": "/work"},
        ],
        "resources": as_document(job.spec.edge.resources),
        "securityContext": container_security(),
        # Killed before it could say why, the end of its log tells the most.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
            {"name": "source", "mountPath": "/source", "readOnly": True},
            {"name": "state", "mountPath": "/state"},
            {"name": "work", "mountPath": "/work"},
            place,
            *rules,
        ],
    }  # fmt: skip


def edge_image(job: EdgeETLJob, settings: Settings) -> str:
    """Return the image of the job's cleaning pods: pandas is only in that of own rules."""
    return settings.edge.transform_image if job.spec.edge.transform else settings.edge.image


def _volumes(job: EdgeETLJob, run: str, settings: Settings) -> list[dict[str, Any]]:
    state = f"{settings.state_path}/{job.namespace}/{job.name}"
    landing = _landing(job, settings)
    results = _token_volume(job, run, landing) if landing else results_volume(job, settings)
    return [
        {"name": "config", "configMap": {"name": names.edge_config(job.name, run)}},
        source_volume(job, settings),
        {"name": "state", "hostPath": {"path": state, "type": "DirectoryOrCreate"}},
        {"name": "work", "emptyDir": {"sizeLimit": settings.edge.work_size_limit}},
        results,
        *_transform_volume(job),
    ]


def _transform_volume(job: EdgeETLJob) -> list[dict[str, Any]]:
    """Return the volume of the job's own rules: of the ConfigMap only the file that is named."""
    own = job.spec.edge.transform
    if own is None:
        return []
    items = [{"key": own.config_map.key, "path": own.config_map.key}]
    return [{"name": _TRANSFORM, "configMap": {"name": own.config_map.name, "items": items}}]


def _landing(job: EdgeETLJob, settings: Settings) -> Landing | None:
    """Return the landing service, None when the job uses a claim or a bucket."""
    return settings.landing if job.spec.results.landing is not None else None


def _landing_arguments(landing: Landing) -> list[str]:
    trusted = ["--ca-file", f"{_TOKEN_PATH}/{_CA}"] if landing.ca_secret else []
    return ["--results", landing.url, "--token-file", f"{_TOKEN_PATH}/token", *trusted]


def _token_volume(job: EdgeETLJob, run: str, landing: Landing) -> dict[str, Any]:
    """Return the token that lets the pod deliver: its audience is this run and nothing else.

    Beside it lies whom the pod may show it to, if the landing service has a certificate.
    """
    token = {
        "path": "token",
        "audience": f"{GROUP}/{job.namespace}/{job.name}/{run}",
        "expirationSeconds": _TOKEN_SECONDS,
    }
    sources: list[dict[str, Any]] = [{"serviceAccountToken": token}]
    if landing.ca_secret:
        # Of the Secret only this file: the key beside it is the service's alone.
        items = [{"key": _CA, "path": _CA}]
        sources.append({"secret": {"name": landing.ca_secret, "items": items}})
    return {"name": "token", "projected": {"sources": sources}}
