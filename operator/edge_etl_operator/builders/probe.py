"""The pod that looks at a Pi for `edge-etl doctor`: made with the person's own rights.

It is a cleaning pod without what cleaning needs: no state, no results, no token, no root. Its only
directory of the node is a source that the administrator allowed, mounted read-only.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from edge_etl_operator.api import GROUP, EdgeETLJob
from edge_etl_operator.builders.common import CONFIG_PATH, container_security
from edge_etl_operator.builders.edge import (
    NODE_NAME,
    confined,
    edge_image,
    pinned,
    source_arguments,
    source_volume,
)
from edge_etl_operator.kube import Node
from edge_etl_operator.names import MANAGED_BY
from edge_etl_operator.settings import Settings

LABELS: Final = {MANAGED_BY: "edge-etl-doctor"}
CONTAINER: Final = "probe"
SECONDS: Final = 120
_JOB: Final = f"{GROUP}/probe"
"""Annotation with the job document, which the pod mounts: so it needs no other object."""


def probe_pod(
    job: EdgeETLJob, document: Mapping[str, Any], node: Node, settings: Settings
) -> dict[str, Any]:
    """Return the pod that looks at a node; ``document`` is what its cleaning pods would get."""
    annotation = f"metadata.annotations['{_JOB}']"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"edge-etl-doctor-{secrets.token_hex(4)}",
            "namespace": job.namespace,
            "labels": LABELS,
            "annotations": {_JOB: json.dumps(document, ensure_ascii=False)},
        },
        "spec": {
            **pinned(node),
            **confined(job, settings),
            "activeDeadlineSeconds": SECONDS,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": CONTAINER,
                    "image": edge_image(job, settings),
                    "imagePullPolicy": settings.edge.pull_policy,
                    "args": [
                        "probe",
                        "--job", f"{CONFIG_PATH}/job.json",
                        "--node", "$(NODE_NAME)",
                        *source_arguments(job, settings),
                        "--work", "/work",
                        "--answer", "/dev/termination-log",
                    ],
                    "env": [NODE_NAME],
                    "resources": {
                        "requests": {"cpu": "50m", "memory": "64Mi"},
                        "limits": {"memory": "128Mi"},
                    },
                    "securityContext": container_security(),
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
                        {"name": "source", "mountPath": "/source", "readOnly": True},
                        {"name": "work", "mountPath": "/work"},
                    ],
                }
            ],
            "volumes": [
                {
                    "name": "config",
                    "downwardAPI": {
                        "items": [{"path": "job.json", "fieldRef": {"fieldPath": annotation}}]
                    },
                },
                source_volume(job, settings),
                {"name": "work", "emptyDir": {"sizeLimit": "16Mi"}},
            ],
        },
    }  # fmt: skip
