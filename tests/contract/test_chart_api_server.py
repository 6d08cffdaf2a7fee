"""A real API server takes what the chart renders, and gives its accounts only what they need."""

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from edge_etl_operator.builders import aggregate

from tests.support import chart, kube_schemas
from tests.support import operator_facts as facts
from tests.support.cluster import ApiServer, CommandError, modules, tools
from tests.support.cluster.api_server import QUIET_CONTROLLERS
from tests.support.cluster.kube import until

NAMESPACE, OTHER, RELEASE = "field", "office", "etl"
FULLNAME = "etl-pi-edge-spark"
CRD = "edgeetljobs.pi-edge-spark.io"
SAMPLES = sorted((chart.ROOT / "manifests" / "samples").glob("*.yaml"))
# `kubectl apply` keeps a copy of the object in an annotation: 256 KiB is the end.
CRD_LIMIT = 64 * 1024
APIS = (
    "api/v1",
    "apis/apps/v1",
    "apis/apiextensions.k8s.io/v1",
    "apis/rbac.authorization.k8s.io/v1",
    "apis/networking.k8s.io/v1",
    "apis/policy/v1",
    "apis/admissionregistration.k8s.io/v1",
    "apis/monitoring.coreos.com/v1",
    "apis/helm.cattle.io/v1",
    "apis/pi-edge-spark.io/v1alpha1",
)

# Together they render every branch of every template.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "all": {
        "imagePullSecrets": [{"name": "registry"}],
        "operator": {
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
                        ]
                    }
                }
            },
        },
        "landing": {"storage": {"storageClassName": "nfs", "accessMode": "ReadWriteMany"}},
    },
    "surroundings": {
        "sources": [{"name": "air", "path": "/srv/air", "namespaces": [OTHER]}],
        "agent": {
            "enabled": True,
            "source": "air",
            "config": {"mqtt": {"host": "broker", "topics": [{"pattern": "{sensor_id}"}]}},
        },
        "landing": {"tlsSecret": "landing-tls"},
        "broker": {
            "enabled": True,
            "tlsSecret": "tls",
            "usersSecret": "users",
            "access": [{"user": "zigbee", "topics": ["readwrite zigbee2mqtt/#"]}],
        },
        "policy": {"ownCode": False},
        "spark": {"protectFromDrain": True},
        "operator": {"namespaces": [OTHER]},
        "networkPolicies": {
            "enabled": True,
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 9000}]}],
        },
        "prePull": {"enabled": True, "images": ["edge", "edgeTransform", "spark"]},
        "monitoring": {
            "monitors": {"enabled": True, "labels": {"release": "prometheus"}},
            "alerts": {"enabled": True, "labels": {"release": "prometheus"}},
            "dashboard": {"enabled": True},
        },
    },
    "existing claim": {"landing": {"storage": {"existingClaim": "mine"}}, "crd": {"keep": False}},
    "no landing": {"landing": {"enabled": False}, "crd": {"enabled": False}, "sources": []},
}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """Give an API server of this module: releases own cluster-wide objects."""
    with ApiServer(controllers=(*QUIET_CONTROLLERS, "disruption-controller")) as started:
        for definition in (*modules.monitoring_definitions(), modules.helm_chart_definition()):
            started.kubectl("apply", "--server-side", "-f", definition)
        yield started


@pytest.fixture(scope="module")
def notes(server: ApiServer) -> str:
    """Install the release, upgrade it without a change, and return its notes."""
    server.kubectl("create", "namespace", OTHER)
    place = ("--namespace", NAMESPACE)
    server.helm("install", RELEASE, chart.CHART, *place, "--create-namespace")
    before = server.helm("get", "manifest", RELEASE, *place)
    for _ in range(2):
        server.helm("upgrade", RELEASE, chart.CHART, *place)
    assert server.helm("get", "manifest", RELEASE, *place) == before
    server.wait("crd", CRD, condition="Established", timeout=30)
    return server.helm("get", "notes", RELEASE, *place)


