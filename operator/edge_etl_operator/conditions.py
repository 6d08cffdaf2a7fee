"""The conditions of a job: their types, and every reason with what a person does about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from edge_etl_operator.api import Condition

ACCEPTED: Final = "Accepted"
SCHEDULED: Final = "Scheduled"
EDGE_COMPLETE: Final = "EdgeComplete"
AGGREGATED: Final = "Aggregated"
SUCCEEDED: Final = "Succeeded"
DEGRADED: Final = "Degraded"

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Reason:
    """A cause in one word, and the remedy; empty when there is nothing to do."""

    code: str
    remedy: str = ""

    def about(self, fact: str) -> str:
        """Return a condition's message: what is so, then what to do."""
        return f"{fact.rstrip('.')}. {self.remedy}" if self.remedy else fact


# Accepted
VALID: Final = Reason("Valid")
INVALID_SPEC: Final = Reason("InvalidSpec", "Correct the field and apply again.")
SOURCE_NOT_ALLOWED: Final = Reason(
    "SourceNotAllowed",
    "Use one of these in spec.source.name, or have the administrator add the source to the "
    "chart's value `sources`.",
)
LANDING_UNAVAILABLE: Final = Reason(
    "LandingUnavailable",
    "Apply the job in the landing service's namespace, have the administrator set the chart's "
    "value landing.enabled, or name a claim in spec.results.volumeClaim or a bucket in "
    "spec.results.s3.",
)

UNKNOWN_TIME_ZONE: Final = Reason(
    "UnknownTimeZone", "Name an IANA time zone in spec.timeZone, such as Europe/London."
)
INVALID_SCHEDULE: Final = Reason(
    "InvalidSchedule",
    "Write minute, hour, day of month, month and day of week in spec.schedule, such as "
    "'5 * * * *', or one of @hourly, @daily, @weekly, @monthly, @yearly.",
)

# Scheduled
ON_SCHEDULE: Final = Reason("OnSchedule")
SLOT_WAITS: Final = Reason("SlotWaits")
SLOT_MISSED: Final = Reason(
    "SlotMissed",
    "Run it now with the annotation pi-edge-spark.io/run-now, or allow later starts in "
    "spec.startingDeadlineSeconds.",
)
SUSPENDED: Final = Reason("Suspended", "Set spec.suspend to false to go on.")

# Progress and success
WAITING: Final = Reason("NotStarted")
STOPPING: Final = Reason("StoppingEarlierRun")
CLEANING: Final = Reason("Cleaning")
AGGREGATING: Final = Reason("Aggregating")
NODES_DELIVERED: Final = Reason("AllNodesDelivered")
QUORUM_REACHED: Final = Reason("QuorumReached")
PUBLISHED: Final = Reason("Published")
NOTHING_NEW: Final = Reason("NothingNew")
RUN_SUCCEEDED: Final = Reason("RunSucceeded")
PARTIALLY_SUCCEEDED: Final = Reason(
    "PartiallySucceeded",
    "What the missing nodes have comes as spec.nodes.lateDataPolicy says.",
)
AS_EXPECTED: Final = Reason("AsExpected")

# Why nothing begins
NO_MATCHING_NODE: Final = Reason(
    "NoMatchingNode",
    "Label nodes so that they match, or correct spec.nodes.selector; the run then starts by "
    "itself.",
)

TOO_FEW_NODES: Final = Reason(
    "TooFewNodes",
    "Label more nodes so that they match, or lower spec.nodes.minSuccess; the run then starts by "
    "itself.",
)

