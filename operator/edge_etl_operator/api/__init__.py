"""The EdgeETLJob resource, parsed once at the border into immutable objects.

The defaults are those of ``crd.yaml`` (a contract test compares them), so that a resource means
the same whether the API server or ``edge-etl local`` read it. Unknown fields are not an error
here: the API server has refused or pruned them, and an operator that is older than the CRD must
go on working. A module for each of its halves: ``spec``, with ``data`` for what the readings are,
and ``status``.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from edge_etl_operator.api.data import Features
from edge_etl_operator.api.part import Part, as_document
from edge_etl_operator.api.spec import (
    S3,
    Aggregate,
    Application,
    LabelExpression,
    SecretRef,
    Selector,
    Spec,
    Transform,
)
from edge_etl_operator.api.status import Condition, NodeStatus, PastRun, Run, Status

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "S3",
    "VERSION",
    "Aggregate",
    "Application",
    "Condition",
    "EdgeETLJob",
    "Features",
    "InvalidResourceError",
    "LabelExpression",
    "Metadata",
    "NodeStatus",
    "PastRun",
    "Run",
    "SecretRef",
    "Selector",
    "Spec",
    "Status",
    "Transform",
    "as_document",
    "parse",
    "parse_metadata",
    "parse_status",
]

GROUP: Final = "pi-edge-spark.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "EdgeETLJob"
PLURAL: Final = "edgeetljobs"


class Metadata(Part, frozen=True, kw_only=True):
    """The part of the metadata that matters here."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class EdgeETLJob(Part, frozen=True, kw_only=True):
    """The whole resource."""

    metadata: Metadata
    spec: Spec
    status: Status = Status()

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """The resource's namespace."""
        return self.metadata.namespace


class InvalidResourceError(ValueError):
    """A resource that the CRD would have refused; the message names the field."""


def parse(document: Mapping[str, Any]) -> EdgeETLJob:
    """Parse a resource as the API server or YAML gives it; InvalidResourceError if it is wrong."""
    try:
        return msgspec.convert(document, EdgeETLJob)
    except msgspec.ValidationError as error:
        raise InvalidResourceError(str(error)) from None


def parse_metadata(document: Mapping[str, Any]) -> Metadata:
    """Parse only the metadata, for a resource whose spec cannot be."""
    return msgspec.convert(document["metadata"], Metadata)


def parse_status(document: Mapping[str, Any]) -> Status:
    """Parse only the status, for a resource whose spec cannot be."""
    return msgspec.convert(document.get("status", {}), Status)
