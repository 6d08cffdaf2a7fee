"""The aggregation: the driver's pod, and its ConfigMap with the document and what executors need.

Spark runs in client mode inside the driver's pod, so the operator needs no Java and executors
belong to the driver. ``spark.driver.bindAddress`` stays unset: Spark 4.3 gives it to executors as
the driver's address.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from edge_etl_operator import names
from edge_etl_operator.api import EdgeETLJob, Run
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
from edge_etl_operator.documents import Delivery, aggregation_document
from edge_etl_operator.kube import Node
from edge_etl_operator.policies.spark_size import Size, SparkPlan
from edge_etl_operator.settings import Settings

CONTAINER: Final = "driver"
USER: Final = 65532
APPLICATION_PATH: Final = "/etc/edge-etl-application"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_API_SERVER: Final = "k8s://https://kubernetes.default.svc"


def driver_config(
    job: EdgeETLJob,
    run: Run,
    plan: SparkPlan,
    deliveries: Sequence[Delivery],
    settings: Settings,
    *,
    missing: Mapping[str, str] | None = None,
    nodes: Iterable[Node] = (),
) -> dict[str, Any]:
    """Return the driver's ConfigMap; ``missing`` are the nodes that have not delivered, and why.

    Its name tells its content: an operator that was killed before it made the pod may plan anew,
    and a pod must never get the ConfigMap of another plan.
    """
    conf = {"spark.driver.memory": f"{plan.driver.heap}m"}
    files: dict[str, Any] = {}
    if plan.executor:
        conf |= _executor_conf(job, run, plan, plan.executor, settings)
        files["executor.yaml"] = executor_template(job, run.id, plan, settings)
    application = job.spec.aggregate.application
    document = aggregation_document(
        job,
        run.id,
        deliveries,
        master=_API_SERVER if plan.executor else f"local[{plan.driver.cores}]",
        conf=conf,
        missing=missing,
        labels={node.name: node.metadata.labels for node in nodes},
        application={
            "path": f"{APPLICATION_PATH}/{application.config_map.key}",
            "name": f"ConfigMap {application.config_map.name}, {application.config_map.key}",
        }
        if application
        else None,
    )
    files["aggregation.json"] = document
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:8]
    name = f"{names.driver(job.name, run.id, run.aggregations)}-{digest}"
    return config_map(metadata(job, run.id, name, names.AGGREGATE), files)


def driver_pod(
    job: EdgeETLJob,
    run: Run,
    plan: SparkPlan,
    config: str,
    seconds: int,
    settings: Settings,
) -> dict[str, Any]:
    """Return the driver's pod, which may run for so many seconds, with its ConfigMap's name."""
    name = names.driver(job.name, run.id, run.aggregations)
    memory = f"{plan.driver.pod}Mi"
    volumes, mounts = _application(job)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(job, run.id, name, names.AGGREGATE),
        "spec": {
            **_pod_spec(),
            **_placement(job, settings),
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "serviceAccountName": settings.spark.service_account,
            # Only a driver with executors talks to the API server.
            "automountServiceAccountToken": plan.mode == "Cluster",
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
                        *results_arguments(job),
                        "--summary", "/dev/termination-log",
                    ],
                    "env": [
                        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
                    ],
                    "resources": {
                        "requests": {"cpu": str(plan.driver.cores), "memory": memory},
                        "limits": {"memory": memory},
                    },
                    "securityContext": container_security(),
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
                        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # in the container
                        results_mount(job),
                        *mounts,
                    ],
                }
            ],
            "volumes": [
                {"name": "config", "configMap": {"name": config}},
                {"name": "tmp", "emptyDir": {}},
                results_volume(job, settings),
                *volumes,
            ],
        },
    }  # fmt: skip


def executor_template(
    job: EdgeETLJob, run: str, plan: SparkPlan, settings: Settings
) -> dict[str, Any]:
    """Return what Spark does not set by itself in the pods of its executors."""
    near = {
        "labelSelector": {"matchLabels": names.labels(job.name, run, names.AGGREGATE)},
        "topologyKey": "kubernetes.io/hostname",
    }
    # Where the volume can be anywhere, losing one node should not cost all executors.
    spread = (
        {"podAffinity": {_REQUIRED: [near]}}
        if plan.one_node
        else {"podAntiAffinity": {_PREFERRED: [{"weight": 50, "podAffinityTerm": near}]}}
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": names.labels(job.name, run, names.AGGREGATE)},
        "spec": {
            **_pod_spec(),
            **_placement(job, settings, spread),
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


def _executor_conf(
    job: EdgeETLJob, run: Run, plan: SparkPlan, executor: Size, settings: Settings
) -> dict[str, str]:
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
        "spark.executor.instances": str(plan.instances),
        "spark.executor.cores": str(executor.cores),
        "spark.executor.memory": f"{executor.heap}m",
        "spark.executor.memoryOverhead": f"{executor.pod - executor.heap}m",
        # A lost executor is replaced; one that cannot live is not replaced for ever.
        "spark.executor.maxNumFailures": str(max(3, 2 * plan.instances)),
        "spark.executor.failuresValidityInterval": "10m",
    }
    if settings.image_pull_secrets:
        secrets = ",".join(settings.image_pull_secrets)
        conf["spark.kubernetes.container.image.pullSecrets"] = secrets
    return conf


def _application(job: EdgeETLJob) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return volumes and mounts of the person's own aggregation, if there is one."""
    application = job.spec.aggregate.application
    if application is None:
        return [], []
    of, key = application.config_map.name, application.config_map.key
    volume = {"name": of, "items": [{"key": key, "path": key}]}
    mount = {"name": "application", "mountPath": APPLICATION_PATH, "readOnly": True}
    return [{"name": "application", "configMap": volume}], [mount]


def _placement(
    job: EdgeETLJob, settings: Settings, pods: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return where Spark's pods go: by the chart's values, else rather not on the edge Pis."""
    spark = settings.spark
    away = [
        {
            "weight": 100,
            "preference": {
                "matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]
            },
        }
        for key, value in sorted(job.spec.nodes.selector.match_labels.items())
    ]
    affinity = spark.affinity or {
        **({"nodeAffinity": {_PREFERRED: away}} if away else {}),
        **(pods or {}),
    }
    return {
        **({"nodeSelector": spark.node_selector} if spark.node_selector else {}),
        **({"tolerations": list(spark.tolerations)} if spark.tolerations else {}),
        **priority(spark.priority_class_name),
        **({"affinity": affinity} if affinity else {}),
    }


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