# Why a stage failed
NODE_OFFLINE: Final = Reason(
    "NodeOffline",
    "Switch the nodes on and ask for a run with the annotation pi-edge-spark.io/run-now, or let "
    "runs do without them by spec.nodes.offlinePolicy and spec.nodes.minSuccess.",
)
NODE_FAILED: Final = Reason(
    "NodeFailed",
    "Remove the cause and change the spec, or apply the job anew, to run again; what the other "
    "nodes delivered is kept and merged by the next run that succeeds.",
)
EDGE_FAILED: Final = Reason("EdgeFailed")
AGGREGATION_FAILED: Final = Reason(
    "AggregationFailed",
    "Remove the cause and change the spec, or apply the job anew, to run again; what the nodes "
    "delivered is kept.",
)
RUN_DEADLINE_EXCEEDED: Final = Reason(
    "RunDeadlineExceeded",
    "Remove what the run waited for, or allow more time in spec.activeDeadlineSeconds.",
)

# Why a pod waits or failed
UNSCHEDULABLE: Final = Reason(
    "Unschedulable",
    "Free or add what the scheduler misses; requests are in spec.edge.resources and "
    "spec.aggregate, tolerations in spec.nodes.tolerations.",
)
WINDOW_NOT_COARSER: Final = Reason(
    "WindowNotCoarser", "Make spec.aggregate.window a multiple of spec.features.window."
)
NO_ROOM_FOR_SPARK: Final = Reason(
    "NoRoomForSpark",
    "Free or add memory, ask for less in spec.aggregate, or let Spark run on more nodes (the "
    "chart's spark.nodeSelector and spark.tolerations); it then starts by itself.",
)
NODE_NOT_READY: Final = Reason(
    "NodeNotReady", "Switch the node on and look at its network and kubelet."
)
NODE_CORDONED: Final = Reason("NodeCordoned", "Run `kubectl uncordon` for it to take part.")
NODE_TAINTED: Final = Reason(
    "NodeTainted",
    "Remove the taint with `kubectl taint nodes`, or tolerate it in spec.nodes.tolerations.",
)
IMAGE_UNAVAILABLE: Final = Reason(
    "ImageUnavailable",
    "Push the image or load it onto the node, or correct the chart's values images and "
    "imagePullSecrets.",
)
CONFIG_MISSING: Final = Reason(
    "ConfigMissing", "Create what is missing; the pod then starts by itself."
)
CLAIM_UNAVAILABLE: Final = Reason(
    "ClaimUnavailable",
    "Create the PersistentVolumeClaim, or look at why it does not bind with `kubectl describe "
    "pvc`.",
)
SOURCE_MISSING: Final = Reason(
    "SourceMissing",
    "Create the directory on that node, or correct the path in the chart's value `sources`.",
)
MOUNT_FAILED: Final = Reason("MountFailed", "Look at the volume and at the node's kubelet.")
QUOTA_EXCEEDED: Final = Reason(
    "QuotaExceeded",
    "Raise the namespace's ResourceQuota, or lower spec.edge.resources, spec.aggregate or "
    "spec.nodes.maxParallel; it is tried again by itself.",
)
SERVICE_ACCOUNT_MISSING: Final = Reason(
    "ServiceAccountMissing",
    "Add the namespace to the chart's value operator.namespaces, which creates the account there.",
)
POD_REFUSED: Final = Reason("PodRefused", "Change what the admission policy objects to.")
OUT_OF_MEMORY: Final = Reason(
    "OutOfMemory", "Raise the memory: spec.edge.resources.limits or spec.aggregate."
)
NODE_DEADLINE_EXCEEDED: Final = Reason(
    "NodeDeadlineExceeded", "Allow more time in spec.nodes.activeDeadlineSeconds."
)
TOO_MANY_REJECTED: Final = Reason(
    "TooManyRejected",
    "Correct spec.schema or the files, or allow more in spec.quality.maxRejectedRatio; the rows "
    "are read again then.",
)
DISK_PRESSURE: Final = Reason(
    "DiskPressure",
    "Free space on the node's disk, or raise the chart's value edge.workSizeLimit if that is what "
    "was exceeded.",
)
MEMORY_PRESSURE: Final = Reason(
    "MemoryPressure",
    "Free memory on the node, or set spec.edge.resources.requests.memory to what the pod needs.",
)
EVICTED: Final = Reason("Evicted", "Look at the node: a drain, a taint, or a more important pod.")
CONTAINER_FAILED: Final = Reason("ContainerFailed", "Look at the pod's log with `kubectl logs`.")
NO_SUMMARY: Final = Reason(
    "NoSummary", "Use images of the edge and Spark programs that belong to this operator."
)