@pytest.fixture(scope="module")
def schemas(server: ApiServer, notes: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the server's own schemas for kubeconform; return where they are."""
    folder = tmp_path_factory.mktemp("schemas")
    kube_schemas.write(server, folder, APIS)
    return f"{folder}/{kube_schemas.LOCATION}"


def kubeconform(schemas: str, *files: Path) -> Any:
    """Return kubeconform's summary; fail with what it found."""
    command = [tools.kubeconform(), "-strict", "-summary", "-output=json"]
    command += ["-schema-location", schemas, *files]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["summary"]


def rendered(tmp_path: Path, values: dict[str, Any], *arguments: str) -> Path:
    """Render the chart to a file."""
    given, output = tmp_path / "values.json", tmp_path / "rendered.yaml"
    given.write_text(json.dumps(values))
    output.write_text(chart.render(f"--values={given}", *arguments))
    return output


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_kubeconform_knows_every_field(
    values: dict[str, Any], schemas: str, tmp_path: Path
) -> None:
    summary = kubeconform(schemas, rendered(tmp_path, values))
    assert summary["valid"] > 10
    assert summary["invalid"] == summary["errors"] == summary["skipped"] == 0


def test_kubeconform_knows_the_plain_manifests(schemas: str) -> None:
    summary = kubeconform(schemas, *sorted((chart.ROOT / "manifests").glob("*.yaml")), *SAMPLES)
    assert summary["invalid"] == summary["errors"] == summary["skipped"] == 0


def test_kubeconform_would_see_an_unknown_field(schemas: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    text = (chart.ROOT / "manifests" / "install.yaml").read_text()
    wrong.write_text(text.replace("enableServiceLinks", "enableServiceLink"))
    with pytest.raises(AssertionError, match="enableServiceLink"):
        kubeconform(schemas, wrong)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_api_server_takes_everything(
    values: dict[str, Any], server: ApiServer, notes: str, tmp_path: Path
) -> None:
    # The pods of `helm test` need accounts that a dry run has not made.
    output = rendered(tmp_path, values, f"--namespace={NAMESPACE}", "--skip-tests")
    strict = ("--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts")
    answer = server.kubectl("apply", *strict, "-f", output)
    assert "(server dry run)" in answer
    assert "Warning" not in answer


def test_plain_manifests_apply_without_helm(server: ApiServer, notes: str) -> None:
    for _ in range(2):
        server.kubectl("apply", "-f", chart.ROOT / "manifests" / "install.yaml")
    labels = server.get("namespace", chart.RELEASE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    for sample in SAMPLES:
        server.kubectl("apply", "--dry-run=server", "-n", chart.RELEASE, "-f", sample)


def test_the_definition_applies_client_side(server: ApiServer, notes: str) -> None:
    """Peers: a CRD too large for `kubectl apply` (KF#2151, #2386)."""
    definition = chart.CHART / "files" / "edgeetljob.crd.yaml"
    assert len(json.dumps(yaml.safe_load(definition.read_text()))) < CRD_LIMIT
    server.kubectl("apply", "--dry-run=client", "-f", definition)
    server.kubectl("apply", "-f", definition)


def test_notes_name_the_next_commands(notes: str) -> None:
    assert f"--namespace {NAMESPACE} rollout status deployment/{FULLNAME}-operator" in notes
    assert f"--namespace {NAMESPACE} rollout status deployment/{FULLNAME}-landing" in notes
    assert "kubectl label node NAME pi-edge-spark.io/role=edge" in notes
    assert "sensors: /var/lib/pi-edge-spark/sensors" in notes
    assert f"kubectl edgeetl doctor --namespace {NAMESPACE} -f manifests/samples/" in notes
    assert f"kubectl edgeetl status air-quality --namespace {NAMESPACE} --watch" in notes
    assert "results.volumeClaim" not in notes


def test_pods_have_the_restricted_shape(server: ApiServer, notes: str) -> None:
    restricted = "guarded"
    server.kubectl("create", "namespace", restricted)
    server.kubectl(
        "label", "namespace", restricted, "pod-security.kubernetes.io/enforce=restricted"
    )
    values = "crd.enabled=false,broker.enabled=true,broker.tlsSecret=a,broker.usersSecret=b"
    server.helm("install", RELEASE, chart.CHART, "--namespace", restricted, "--set", values)
    for component in ("operator", "landing", "broker"):
        deployment = server.get("deployment", "-n", restricted, f"{FULLNAME}-{component}")
        pod = {"apiVersion": "v1", "kind": "Pod", **deployment["spec"]["template"]}
        pod["metadata"]["name"] = component
        text = json.dumps(pod)
        dry_run = ("apply", "--dry-run=server", "-n", restricted, "-f", "-")
        assert "created" in server.kubectl(*dry_run, stdin=text)
        loose = text.replace('"runAsNonRoot": true', '"runAsNonRoot": false')
        with pytest.raises(CommandError, match="violates PodSecurity"):
            server.kubectl(*dry_run, stdin=loose)


# What an account needs: verbs and a resource, in its own namespace unless said otherwise.
ALLOWED = [
    ("operator", "get list watch", "edgeetljobs.pi-edge-spark.io", NAMESPACE),
    ("operator", "update", "edgeetljobs.pi-edge-spark.io/status", NAMESPACE),
    ("operator", "get list watch create delete", "jobs.batch", NAMESPACE),
    ("operator", "get list watch create delete", "pods", NAMESPACE),
    ("operator", "get create delete", "configmaps", NAMESPACE),
    ("operator", "get", "persistentvolumeclaims", NAMESPACE),
    ("operator", "get", "persistentvolumes", ""),
    ("operator", "list", "events", NAMESPACE),
    ("operator", "create", "events.events.k8s.io", NAMESPACE),
    ("operator", "list watch", "nodes", ""),
    ("operator", "create", "leases.coordination.k8s.io", NAMESPACE),
    ("landing", "create", "tokenreviews.authentication.k8s.io", ""),
    ("spark", "get list watch create delete deletecollection", "pods", NAMESPACE),
    ("spark", "create deletecollection", "configmaps", NAMESPACE),
]
# What nobody needs, and what would let an account take what belongs to another.
EVERYONE = ("operator", "landing", "spark", "edge")
REFUSED = [
    *[(account, "get list create", "secrets", NAMESPACE) for account in EVERYONE],
    *[(account, "get list create", "pods", OTHER) for account in EVERYONE],
    *[(account, "create", "pods/exec", NAMESPACE) for account in EVERYONE],
    *[(account, "create", "serviceaccounts/token", NAMESPACE) for account in EVERYONE],
    *[(account, "create update", "rolebindings.rbac.authorization.k8s.io", NAMESPACE)
      for account in EVERYONE],
    *[(account, "update patch delete", "nodes", "") for account in EVERYONE],
    ("operator", "create update delete", "edgeetljobs.pi-edge-spark.io", NAMESPACE),
    ("operator", "list", "edgeetljobs.pi-edge-spark.io", OTHER),
    ("operator", "list", "configmaps", OTHER),
    ("operator", "create", "tokenreviews.authentication.k8s.io", ""),
    ("operator", "update", "deployments.apps", NAMESPACE),
    ("landing", "get list create", "pods", NAMESPACE),
    ("landing", "get list", "configmaps", NAMESPACE),
    ("landing", "list", "nodes", ""),
    ("landing", "create", "subjectaccessreviews.authorization.k8s.io", ""),
    ("spark", "get list create update delete", "edgeetljobs.pi-edge-spark.io", NAMESPACE),
    ("spark", "update", "edgeetljobs.pi-edge-spark.io/status", NAMESPACE),
    ("spark", "get list create delete", "jobs.batch", NAMESPACE),
    ("spark", "list", "nodes", ""),
    ("spark", "get list update", "configmaps", NAMESPACE),
    ("spark", "get list create delete deletecollection", "persistentvolumeclaims", NAMESPACE),
    ("spark", "create delete deletecollection", "services", NAMESPACE),
    ("edge", "get list create delete", "pods", NAMESPACE),
    ("edge", "get list create", "configmaps", NAMESPACE),
    ("edge", "get list", "edgeetljobs.pi-edge-spark.io", NAMESPACE),
    ("edge", "list", "nodes", ""),
    ("edge", "create", "tokenreviews.authentication.k8s.io", ""),
]  # fmt: skip


@pytest.mark.parametrize(("account", "verbs", "resource", "namespace"), ALLOWED)
def test_an_account_may_do_what_it_needs(
    account: str, verbs: str, resource: str, namespace: str, server: ApiServer, notes: str
) -> None:
    """Peers: a chart that lacks rights which the shipped versions need."""
    answers = may(server, account, verbs, resource, namespace)
    assert answers == dict.fromkeys(verbs.split(), True)


@pytest.mark.parametrize(("account", "verbs", "resource", "namespace"), REFUSED)
def test_an_account_may_do_no_more(
    account: str, verbs: str, resource: str, namespace: str, server: ApiServer, notes: str
) -> None:
    answers = may(server, account, verbs, resource, namespace)
    assert answers == dict.fromkeys(verbs.split(), False)


def test_edge_pods_may_do_what_any_stranger_may(server: ApiServer, notes: str) -> None:
    def rules(account: str) -> str:
        user = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
        return server.kubectl("auth", "can-i", "--list", "-n", NAMESPACE, user)

    assert rules(f"{FULLNAME}-edge") == rules("default")
    assert rules(f"{FULLNAME}-spark") != rules("default")


def test_uninstalling_keeps_what_holds_data(server: ApiServer, notes: str) -> None:
    place = ("--namespace", "leaving")
    arguments = ("--create-namespace", "--set", "crd.enabled=false")
    server.helm("install", RELEASE, chart.CHART, *place, *arguments)
    said = server.helm("uninstall", RELEASE, *place)
    assert f"[PersistentVolumeClaim] {FULLNAME}-results" in said
    assert server.get("pvc", *place, f"{FULLNAME}-results")
    assert (
        server.get("deployment,role,configmap", *place, f"-lapp.kubernetes.io/instance={RELEASE}")[
            "items"
        ]
        == []
    )


def test_a_namespace_may_read_only_the_sources_that_it_is_allowed(
    server: ApiServer, notes: str, tmp_path: Path
) -> None:
    place = ("--namespace", "strict")
    values = tmp_path / "values.json"
    sources = [
        {"name": "sensors", "path": "/srv/air", "namespaces": ["strict"]},
        {"name": "water", "path": "/srv/water", "namespaces": ["lab", "harbour"]},
        {"name": "common", "path": "/srv/common"},
    ]
    crd = {"enabled": False}
    values.write_text(json.dumps({"sources": sources, "policy": {"ownCode": False}, "crd": crd}))
    server.helm(
        "install", RELEASE, chart.CHART, *place, "--create-namespace", "--values", str(values)
    )

    def applied(namespace: str = "strict", **spec: Any) -> str:
        (document,) = (yaml.safe_load(sample.read_text()) for sample in SAMPLES[:1])
        document["spec"] |= spec
        text = json.dumps(document)
        return server.kubectl("create", "--dry-run=server", "-n", namespace, "-f", "-", stdin=text)

    code = {"configMap": {"name": "rules", "key": "clean.py"}}
    refused: list[tuple[dict[str, Any], str]] = [
        (
            {"source": {"name": "water"}},
            "spec.source.name: jobs of the namespace strict may not read the source water; "
            "those of lab, harbour may",
        ),
        ({"edge": {"transform": code}}, "spec.edge.transform: jobs may bring no code of their own"),
        (
            {"aggregate": {"application": code}},
            "spec.aggregate.application: jobs may bring no code of their own",
        ),
    ]

    def refusal(spec: dict[str, Any]) -> str:
        try:
            return applied(**spec)
        except CommandError as error:
            return error.errors

    for spec, message in refused:
        # The API server learns of a policy a moment after it has taken it.
        until(partial(_within, message, partial(refusal, spec)), message, 20)
    assert "created" in applied()
    assert "created" in applied(source={"name": "common"})
    # Namespaces that this release does not serve are no business of its.
    assert "created" in applied(OTHER, source={"name": "water"}, edge={"transform": code})
    server.helm("uninstall", RELEASE, *place)


# Where the jobs are served, and where not: (values, served namespaces, others).
SERVED = [
    ("operator.namespaces={more}", ("served", "more"), ("default",)),
    ("operator.clusterWide=true", ("served", "more", "default"), ()),
]


@pytest.mark.parametrize(("values", "served", "others"), SERVED)
def test_the_operator_may_act_where_it_serves_and_nowhere_else(
    values: str, served: tuple[str, ...], others: tuple[str, ...], server: ApiServer, notes: str
) -> None:
    server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "more"}})
    place = ("--namespace", "served")
    given = ("--create-namespace", "--set", f"crd.enabled=false,{values}")
    server.helm("upgrade", "--install", RELEASE, chart.CHART, *place, *given)
    wanted = {
        "list watch": "edgeetljobs.pi-edge-spark.io",
        "list watch create delete": "jobs.batch",
        "get create delete": "configmaps",
        "create": "events.events.k8s.io",
    }
    for verbs, resource in wanted.items():
        for namespace in (*served, *others):
            answers = may(server, "operator", verbs, resource, namespace, home="served")
            assert answers == dict.fromkeys(verbs.split(), namespace in served), namespace
    assert not may(server, "operator", "get", "secrets", "served", home="served")["get"]
    server.helm("uninstall", RELEASE, *place)


