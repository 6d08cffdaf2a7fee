"""What all objects of a run have in common."""

import json
from typing import Any, Final

from edge_etl_operator import names
from edge_etl_operator.api import API_VERSION, KIND, EdgeETLJob
from edge_etl_operator.settings import Settings

RESULTS_GROUP: Final = 65532
"""Group of the files in the results: edge pods and Spark may run as different users."""

CONFIG_PATH: Final = "/etc/edge-etl"
RESULTS_PATH: Final = "/results"
_S3_PATH: Final = "/var/run/secrets/pi-edge-spark-s3"


def metadata(
    job: EdgeETLJob, run: str, name: str, stage: str, node: str | None = None
) -> dict[str, Any]:
    """Return the metadata of an object of a run: it goes when the EdgeETLJob goes."""
    return {
        "name": name,
        "namespace": job.namespace,
        "labels": names.labels(job.name, run, stage, node),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": job.name,
                "uid": job.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def config_map(metadata: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """Return a ConfigMap whose files are JSON (which YAML readers read too)."""
    data = {
        name: json.dumps(content, indent=2, ensure_ascii=False) for name, content in files.items()
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": data,
    }


def container_security() -> dict[str, Any]:
    """Return what Pod Security's level `restricted` asks of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pull_secrets(settings: Settings) -> list[dict[str, str]]:
    """Return the image pull secrets of a pod."""
    return [{"name": name} for name in settings.image_pull_secrets]


def priority(name: str) -> dict[str, str]:
    """Return the priority of a pod, empty without one."""
    return {"priorityClassName": name} if name else {}


def results_arguments(job: EdgeETLJob) -> list[str]:
    """Return how a program that has the results' volume is told where they are."""
    s3 = job.spec.results.s3
    if s3 is None:
        return ["--results", RESULTS_PATH]
    return ["--results", s3.location, "--s3-credentials", f"{_S3_PATH}/credentials"]


def results_claim(job: EdgeETLJob, settings: Settings) -> str:
    """Return the name of the claim that holds the results, empty where a bucket does."""
    if job.spec.results.s3 is not None:
        return ""
    if job.spec.results.volume_claim is not None:
        return job.spec.results.volume_claim.name
    return settings.landing.claim if settings.landing else ""


def results_volume(job: EdgeETLJob, settings: Settings) -> dict[str, Any]:
    """Return the volume of the results, or of the key to them."""
    if job.spec.results.s3 is not None:
        return _key(job.spec.results.s3.secret_ref.name)
    return {
        "name": "results",
        "persistentVolumeClaim": {"claimName": results_claim(job, settings)},
    }


def results_mount(job: EdgeETLJob) -> dict[str, Any]:
    """Return where the results, or the key to them, are in a container."""
    if job.spec.results.s3 is not None:
        return {"name": "results", "mountPath": _S3_PATH, "readOnly": True}
    claim = job.spec.results.volume_claim
    mount = {"name": "results", "mountPath": RESULTS_PATH}
    return {**mount, "subPath": claim.sub_path} if claim and claim.sub_path else mount


def _key(secret: str) -> dict[str, Any]:
    """Return the volume of a key to a bucket: of the Secret only what is named, as files."""
    credentials = {"name": secret, "items": [{"key": "credentials", "path": "credentials"}]}
    authority = {"name": secret, "items": [{"key": "ca.crt", "path": "ca.crt"}], "optional": True}
    sources = [{"secret": credentials}, {"secret": authority}]
    # Readable by the pod's group (fsGroup) alone.
    return {"name": "results", "projected": {"sources": sources, "defaultMode": 0o440}}
