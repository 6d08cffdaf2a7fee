"""The aggregation: the driver's pod, and its ConfigMap with the document and what executors need.

Spark runs in client mode inside the driver's pod, so the operator needs no Java and executors
belong to the driver. ``spark.driver.bindAddress`` stays unset: Spark 4.3 gives it to executors as
the driver's address.
"""

from collections.abc import Sequence
from typing import Any, Final

from edge_etl_operator import names
from edge_etl_operator.api import EdgeETLJob, Run
from edge_etl_operator.builders.common import (
    CONFIG_PATH,
    RESULTS_GROUP,
    RESULTS_PATH,
    config_map,
    container_security,
    metadata,
    pull_secrets,
    results_mount,
    results_volume,
)
from edge_etl_operator.documents import Delivery, aggregation_document
from edge_etl_operator.settings import Settings

CONTAINER: Final = "driver"
USER: Final = 65532
_API_SERVER: Final = "k8s://https://kubernetes.default.svc"


def driver_config(
    job: EdgeETLJob,
    run: Run,
    deliveries: Sequence[Delivery],
    settings: Settings,
    missing: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the driver's ConfigMap; ``missing`` are the nodes that have not delivered."""
    aggregate = job.spec.aggregate
    master = _API_SERVER if _cluster(job) else f"local[{aggregate.driver.cores}]"
    conf = {"spark.driver.memory": aggregate.driver.memory}
    files: dict[str, Any] = {}
    if _cluster(job):
        conf |= _executor_conf(job, run, settings)
        files["executor.yaml"] = executor_template(job, run.id, settings)
    document = aggregation_document(
        job, run.id, deliveries, master=master, conf=conf, missing=missing
    )
    name = names.driver(job.name, run.id, run.aggregations)
    return config_map(
        metadata(job, run.id, name, names.AGGREGATE), {"aggregation.json": document, **files}
    )


def driver_pod(job: EdgeETLJob, run: Run, seconds: int, settings: Settings) -> dict[str, Any]:
    """Return the driver's pod, which may run for so many seconds."""
    name = names.driver(job.name, run.id, run.aggregations)
    driver = job.spec.aggregate.driver
    memory = f"{_mebibytes(driver.memory) + _driver_overhead(driver.memory)}Mi"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(job, run.id, name, names.AGGREGATE),
        "spec": {
            **_pod_spec(),
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "serviceAccountName": settings.spark.service_account,
            # Only a driver with executors talks to the API server.
            "automountServiceAccountToken": _cluster(job),
            "enableServiceLinks": False,
            "imagePullSecrets": pull_secrets(settings),
            "containers": [
                {
                    "name": CONTAINER,
                    "image": settings.spark.image,
                    "imagePullPolicy": settings.spark.pull_policy,
                    "args": [
                        "run",
                        "--document", f"{CONFIG_PATH}/aggregation.json",
                        "--results", RESULTS_PATH,
                        "--summary", "/dev/termination-log",
                    ],
                    "env": [
                        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
                    ],
                    "resources": {
                        "requests": {"cpu": str(driver.cores), "memory": memory},
                        "limits": {"memory": memory},
                    },
                    "securityContext": container_security(),
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
                        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # in the container
                        results_mount(job),
                    ],
                }
            ],
            "volumes": [
                {"name": "config", "configMap": {"name": name}},
                {"name": "tmp", "emptyDir": {}},
                results_volume(job, settings),
            ],
        },
    }  # fmt: skip


def executor_template(job: EdgeETLJob, run: str, settings: Settings) -> dict[str, Any]:
    """Return what Spark does not set by itself in the pods of its executors."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": names.labels(job.name, run, names.AGGREGATE)},
        "spec": {
            **_pod_spec(),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": "executor",
                    "securityContext": container_security(),
                    "volumeMounts": [
                        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # in the container
                        results_mount(job),
                    ],
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}, results_volume(job, settings)],
        },
    }


def _executor_conf(job: EdgeETLJob, run: Run, settings: Settings) -> dict[str, str]:
    executor = job.spec.aggregate.executor
    # Spark's own rule for a JVM: a tenth, at least 384 MiB.
    overhead = max(384, _mebibytes(executor.memory) // 10)
    conf = {
        "spark.kubernetes.namespace": job.namespace,
        "spark.kubernetes.driver.pod.name": names.driver(job.name, run.id, run.aggregations),
        "spark.kubernetes.container.image": settings.spark.image,
        "spark.kubernetes.container.image.pullPolicy": settings.spark.pull_policy,
        "spark.kubernetes.authenticate.executor.serviceAccountName": settings.spark.service_account,
        "spark.kubernetes.executor.podNamePrefix": names.executor_prefix(
            job.name, run.id, run.aggregations
        ),
        "spark.kubernetes.executor.podTemplateFile": f"{CONFIG_PATH}/executor.yaml",
        "spark.kubernetes.executor.podTemplateContainerName": "executor",
        "spark.kubernetes.executor.request.cores": str(executor.cores),
        "spark.executor.instances": str(executor.instances),
        "spark.executor.cores": str(executor.cores),
        "spark.executor.memory": executor.memory,
        "spark.executor.memoryOverhead": f"{overhead}m",
    }
    if settings.image_pull_secrets:
        secrets = ",".join(settings.image_pull_secrets)
        conf["spark.kubernetes.container.image.pullSecrets"] = secrets
    return conf


def _pod_spec() -> dict[str, Any]:
    """Return what driver and executors have in common."""
    return {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": RESULTS_GROUP,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _cluster(job: EdgeETLJob) -> bool:
    return job.spec.aggregate.mode == "Cluster"


def _mebibytes(memory: str) -> int:
    """Return Java's ``768m`` or ``1g`` in MiB."""
    return int(memory[:-1]) * (1024 if memory.endswith("g") else 1)


def _driver_overhead(memory: str) -> int:
    """Return the MiB that the driver's pod needs beside the heap.

    The JVM's own part was measured at 370 MB with a heap of 1 GB, Python at 122 MB.
    """
    return max(512, _mebibytes(memory) // 2)
