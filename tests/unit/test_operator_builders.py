"""What the operator creates: names, identity, mounts and what Pod Security asks for."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from edge_etl_operator import names
from edge_etl_operator.builders import aggregate, probe
from edge_etl_operator.documents import Delivery
from edge_etl_operator.settings import Landing
from hypothesis import given
from hypothesis import strategies as st

from tests.support import operator_facts as facts

RUN = "20260301-120000"
CLUSTER: dict[str, Any] = {
    "aggregate": {"mode": "Cluster", "executor": {"instances": 3, "memory": "512m"}}
}
CLAIM: dict[str, Any] = {"results": {"volumeClaim": {"name": "nfs", "subPath": "air"}}}
S3: dict[str, Any] = {
    "results": {
        "s3": {
            "endpoint": "https://nas.home:9000",
            "bucket": "readings",
            "prefix": "garden",
            "secretRef": {"name": "bucket-key"},
        }
    }
}
SECRETS = msgspec.structs.replace(facts.SETTINGS, image_pull_secrets=("registry",))

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?", fullmatch=True)


@given(NAMES, NAMES, st.text(min_size=1, max_size=253))
def test_names_fit_and_never_meet(one: str, other: str, node: str) -> None:
    for name in (
        names.node_job(one, RUN, node),
        names.edge_config(one, RUN),
        names.driver(one, RUN),
        names.driver(one, RUN, before=12),
    ):
        assert len(name) <= 63
        assert RUN in name
    assert len(names.executor_prefix(one, RUN)) <= 47
    assert (names.driver(one, RUN) == names.driver(other, RUN)) == (one == other)


@given(st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", fullmatch=True))
def test_a_nodes_name_becomes_a_label_value(node: str) -> None:
    value = names.label_value(node)
    assert len(value) <= 63
    assert value[-1].isalnum()


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    node = facts.node("pi-1")
    yield "probe", probe.probe_pod(facts.job(), {}, node, SECRETS)["spec"]
    for label, changes in (
        ("landing", {}),
        ("claim", CLAIM),
        ("s3", S3),
        ("cluster", CLUSTER),
    ):
        job = facts.job(**changes)
        plan = facts.spark_plan(job)
        node_job = facts.node_job(job, RUN, node, SECRETS)
        yield f"edge-{label}", node_job["spec"]["template"]["spec"]
        yield (
            f"driver-{label}",
            aggregate.driver_pod(job, facts.run(), plan, "c", 60, SECRETS)["spec"],
        )
        yield f"executor-{label}", aggregate.executor_template(job, RUN, plan, SECRETS)["spec"]


@pytest.mark.parametrize(("what", "spec"), list(pods()))
def test_every_pod_is_restricted(what: str, spec: dict[str, Any]) -> None:
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["fsGroup"] == 65532
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    mounted = {each["name"] for one in spec["containers"] for each in one["volumeMounts"]}
    assert mounted <= {each["name"] for each in spec["volumes"]}
    assert spec["automountServiceAccountToken"] is (what == "driver-cluster")


def test_only_the_state_directorys_owner_is_root_and_only_to_chown() -> None:
    template = facts.node_job(facts.job(), RUN, facts.node("pi-1"), SECRETS)["spec"]["template"]
    [owner] = template["spec"]["initContainers"]
    assert owner["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert owner["command"] == ["chown", "65532:65532", "/state"]
    assert [mount["name"] for mount in owner["volumeMounts"]] == ["state"]


def test_a_nodes_job_is_pinned_by_its_hostname_label() -> None:
    """Pinned by label, never by nodeName: the scheduler's checks and volume binding stay."""
    labels = {"kubernetes.io/hostname": "pi-1.local"}
    job = facts.node_job(facts.job(), RUN, facts.node("pi-1", labels=labels), SECRETS)
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "pi-1.local"}
    assert "nodeName" not in pod
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    assert job["metadata"]["ownerReferences"][0]["uid"] == facts.UID


