"""Facts about a cluster for pure tests of the operator's decisions: no Kubernetes, no clock.

It is not a fake API server: it holds objects as facts, lets a test add facts, and carries out what
the plan says. Names, owners and the one status are all that it knows of Kubernetes' rules.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import msgspec
from edge_etl_operator import api, names
from edge_etl_operator.builders import edge
from edge_etl_operator.decisions import Action, Create, Decision, Delete
from edge_etl_operator.kube import Event, Job, Node, Pod
from edge_etl_operator.observation import Observation
from edge_etl_operator.planning import plan
from edge_etl_operator.policies import spark_size
from edge_etl_operator.policies.spark_size import SparkPlan, Work
from edge_etl_operator.settings import Edge, Landing, Settings, Spark

NAMESPACE = "edge"
UID = "job-uid"
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

SETTINGS = Settings(
    sources={"sensors": "/data/sensors"},
    edge=Edge(image="edge:1", transform_image="edge-transform:1", service_account="edge"),
    spark=Spark(image="spark:1", service_account="spark"),
    landing=Landing(namespace=NAMESPACE, url="http://landing:8080", claim="results"),
)


def spec(**changes: Any) -> dict[str, Any]:
    """Return the smallest useful spec; `changes` are its fields."""
    fields = [
        {"name": "sensor_id", "type": "string", "required": True},
        {"name": "pm10", "from": ["P1"], "type": "double", "unit": "µg/m³"},
    ]
    return {
        "nodes": {"selector": {"matchLabels": {"role": "edge"}}},
        "source": {"name": "sensors"},
        "schema": {"fields": fields},
        "key": ["sensor_id", "timestamp"],
        **changes,
    }


def job(status: dict[str, Any] | None = None, **changes: Any) -> api.EdgeETLJob:
    """Return a parsed job."""
    metadata = {"name": "air", "namespace": NAMESPACE, "uid": UID, "generation": 1}
    return api.parse({"metadata": metadata, "spec": spec(**changes), "status": status or {}})


def run(**changes: Any) -> api.Run:
    """Return a run that began at START."""
    return api.Run(**{"id": "20260301-120000", "start_time": START, "spec_hash": "", **changes})


def node_job(
    job: api.EdgeETLJob, run: str, node: Node, settings: Settings = SETTINGS
) -> dict[str, Any]:
    """Return the Kubernetes Job of one node."""
    [made] = edge.node_jobs(job, run, [node], settings)
    return made


def spark_plan(job: api.EdgeETLJob) -> SparkPlan:
    """Return how Spark runs where nothing is known of the nodes."""
    made = spark_size.plan(job.spec.aggregate, Work(1000, 3), (), one_node=False)
    assert isinstance(made, SparkPlan)
    return made


def node(
    name: str, *, labels: dict[str, str] | None = None, ready: str = "True", **spec: Any
) -> Node:
    """Return a node."""
    conditions = [{"type": "Ready", "status": ready}]
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": labels or {"role": "edge"}},
            "spec": spec,
            "status": {"conditions": conditions},
        },
        Node,
    )


def pod(name: str = "pod", phase: str = "Pending", **status: Any) -> Pod:
    """Return a pod with a status."""
    spec = {"containers": [{"name": "edge", "resources": {"limits": {"memory": "128Mi"}}}]}
    document = {
        "metadata": {"name": name, "uid": f"{name}-uid"},
        "spec": spec,
        "status": {"phase": phase, **status},
    }
    return msgspec.convert(document, Pod)


def container(**state: Any) -> dict[str, Any]:
    """Return the status fields of a pod whose container is in a state."""
    return {"containerStatuses": [{"name": "edge", "image": "edge:1", "state": state}]}


def warning(reason: str, message: str, second: int = 0) -> Event:
    """Return a warning that Kubernetes posted."""
    when = (START + timedelta(seconds=second)).isoformat()
    return msgspec.convert({"reason": reason, "message": message, "lastTimestamp": when}, Event)


def summary(node: str, attempt: str, **changes: Any) -> str:
    """Return a termination message of an edge pod."""
    document = {
        "kind": "NodeSummary",
        "run": "20260301-120000",
        "node": node,
        "attempt": attempt,
        "succeeded": True,
        "reason": "Delivered",
        "message": "delivered",
        "filesRead": 2,
        "rowsRead": 100,
        "rowsClean": 97,
        "rowsRejected": 3,
        "columnsSeen": ["sensor_id", "P1"],
        **changes,
    }
    return msgspec.json.encode(document).decode()


def report(**changes: Any) -> str:
    """Return a termination message of a driver."""
    document = {
        "kind": "AggregationReport",
        "run": "20260301-120000",
        "succeeded": True,
        "reason": "Published",
        "message": "published",
        "version": 1,
        "rows": 97,
        **changes,
    }
    return msgspec.json.encode(document).decode()


@dataclass
class World:
    """What is so in a cluster with one job; methods add facts or carry out decisions."""

    spec: dict[str, Any] = field(default_factory=spec)
    status: dict[str, Any] = field(default_factory=dict)
    generation: int = 1
    annotations: dict[str, str] = field(default_factory=dict)
    now: datetime = START
    nodes: dict[str, Node] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: set[str] = field(default_factory=set)
    warnings: list[Event] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    writes: int = 0
    room: int | None = None
    clock_set: timedelta = timedelta()

    def with_nodes(self, *added: str | Node) -> Self:
        """Add nodes."""
        for each in added:
            one = node(each) if isinstance(each, str) else each
            self.nodes[one.name] = one
        return self

    def off(self, *names: str) -> Self:
        """Let nodes go silent: what ran there is still said to run."""
        return self.with_nodes(*(node(name, ready="Unknown") for name in names))

    def back(self, *names: str) -> Self:
        """Let nodes be heard of again: their kubelets end what was deleted meanwhile."""
        for place in (self.pods, self.jobs):
            gone = [
                key
                for key, each in place.items()
                if "deletionTimestamp" in each["metadata"]
                and each["metadata"]["labels"].get("pi-edge-spark.io/node") in names
            ]
            for key in gone:
                place.pop(key)
        return self.with_nodes(*names)

    def edit(self, **changes: Any) -> Self:
        """Edit the job's spec."""
        self.spec = {**self.spec, **changes}
        self.generation += 1
        return self

    def after(self, seconds: float) -> Self:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self

    def set_clock(self, seconds: float) -> Self:
        """Set the operator's clock, which takes no time."""
        self.clock_set += timedelta(seconds=seconds)
        return self.after(seconds)

    @property
    def job(self) -> api.EdgeETLJob:
        """The job as the API server has it."""
        metadata = {
            "name": "air",
            "namespace": NAMESPACE,
            "uid": UID,
            "generation": self.generation,
            "annotations": self.annotations,
            "creationTimestamp": START,
        }
        return api.parse({"metadata": metadata, "spec": self.spec, "status": self.status})

    @property
    def run(self) -> str:
        """The id of the current run."""
        return str(self.status["run"]["id"])

    def observe(self) -> Observation:
        """Return what the operator would see."""
        return Observation(
            self.job,
            tuple(self.nodes.values()),
            tuple(msgspec.convert(each, Job) for each in self.jobs.values()),
            tuple(msgspec.convert(each, Pod) for each in self.pods.values()),
            tuple(self.warnings),
            self.room,
            self.clock_set,
        )

    def decide(self, settings: Settings = SETTINGS) -> Decision:
        """Ask the plan."""
        return plan(self.observe(), settings, self.now)

    def reconcile(self, crash_after: int | None = None) -> Decision:
        """Decide and carry it out; a crash leaves everything after so many actions undone."""
        decision = self.decide()
        actions = decision.actions if crash_after is None else decision.actions[:crash_after]
        for action in actions:
            self._carry_out(action)
        if crash_after is None or crash_after > len(decision.actions):
            told = api.as_document(decision.status)
            self.writes += told != self.status
            self.status = told
            self.clock_set = timedelta()
        return decision

    def settle(self, limit: int = 20) -> Self:
        """Reconcile until nothing more is written or done."""
        for _ in range(limit):
            before = (self.writes, len(self.created), len(self.jobs), len(self.pods))
            self.reconcile()
            if before == (self.writes, len(self.created), len(self.jobs), len(self.pods)):
                return self
        raise AssertionError("the plan does not come to rest")

    def condition(self, kind: str) -> tuple[str, str]:
        """Return status and reason of a condition."""
        found = self.job.status.condition(kind)
        return (found.status, found.reason) if found else ("", "")

    def message(self, kind: str) -> str:
        """Return the message of a condition."""
        found = self.job.status.condition(kind)
        return found.message if found else ""

    def pod_of(self, node: str, **status: Any) -> str:
        """Give a node's Job a pod (or another one), as the Job controller does."""
        owner = self.jobs[names.node_job("air", self.run, node)]
        name = f"{owner['metadata']['name']}-{len(self.pods)}"
        self.pods[name] = {
            "metadata": {
                "name": name,
                "uid": f"{name}-uid",
                "labels": owner["metadata"]["labels"],
                "ownerReferences": [{"uid": owner["metadata"]["uid"]}],
                "creationTimestamp": self.now.isoformat(),
            },
            "spec": {"containers": [{"name": "edge"}]},
            "status": {"phase": "Pending", **status},
        }
        return name

    def pod_is(self, name: str, phase: str, message: str = "", code: int = 0, **more: Any) -> Self:
        """Say what became of a pod."""
        ended = phase in ("Succeeded", "Failed")
        state = {"terminated": {"exitCode": code, "message": message}} if ended else {}
        self.pods[name]["status"] = {"phase": phase, **container(**state), **more}
        if phase == "Running" and (on := self.pods[name]["metadata"]["labels"].get(names.NODE)):
            self.pods[name]["spec"]["nodeName"] = on
        return self

    def job_is(self, node: str, kind: str, reason: str = "") -> Self:
        """Say that a node's Job is Complete or Failed."""
        name = names.node_job("air", self.run, node)
        condition = {"type": kind, "status": "True", "reason": reason}
        self.jobs[name]["status"] = {"conditions": [condition]}
        return self

    def deliver(self, *nodes: str, **changes: Any) -> Self:
        """Let nodes succeed."""
        for each in nodes:
            name = self.pod_of(each)
            said = summary(each, f"{name}-uid", **changes)
            self.pod_is(name, "Succeeded", said).job_is(each, "Complete")
        return self

    @property
    def driver(self) -> str:
        """The name of the driver's pod of the current run."""
        return names.driver("air", self.run, self.job.status.run.aggregations)  # type: ignore[union-attr]

    def _carry_out(self, action: Action) -> None:
        match action:
            case Create(manifest):
                self._create(manifest)
            case Delete("Job", name, uid):
                self._delete_job(name, uid)
            case Delete("ConfigMap", name, _):
                self.configs.discard(name)
            case Delete(_, name, _):
                self.pods.pop(name, None)

    def _delete_job(self, name: str, uid: str) -> None:
        """Delete a Job in the foreground: on a node that is off its pods hang, and it with them."""
        gone = [
            key
            for key, value in self.pods.items()
            if value["metadata"]["ownerReferences"][0]["uid"] == uid
        ]
        hangs = False
        for key in gone:
            node = self.nodes.get(self.pods[key]["spec"].get("nodeName", ""))
            if node is not None and not node.ready and self._runs(key):
                self.pods[key]["metadata"].setdefault("deletionTimestamp", self.now.isoformat())
                hangs = True
            else:
                self.pods.pop(key)
        if hangs:
            self.jobs[name]["metadata"].setdefault("deletionTimestamp", self.now.isoformat())
        else:
            self.jobs.pop(name, None)

    def _runs(self, pod: str) -> bool:
        return bool(self.pods[pod]["status"]["phase"] == "Running")

    def _create(self, manifest: dict[str, Any]) -> None:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        assert len(name) <= 63
        place: Any = {"Job": self.jobs, "Pod": self.pods, "ConfigMap": self.configs}[kind]
        if name in place:
            return
        self.created.append(f"{kind}/{name}")
        if kind == "ConfigMap":
            self.configs.add(name)
            return
        metadata = {**manifest["metadata"], "uid": f"{name}-{len(self.created)}"}
        place[name] = {
            "metadata": {**metadata, "creationTimestamp": self.now.isoformat()},
            "spec": manifest["spec"] if kind == "Pod" else {},
            "status": {"phase": "Pending"} if kind == "Pod" else {},
        }