# Why the operator itself cannot go on
CREATE_REFUSED: Final = Reason("CreateRefused", "The operator tries again.")
PERMISSION_MISSING: Final = Reason(
    "PermissionMissing", "Give this account the permission; the chart's Roles have it."
)
NAME_TAKEN: Final = Reason("NameTaken", "Delete that object; the run then goes on.")

# What is odd although the run may succeed
FIELD_NOT_FOUND: Final = Reason(
    "FieldNotFound", "Correct `from` of the field in spec.schema, or remove the field."
)
MOSTLY_REJECTED: Final = Reason(
    "MostlyRejected",
    "Correct what the example shows: a decimal comma in spec.source.csv.decimal, times in "
    "spec.schema.timestamp, ranges in spec.schema.fields; then have these rows read again with "
    "`edge-etl quarantine replay`.",
)
TIMES_IN_FUTURE: Final = Reason(
    "TimesInFuture",
    "Name the zone of the clock that wrote these files in spec.schema.timestamp.timeZone, or set "
    "that clock; then have these rows read again with `edge-etl quarantine replay`.",
)
NO_FILES: Final = Reason(
    "NoFiles", "Look at spec.source.include and at the source's directory on these nodes."
)
FILES_QUARANTINED: Final = Reason(
    "FilesQuarantined",
    "Look at these files on the nodes: they are no CSV files of this schema.",
)
SCHEMA_DRIFT: Final = Reason(
    "SchemaDrift",
    "Correct the files, or the names in spec.schema.fields[].from, or set spec.schema.onDrift to "
    "Evolve to merge them as they are; what these nodes delivered waits.",
)
NODES_CORDONED: Final = Reason("NodesCordoned", "Run `kubectl uncordon` for them to take part.")
NODES_TAINTED: Final = Reason(
    "NodesTainted",
    "Remove their taints with `kubectl taint nodes`, or tolerate them in spec.nodes.tolerations.",
)
NODES_JOINED: Final = Reason(
    "NodesJoined",
    "They take part in the next run; the annotation pi-edge-spark.io/run-now asks for one.",
)
NODES_MISSING: Final = Reason(
    "NodesMissing", "Look at these nodes in status.nodes, each says why and what to do."
)


def by_code(code: str) -> Reason:
    """Return a reason of this module; one that another program gave has no remedy here."""
    return _BY_CODE.get(code, Reason(code))


_BY_CODE: Final = {
    value.code: value for value in list(globals().values()) if isinstance(value, Reason)
}


def updated(known: Iterable[Condition], new: Iterable[Condition]) -> tuple[Condition, ...]:
    """Put new conditions over the known ones, in a fixed order.

    The transition time is that of the last change of the status, as Kubernetes defines it.
    """
    result = {condition.type: condition for condition in known}
    for condition in new:
        before = result.get(condition.type)
        if before is not None and before.status == condition.status:
            since = before.last_transition_time
            condition = msgspec.structs.replace(condition, last_transition_time=since)
        result[condition.type] = condition
    order = (ACCEPTED, SCHEDULED, EDGE_COMPLETE, AGGREGATED, SUCCEEDED, DEGRADED)
    return tuple(result[kind] for kind in order if kind in result)


def condition(
    kind: str, status: Truth, reason: Reason, fact: str, generation: int, now: datetime
) -> Condition:
    """Make a condition that begins now."""
    return Condition(
        type=kind,
        status=status,
        reason=reason.code,
        message=reason.about(fact)[:4096],
        observed_generation=generation,
        last_transition_time=now.replace(microsecond=0),
    )