def test_a_path_comes_from_the_settings_and_the_source_is_read_only() -> None:
    """Peers: a user's path reached any host path (CVE-2025-62878)."""
    spec = facts.node_job(facts.job(), RUN, facts.node("pi-1"), SECRETS)["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert volumes["source"]["hostPath"] == {"path": "/data/sensors", "type": "Directory"}
    assert volumes["state"]["hostPath"]["path"] == "/var/lib/pi-edge-spark/state/edge/air"
    mounts = {each["name"]: each for each in spec["containers"][0]["volumeMounts"]}
    assert mounts["source"]["readOnly"] is True
    arguments = spec["containers"][0]["args"]
    assert arguments[arguments.index("--source-on-node") + 1] == "/data/sensors"


def test_doctors_pod_sees_one_allowed_directory_and_holds_no_credentials() -> None:
    document = {"job": "air", "key": ["timestamp"]}
    pod = probe.probe_pod(facts.job(), document, facts.node("pi-1"), facts.SETTINGS)
    paths = [each["hostPath"] for each in pod["spec"]["volumes"] if "hostPath" in each]
    assert paths == [{"path": facts.SETTINGS.sources["sensors"], "type": "Directory"}]
    (container,) = pod["spec"]["containers"]
    mounts = {each["name"]: each.get("readOnly", False) for each in container["volumeMounts"]}
    assert mounts == {"config": True, "source": True, "work": False}
    told = container["args"][container["args"].index("--source-on-node") + 1]
    assert told == facts.SETTINGS.sources["sensors"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "initContainers" not in pod["spec"]
    assert pod["spec"]["activeDeadlineSeconds"] <= 120
    (annotation,) = pod["metadata"]["annotations"].values()
    assert json.loads(annotation) == document


def test_a_job_with_own_rules_has_them_mounted_and_the_image_that_can_run_them() -> None:
    own = {"configMap": {"name": "my-rules", "key": "clean.py"}}
    job = facts.job(edge={"transform": own})
    spec = facts.node_job(job, RUN, facts.node("pi-1"), SECRETS)["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["image"] == "edge-transform:1"
    arguments = container["args"]
    path = arguments[arguments.index("--transform") + 1]
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    assert path == f"{mounts['transform']['mountPath']}/clean.py"
    volumes = {each["name"]: each for each in spec["volumes"]}
    items = [{"key": "clean.py", "path": "clean.py"}]
    assert volumes["transform"]["configMap"] == {"name": "my-rules", "items": items}
    without = facts.node_job(facts.job(), RUN, facts.node("pi-1"), SECRETS)
    assert "transform" not in str(without)
    assert facts.job().spec.hash != job.spec.hash


def test_with_the_landing_service_a_pod_has_a_token_for_its_run_and_no_claim() -> None:
    spec = facts.node_job(facts.job(), RUN, facts.node("pi-1"), SECRETS)["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in spec["volumes"]}
    [source] = volumes["token"]["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == f"pi-edge-spark.io/edge/air/{RUN}"
    assert "results" not in volumes
    arguments = spec["containers"][0]["args"]
    assert arguments[arguments.index("--results") + 1] == "http://landing:8080"


def test_a_pod_sees_of_the_landing_services_secret_the_authority_and_not_the_key() -> None:
    landing = Landing(
        namespace="edge",
        url="https://landing:8080",
        claim="results",
        ca_secret="landing-tls",  # noqa: S106  # a name
    )
    secure = msgspec.structs.replace(SECRETS, landing=landing)
    spec = facts.node_job(facts.job(), RUN, facts.node("pi-1"), secure)["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in spec["volumes"]}
    items = [{"key": "ca.crt", "path": "ca.crt"}]
    assert volumes["token"]["projected"]["sources"][1:] == [
        {"secret": {"name": "landing-tls", "items": items}}
    ]
    arguments = spec["containers"][0]["args"]
    assert arguments[arguments.index("--results") + 1] == "https://landing:8080"
    mounts = {each["name"]: each for each in spec["containers"][0]["volumeMounts"]}
    ca_file = f"{mounts['token']['mountPath']}/ca.crt"
    assert arguments[arguments.index("--ca-file") + 1] == ca_file


def test_with_a_claim_a_pod_has_the_claim_and_no_token() -> None:
    job = facts.job(**CLAIM)
    spec = facts.node_job(job, RUN, facts.node("pi-1"), SECRETS)["spec"]["template"]["spec"]
    container = spec["containers"][0]
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    assert mounts["results"] == {"name": "results", "mountPath": "/results", "subPath": "air"}
    assert "token" not in mounts
    assert "--token-file" not in container["args"]


def test_with_a_bucket_edge_pod_and_driver_have_its_key_as_a_file_and_no_claim() -> None:
    job = facts.job(**S3)
    pods = [
        facts.node_job(job, RUN, facts.node("pi-1"), SECRETS)["spec"]["template"]["spec"],
        aggregate.driver_pod(job, facts.run(), facts.spark_plan(job), "c", 60, SECRETS)["spec"],
    ]
    for spec in pods:
        (container,) = spec["containers"]
        arguments = dict(itertools.pairwise(container["args"]))
        location = urlsplit(arguments["--results"])
        assert (location.scheme, location.netloc, location.path) == ("s3", "readings", "/garden")
        assert parse_qs(location.query) == {
            "endpoint": ["https://nas.home:9000"],
            "region": ["us-east-1"],
        }
        assert "--token-file" not in arguments
        (mount,) = (m for m in container["volumeMounts"] if m["name"] == "results")
        assert arguments["--s3-credentials"] == f"{mount['mountPath']}/credentials"
        assert mount["readOnly"]
        (volume,) = (v for v in spec["volumes"] if v["name"] == "results")
        key, authority = (each["secret"] for each in volume["projected"]["sources"])
        assert (key["name"], key["items"][0]["key"]) == ("bucket-key", "credentials")
        assert not key.get("optional")
        assert authority["optional"]
        assert not any("valueFrom" in e and "secretKeyRef" in e["valueFrom"]
                       for e in container["env"])  # fmt: skip


def test_the_driver_of_a_cluster_gives_its_executors_what_they_need() -> None:
    job = facts.job(**{**CLUSTER, **CLAIM})
    config = aggregate.driver_config(
        job, facts.run(), facts.spark_plan(job), [Delivery("pi-1", "a")], SECRETS
    )
    document = json.loads(config["data"]["aggregation.json"])
    conf = document["spark"]["conf"]
    assert document["spark"]["master"] == "k8s://https://kubernetes.default.svc"
    assert conf["spark.kubernetes.driver.pod.name"] == names.driver("air", RUN)
    assert conf["spark.executor.instances"] == "3"
    assert conf["spark.executor.memoryOverhead"] == "384m"
    assert conf["spark.kubernetes.container.image.pullSecrets"] == "registry"
    assert "spark.driver.bindAddress" not in conf
    template = json.loads(config["data"]["executor.yaml"])
    [mount] = [
        each
        for each in template["spec"]["containers"][0]["volumeMounts"]
        if each["name"] == "results"
    ]
    assert mount["subPath"] == "air"


def test_alone_the_driver_has_no_executors() -> None:
    job = facts.job()
    config = aggregate.driver_config(
        job, facts.run(), facts.spark_plan(job), [Delivery("pi-1", "a")], SECRETS
    )
    assert list(config["data"]) == ["aggregation.json"]
    document = json.loads(config["data"]["aggregation.json"])
    assert document["spark"] == {
        "master": "local[1]",
        "conf": {"spark.driver.memory": "512m"},
        "eventLog": False,
    }


def test_another_plan_has_another_config_map() -> None:
    """An operator that died between ConfigMap and pod may plan anew, and must not mix the two."""
    job = facts.job()
    plan = facts.spark_plan(job)
    larger = replace(plan, driver=replace(plan.driver, heap=1024))
    names = {
        aggregate.driver_config(job, facts.run(), each, [], SECRETS)["metadata"]["name"]
        for each in (plan, plan, larger)
    }
    assert len(names) == 2


def test_spark_keeps_away_from_the_edge_pis_unless_the_chart_says_where() -> None:
    job = facts.job()
    plan = facts.spark_plan(job)
    pod = aggregate.driver_pod(job, facts.run(), plan, "c", 60, SECRETS)["spec"]
    [term] = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchExpressions"] == [
        {"key": "role", "operator": "NotIn", "values": ["edge"]}
    ]
    chart = msgspec.structs.replace(
        SECRETS.spark,
        node_selector={"disk": "ssd"},
        affinity={"podAffinity": {}},
        priority_class_name="low",
    )
    settings = msgspec.structs.replace(SECRETS, spark=chart)
    pod = aggregate.driver_pod(job, facts.run(), plan, "c", 60, settings)["spec"]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["affinity"] == {"podAffinity": {}}
    assert pod["priorityClassName"] == "low"


def test_edge_pods_have_the_priority_that_the_chart_names() -> None:
    job, node = facts.job(), facts.node("pi-1")
    pod = facts.node_job(job, RUN, node, SECRETS)["spec"]["template"]["spec"]
    assert "priorityClassName" not in pod
    chart = msgspec.structs.replace(SECRETS.edge, priority_class_name="high")
    settings = msgspec.structs.replace(SECRETS, edge=chart)
    pod = facts.node_job(job, RUN, node, settings)["spec"]["template"]["spec"]
    assert pod["priorityClassName"] == "high"


@pytest.mark.parametrize(("one_node", "kind"), [(False, "podAntiAffinity"), (True, "podAffinity")])
def test_executors_spread_unless_their_volume_is_on_one_node(one_node: bool, kind: str) -> None:
    job = facts.job(**CLUSTER)
    plan = replace(facts.spark_plan(job), one_node=one_node)
    spec = aggregate.executor_template(job, RUN, plan, SECRETS)["spec"]
    assert kind in spec["affinity"]


def test_a_persons_aggregation_is_mounted_from_its_config_map() -> None:
    job = facts.job(
        aggregate={"application": {"configMap": {"name": "report", "key": "aggregate.py"}}}
    )
    plan = facts.spark_plan(job)
    config = aggregate.driver_config(job, facts.run(), plan, [], SECRETS)
    application = json.loads(config["data"]["aggregation.json"])["application"]
    pod = aggregate.driver_pod(job, facts.run(), plan, "c", 60, SECRETS)["spec"]
    [mount] = [
        each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "application"
    ]
    assert application["path"] == f"{mount['mountPath']}/aggregate.py"
    [volume] = [each for each in pod["volumes"] if each["name"] == "application"]
    assert volume["configMap"] == {
        "name": "report",
        "items": [{"key": "aggregate.py", "path": "aggregate.py"}],
    }


def test_columns_from_node_labels_and_coarser_windows_reach_the_aggregation() -> None:
    job = facts.job(aggregate={"window": "1d", "groupBy": ["site"], "nodeLabels": {"site": "zone"}})
    nodes = [facts.node("pi-1", labels={"zone": "north"}), facts.node("pi-2", labels={})]
    config = aggregate.driver_config(
        job, facts.run(), facts.spark_plan(job), [], SECRETS, nodes=nodes
    )
    document = json.loads(config["data"]["aggregation.json"])
    assert (document["window"], document["groupBy"]) == ("1d", ["site"])
    assert document["nodeLabels"] == {"pi-1": {"site": "north"}, "pi-2": {}}
    assert document["labelColumns"] == ["site"]


@pytest.mark.parametrize(
    ("heap", "expected"), [("512m", "1024Mi"), ("1g", "1536Mi"), ("4g", "6144Mi")]
)
def test_the_drivers_memory_is_heap_and_the_rest_of_the_process(heap: str, expected: str) -> None:
    job = facts.job(aggregate={"driver": {"memory": heap, "cores": 2}})
    plan = facts.spark_plan(job)
    pod = aggregate.driver_pod(job, facts.run(), plan, "c", 60, SECRETS)["spec"]
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "2", "memory": expected},
        "limits": {"memory": expected},
    }
    assert pod["activeDeadlineSeconds"] == 60


def test_what_is_no_failure_of_a_node() -> None:
    spec = facts.node_job(facts.job(), RUN, facts.node("pi-1"), facts.SETTINGS)["spec"]
    disruption, power_cut, lasting = spec["podFailurePolicy"]["rules"]
    assert disruption == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    assert (power_cut["action"], power_cut["onExitCodes"]["values"]) == ("Ignore", [255])
    assert (lasting["action"], lasting["onExitCodes"]["values"]) == ("FailJob", [3])
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (2, "Failed")
