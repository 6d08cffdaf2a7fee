"""Decide about a run whose deliveries are aggregated: pure."""

from datetime import datetime

from edge_etl_operator import cleaning, conditions, stages, status
from edge_etl_operator.api import NodeStatus, Run
from edge_etl_operator.builders import aggregate
from edge_etl_operator.builders.common import results_claim
from edge_etl_operator.decisions import Action, Create, Decision, Delete
from edge_etl_operator.documents import Delivery
from edge_etl_operator.kube import Pod
from edge_etl_operator.observation import Observation
from edge_etl_operator.policies import deadlines, diagnosis, quality, spark_size, unchanged
from edge_etl_operator.policies.diagnosis import Diagnosis
from edge_etl_operator.policies.spark_size import Refusal, SparkPlan, Work
from edge_etl_operator.settings import Settings
from edge_etl_operator.status import Finding


def aggregate_run(
    seen: Observation,
    run: Run,
    states: tuple[NodeStatus, ...],
    settings: Settings,
    now: datetime,
) -> Decision:
    """Have Spark merge what the nodes delivered, once."""
    job = seen.job
    driver = seen.driver(run)
    odd = cleaning.oddities(seen, run, states)
    edge_done = cleaning.done(states)
    if driver is None and unchanged.nothing_to_merge(job, run, states):
        return Decision((), status.unchanged(job, run, states, edge_done, now, odd), 0.0)
    if driver is not None and driver.phase == "Succeeded":
        answer = stages.report(driver)
        if answer is not None and answer.succeeded:
            apart = quality.differing(answer.quarantined_nodes)
            finished = status.succeeded(job, run, states, edge_done, answer, now, [*apart, *odd])
            return Decision((), finished, 0.0)
        cause = conditions.NO_SUMMARY
        fact = f"Pod {driver.name} ended without a report of what it did"
        return _failed(seen, run, states, cause.about(fact), now)
    if driver is not None and driver.phase == "Failed" and not _ended_from_outside(driver):
        found = diagnosis.failed(driver, stages.report(driver))
        told = f"{found.reason.code}: {found.message.rstrip('.')}"
        whole = f"the whole log: kubectl logs {driver.name} -n {job.namespace}"
        return _failed(seen, run, states, f"{told}; {whole}", now)
    size = _size(seen, states, settings) if driver is None else None
    waits = stages.driver_waits(seen, driver) if driver is not None else None
    if isinstance(size, Refusal):
        waits = Diagnosis(conditions.NO_ROOM_FOR_SPARK, size.fact)
    if now >= deadlines.run_end(job, run):
        told = f" {waits.message}" if waits else ""
        reason = conditions.RUN_DEADLINE_EXCEEDED
        fact = f"The run took longer than {job.spec.active_deadline_seconds} s.{told}".rstrip(".")
        finding = Finding(conditions.AGGREGATED, "False", reason, fact)
        return Decision((), status.failed(job, run, states, finding, now, edge_done, odd), 0.0)
    if isinstance(size, SparkPlan):
        actions = _start(seen, run, size, states, settings, now)
    else:
        actions = _mended(driver)
    finding = Finding(conditions.AGGREGATED, "False", conditions.AGGREGATING, "Spark merges")
    if waits:
        finding = Finding(conditions.AGGREGATED, "False", waits.reason, waits.fact)
    pending = driver is None or driver.phase == "Pending" or waits is not None
    going = status.going(job, run, states, edge_done, now, odd, finding)
    return Decision(actions, going, deadlines.look_again(job, run, now, waits=pending))


def _ended_from_outside(driver: Pod) -> bool:
    """Tell whether a driver was evicted, deleted, or lost its node's power: it is made again."""
    leaves = driver.metadata.deletion_timestamp is not None
    return driver.disrupted or driver.cut_off or leaves


def _size(
    seen: Observation, states: tuple[NodeStatus, ...], settings: Settings
) -> SparkPlan | Refusal:
    """Decide how much of Spark the deliveries get, by what the nodes can take now."""
    spec = seen.job.spec
    capacity = seen.capacity(results_claim(seen.job, settings))
    rooms = capacity.rooms(seen.nodes, settings.spark.node_selector, settings.spark.tolerations)
    work = Work(sum(node.bytes_written or 0 for node in states), 1 + len(spec.schema.fields))
    return spark_size.plan(spec.aggregate, work, rooms, one_node=capacity.one_node)


def _start(
    seen: Observation,
    run: Run,
    plan: SparkPlan,
    states: tuple[NodeStatus, ...],
    settings: Settings,
    now: datetime,
) -> tuple[Action, ...]:
    job = seen.job
    deliveries = [Delivery(node.name, node.attempt) for node in states if node.phase == "Succeeded"]
    missing = {node.name: _absence(node) for node in states if node.phase != "Succeeded"}
    seconds = deadlines.seconds_left(job, run, now)
    config = aggregate.driver_config(
        job, run, plan, deliveries, settings, missing=missing, nodes=seen.nodes
    )
    name = config["metadata"]["name"]
    pod = aggregate.driver_pod(job, run, plan, name, seconds, settings)
    return (Create(config), Create(pod))


def _absence(node: NodeStatus) -> str:
    """Say why a node has not delivered."""
    return ": ".join(part for part in (node.reason or node.phase, node.message) if part)


def _mended(driver: Pod | None) -> tuple[Action, ...]:
    if driver and driver.phase == "Failed" and driver.metadata.deletion_timestamp is None:
        # Evicted, drained or cut off: not its fault, it is made again as soon as it is gone.
        return (Delete("Pod", driver.name, driver.uid),)
    return ()


def _failed(
    seen: Observation, run: Run, states: tuple[NodeStatus, ...], fact: str, now: datetime
) -> Decision:
    finding = Finding(
        conditions.AGGREGATED, "False", conditions.AGGREGATION_FAILED, fact.rstrip(".")
    )
    odd = cleaning.oddities(seen, run, states)
    failed = status.failed(seen.job, run, states, finding, now, cleaning.done(states), odd)
    return Decision((), failed, 0.0)