def test_a_drain_waits_for_a_driver_and_not_for_executors(
    server: ApiServer, notes: str, tmp_path: Path
) -> None:
    values = {"spark": {"protectFromDrain": True}}
    output = rendered(tmp_path, values, f"--namespace={NAMESPACE}")
    (budget,) = (
        each
        for each in yaml.safe_load_all(output.read_text())
        if each and each["kind"] == "PodDisruptionBudget"
    )
    server.apply(budget, NAMESPACE)
    job = facts.job()
    driver = aggregate.driver_pod(job, facts.run(), facts.spark_plan(job), "c", 60, facts.SETTINGS)[
        "metadata"
    ]["labels"]
    # Spark gives executors this label; they have the driver's own from their template.
    for name, labels in (("driver", driver), ("exec", {**driver, "spark-role": "executor"})):
        spec = {"containers": [{"name": "spark", "image": "spark:dev"}]}
        metadata = {"name": name, "labels": labels}
        server.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, NAMESPACE
        )
        ready = {"type": "Ready", "status": "True"}
        patch = json.dumps({"status": {"phase": "Running", "conditions": [ready]}})
        server.kubectl("patch", "pod", name, "-n", NAMESPACE, "--subresource=status", "-p", patch)

    def seen() -> bool:
        found = server.get("pdb", "-n", NAMESPACE, budget["metadata"]["name"]).get("status", {})
        return bool(found.get("expectedPods") == 1 and found.get("currentHealthy") == 1)

    until(seen, "the budget counts the driver")

    def evict(name: str) -> str:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        place = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        return server.kubectl("create", "--raw", place, "-f", "-", stdin=json.dumps(eviction))

    evict("exec")
    with pytest.raises(CommandError, match="disruption budget"):
        evict("driver")
    server.kubectl("delete", "pod", "driver", "-n", NAMESPACE, "--grace-period=0", "--force")
    server.kubectl("delete", "pdb", "-n", NAMESPACE, budget["metadata"]["name"])


def _within(part: str, text: Callable[[], str]) -> bool:
    return part in text()


def may(
    server: ApiServer,
    account: str,
    verbs: str,
    resource: str,
    namespace: str,
    home: str = NAMESPACE,
) -> dict[str, bool]:
    """Ask the API server, verb by verb, what a service account of the release may do."""
    name, _, subresource = resource.partition("/")
    name, _, group = name.partition(".")
    groups = ["authenticated", "serviceaccounts", f"serviceaccounts:{home}"]
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{home}:{FULLNAME}-{account}",
                "groups": [f"system:{one}" for one in groups],
                "resourceAttributes": {
                    "namespace": namespace,
                    "verb": verb,
                    "group": group,
                    "resource": name,
                    "subresource": subresource,
                },
            },
        }
        for verb in verbs.split()
    ]
    text = "\n---\n".join(json.dumps(review) for review in reviews)
    answer = server.kubectl("create", "-f", "-", "-o", "yaml", stdin=text)
    found = [
        one for document in yaml.safe_load_all(answer) for one in document.get("items", [document])
    ]
    assert len(found) == len(reviews)
    return {one["spec"]["resourceAttributes"]["verb"]: one["status"]["allowed"] for one in found}
