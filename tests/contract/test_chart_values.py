"""Each documented value of the chart does what its comment says, and wrong ones are refused."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from edge_etl_agent import configuration as agent_configuration
from edge_etl_operator.settings import load

from tests.support import chart
from tests.support.chart_broker import BROKER, BROKER_EFFECTS, WITH_BROKER
from tests.support.chart_broker import SECRETS as BROKER_SECRETS
from tests.support.chart_extras import EXTRAS
from tests.support.chart_objects import (
    AGENT,
    CLAIM,
    CRD,
    LANDING,
    OPERATOR,
    Effect,
    Objects,
    argument,
    claim,
    container,
    default_of,
    merged,
    names,
    nested,
    objects,
    pod,
    rendered,
    setting,
    volume,
)
from tests.support.cluster import buildah, tools
from tests.support.cluster.images import Image
from tests.support.cluster.install import image_values


def render(tmp_path: Path, values: Any) -> str:
    """Render the chart with these values."""
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    return chart.render(f"--values={path}")


def refusal(tmp_path: Path, values: Any) -> str:
    """Return why helm refuses these values."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render(tmp_path, values)
    return str(caught.value.stderr)


def last_cluster_rule(rendered: Objects) -> Any:
    """Look at the last thing that the operator may do in all namespaces."""
    return rendered["ClusterRole", "pi-edge-spark:pi-edge-spark:operator"]["rules"][-1]


def _placement(component: str, deployment: tuple[str, str]) -> list[Effect]:
    toleration = [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}]
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
        }
    }
    disk = {"disk": "ssd"}
    # helm merges maps, so that a change of the limit leaves the requests as they are.
    requests = default_of(f"{component}.resources")["requests"]
    limits = {"limits": {"memory": "1Gi"}}
    return [
        Effect(
            f"{component}.resources",
            limits,
            container(deployment, "resources"),
            {"requests": requests, **limits},
        ),
        Effect(
            f"{component}.nodeSelector",
            disk,
            pod(deployment, "nodeSelector"),
            {**default_of(f"{component}.nodeSelector"), **disk},
        ),
        Effect(f"{component}.tolerations", toleration, pod(deployment, "tolerations"), toleration),
        Effect(f"{component}.affinity", affinity, pod(deployment, "affinity"), affinity),
    ]


def _images() -> list[Effect]:
    effects = []
    for name, look in (
        ("operator", container(OPERATOR, "image")),
        ("edge", container(LANDING, "image")),
        ("edge", setting("edge", "image")),
        ("spark", setting("spark", "image")),
    ):
        repository = f"localhost/pi-edge-spark/{name}"
        effects += [
            Effect(f"images.{name}.repository", "pi.local:5000/x", look, "pi.local:5000/x:dev"),
            Effect(f"images.{name}.tag", "1.2.3", look, f"{repository}:1.2.3"),
        ]
    for name, look in (
        ("operator", container(OPERATOR, "imagePullPolicy")),
        ("edge", container(LANDING, "imagePullPolicy")),
        ("edge", setting("edge", "pullPolicy")),
        ("spark", setting("spark", "pullPolicy")),
    ):
        effects.append(Effect(f"images.{name}.pullPolicy", "Always", look, "Always"))
    own = setting("edge", "transformImage")
    repository = "localhost/pi-edge-spark/edge-transform"
    return [
        *effects,
        Effect("images.edgeTransform.repository", "pi.local:5000/x", own, "pi.local:5000/x:dev"),
        Effect("images.edgeTransform.tag", "1.2.3", own, f"{repository}:1.2.3"),
    ]


def _landing_tls() -> list[Effect]:
    name = "landing.tlsSecret"
    url = "https://pi-edge-spark-landing.pi-edge-spark.svc:8080"
    mounted = {"name": "tls", "secret": {"secretName": "own", "defaultMode": 0o440}}
    folder = "/etc/edge-etl-tls"
    files = [f"--tls-certificate={folder}/tls.crt", f"--tls-key={folder}/tls.key"]
    probe = pod(LANDING, "containers", 0, "readinessProbe", "httpGet", "scheme")
    return [
        Effect(name, "own", setting("landing", "url"), url),
        Effect(name, "own", setting("landing", "caSecret"), "own"),
        Effect(name, "own", volume(LANDING, "tls"), mounted),
        Effect(name, "own", lambda rendered: container(LANDING, "args")(rendered)[-2:], files),
        Effect(name, "own", probe, "HTTPS"),
    ]


def _agent() -> list[Effect]:
    config = {"trustClock": True, "rest": {"port": 9000}}
    effects = [
        Effect("agent.config", config, _agent_config, config),
        Effect("agent.config", config, pod(AGENT, "containers", 0, "ports", 0), _port(9000, 8090)),
        Effect("agent.hostPort", 0, pod(AGENT, "containers", 0, "ports", 0), _port(8090)),
        Effect(
            "agent.tokensSecret",
            "who",
            volume(AGENT, "tokens"),
            {"name": "tokens", "secret": {"secretName": "who", "defaultMode": 0o440}},
        ),
        Effect(
            "agent.mqttSecret",
            "broker",
            volume(AGENT, "mqtt"),
            {"name": "mqtt", "secret": {"secretName": "broker", "defaultMode": 0o440}},
        ),
        Effect(
            "agent.tlsSecret",
            "own",
            volume(AGENT, "tls"),
            {"name": "tls", "secret": {"secretName": "own", "defaultMode": 0o440}},
        ),
        Effect("agent.tlsSecret", "own", _agent_rest, OWN_TLS),
        Effect(
            "agent.tlsSecret",
            "own",
            pod(AGENT, "containers", 0, "livenessProbe", "httpGet", "scheme"),
            "HTTPS",
        ),
        *_placement("agent", AGENT),
    ]
    return [replace(effect, given=WITH_AGENT) for effect in effects]


OWN_TLS = {
    "certificateFile": "/etc/edge-etl-tls/tls.crt",
    "keyFile": "/etc/edge-etl-tls/tls.key",
}


def _agent_rest(rendered: Objects) -> Any:
    return _agent_config(rendered).get("rest")


def _agent_config(rendered: Objects) -> Any:
    return json.loads(rendered["ConfigMap", "pi-edge-spark-agent"]["data"]["agent.json"])


def _port(port: int, host: int | None = None) -> Any:
    return {"name": "http", "containerPort": port, **({"hostPort": host} if host else {})}


WITH_AGENT = {"agent": {"enabled": True}}
SECRETS = [{"name": "registry"}]
SOURCES = [{"name": "air", "path": "/srv/air"}, {"name": "water", "path": "/home/pi/water"}]

EFFECTS = [
    Effect(
        "nameOverride", "etl", names, {"pi-edge-spark-etl-operator", "pi-edge-spark-etl-landing"}
    ),
    Effect("fullnameOverride", "etl", names, {"etl-operator", "etl-landing"}),
    *_images(),
    Effect("imagePullSecrets", SECRETS, pod(OPERATOR, "imagePullSecrets"), SECRETS),
    Effect("imagePullSecrets", SECRETS, pod(LANDING, "imagePullSecrets"), SECRETS),
    Effect("imagePullSecrets", SECRETS, setting("imagePullSecrets"), ["registry"]),
    Effect("sources", SOURCES, setting("sources"), {"air": "/srv/air", "water": "/home/pi/water"}),
    Effect("edge.statePath", "/srv/state", setting("statePath"), "/srv/state"),
    # Large enough that a careless template would print it as 1.00066e+09.
    Effect("edge.runAsUser", 1000660000, setting("edge", "runAsUser"), 1000660000),
    Effect("edge.runAsGroup", 1000660000, setting("edge", "runAsGroup"), 1000660000),
    Effect("edge.workSizeLimit", "500Mi", setting("edge", "workSizeLimit"), "500Mi"),
    Effect(
        "operator.namespaces",
        ["farm"],
        pod(OPERATOR, "containers", 0, "args"),
        ["--namespace=pi-edge-spark", "--namespace=farm"],
    ),
    Effect(
        "operator.clusterWide", True, pod(OPERATOR, "containers", 0, "args"), ["--all-namespaces"]
    ),
    Effect("operator.maxParallelNodes", 1_000_000, setting("maxParallelNodes"), 1_000_000),
    Effect("operator.apiRequestsPerSecond", 20, setting("apiRequestsPerSecond"), 20),
    Effect(
        "operator.countAllPods",
        True,
        last_cluster_rule,
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ),
    *_placement("operator", OPERATOR),
    Effect(
        "spark.nodeSelector", {"disk": "ssd"}, setting("spark", "nodeSelector"), {"disk": "ssd"}
    ),
    Effect(
        "spark.tolerations",
        [{"key": "only", "operator": "Exists"}],
        setting("spark", "tolerations"),
        [{"key": "only", "operator": "Exists"}],
    ),
    Effect(
        "spark.affinity", {"nodeAffinity": {}}, setting("spark", "affinity"), {"nodeAffinity": {}}
    ),
    Effect("spark.priorityClassName", "low", setting("spark", "priorityClassName"), "low"),
    Effect("landing.enabled", False, names, {"pi-edge-spark-operator"}),
    Effect("landing.enabled", False, setting("landing"), None),
    Effect(
        "landing.storage.existingClaim",
        "mine",
        lambda rendered: pod(LANDING, "volumes", 0, "persistentVolumeClaim", "claimName")(rendered),
        "mine",
    ),
    Effect("landing.storage.existingClaim", "mine", setting("landing", "claim"), "mine"),
    Effect("landing.storage.existingClaim", "mine", lambda rendered: CLAIM in rendered, False),
    Effect("landing.storage.size", "1Ti", claim("spec", "resources", "requests", "storage"), "1Ti"),
    Effect("landing.storage.storageClassName", "nfs", claim("spec", "storageClassName"), "nfs"),
    Effect(
        "landing.storage.accessMode",
        "ReadWriteMany",
        claim("spec", "accessModes"),
        ["ReadWriteMany"],
    ),
    Effect("landing.storage.keep", False, claim("metadata", "annotations"), None),
    Effect(
        "landing.port",
        9090,
        setting("landing", "url"),
        "http://pi-edge-spark-landing.pi-edge-spark.svc:9090",
    ),
    Effect(
        "landing.port",
        9090,
        lambda rendered: rendered["Service", "pi-edge-spark-landing"]["spec"]["ports"][0]["port"],
        9090,
    ),
    Effect(
        "landing.port",
        9090,
        container(LANDING, "ports"),
        [{"name": "http", "containerPort": 9090}, {"name": "reports", "containerPort": 9091}],
    ),
    Effect("landing.port", 9090, argument("--reports-port"), "9091"),
    Effect("landing.port", 9090, argument("--port"), "9090"),
    Effect("landing.maxFileBytes", 5_000_000_000, argument("--max-file-bytes"), "5000000000"),
    Effect("landing.maxUploads", 4, argument("--max-uploads"), "4"),
    Effect("landing.reserveBytes", 1_000_000_000, argument("--reserve-bytes"), "1000000000"),
    *_landing_tls(),
    *_placement("landing", LANDING),
    Effect("agent.enabled", True, lambda rendered: AGENT in rendered, True),
    *_agent(),
    *(replace(effect, given=WITH_BROKER) for effect in _placement("broker", BROKER)),
    *BROKER_EFFECTS,
    Effect("crd.enabled", False, lambda rendered: CRD in rendered, False),
    Effect("crd.keep", False, lambda rendered: rendered[CRD]["metadata"].get("annotations"), None),
]


@pytest.fixture(scope="module")
def default() -> Objects:
    return rendered()


@pytest.fixture(scope="module")
def with_agent() -> Objects:
    return rendered(**WITH_AGENT)


@pytest.mark.parametrize("effect", [*EFFECTS, *EXTRAS], ids=lambda effect: effect.value)
def test_a_documented_value_has_its_effect(effect: Effect) -> None:
    changed = rendered(**merged(effect.given, nested(effect.value, effect.change)))
    assert effect.look(rendered(**effect.given)) != effect.expected
    seen = effect.look(changed)
    assert (type(seen), seen) == (type(effect.expected), effect.expected)


def test_every_value_is_documented_and_its_effect_tested() -> None:
    documented = {value.name for value in chart.documented_values()}
    # The source that the agent writes to has a test of its own: it needs a second source.
    assert documented == {effect.value for effect in (*EFFECTS, *EXTRAS)} | {"agent.source"}
    leaves: set[str] = set()

    def collect(values: dict[str, Any], prefix: str) -> None:
        for key, value in values.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict) and name not in documented:
                collect(value, f"{name}.")
            else:
                leaves.add(name)

    collect(yaml.safe_load((chart.CHART / "values.yaml").read_text()), "")
    assert leaves == documented


def test_helm_lint_finds_nothing() -> None:
    done = subprocess.run(
        [tools.helm(), "lint", "--strict", chart.CHART], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_output_is_the_same_each_time() -> None:
    assert chart.render() == chart.render()


def test_a_change_of_the_settings_replaces_the_operators_pod(tmp_path: Path) -> None:
    def annotations(text: str) -> Any:
        return objects(text)[OPERATOR]["spec"]["template"]["metadata"]["annotations"]

    before = annotations(chart.render())
    assert annotations(render(tmp_path, {"sources": SOURCES})) != before
    assert annotations(render(tmp_path, {"landing": {"storage": {"size": "1Ti"}}})) == before


def test_the_definition_is_the_operators_own(default: Objects) -> None:
    written = yaml.safe_load(chart.crd())
    assert default[CRD]["spec"] == written["spec"]


def test_the_agent_writes_into_the_source_that_is_named(tmp_path: Path) -> None:
    values = {"sources": SOURCES, "agent": {"enabled": True, "source": "water"}}
    segments = volume(AGENT, "segments")(objects(render(tmp_path, values)))
    assert segments["hostPath"] == {"path": "/home/pi/water/agent", "type": "DirectoryOrCreate"}
    values = {"agent": {"enabled": True, "source": "fire"}}
    assert "there is no source named fire" in refusal(tmp_path, values)


def test_the_agent_reads_its_configuration(with_agent: Objects, tmp_path: Path) -> None:
    path = tmp_path / "agent.json"
    path.write_text(with_agent["ConfigMap", "pi-edge-spark-agent"]["data"]["agent.json"])
    assert agent_configuration.load(path) == agent_configuration.Configuration()


def test_every_account_exists_and_mounts_no_token_by_itself(default: Objects) -> None:
    used = {
        setting("edge", "serviceAccount")(default),
        setting("spark", "serviceAccount")(default),
        pod(OPERATOR, "serviceAccountName")(default),
        pod(LANDING, "serviceAccountName")(default),
    }
    accounts = {name: one for (kind, name), one in default.items() if kind == "ServiceAccount"}
    assert accounts.keys() == used
    assert all(one["automountServiceAccountToken"] is False for one in accounts.values())


@pytest.mark.parametrize("values", [{}, {"landing": {"enabled": False}, "sources": []}])
def test_the_operator_can_read_its_settings(values: Any, tmp_path: Path) -> None:
    config = objects(render(tmp_path, values))["ConfigMap", "pi-edge-spark-operator"]
    path = tmp_path / "settings.yaml"
    path.write_text(config["data"]["settings.yaml"])
    settings = load(str(path))
    assert settings.state_path == "/var/lib/pi-edge-spark/state"
    assert (settings.landing is None) == bool(values)


def test_the_landing_service_knows_the_account_of_edge_pods(default: Objects) -> None:
    account = setting("edge", "serviceAccount")(default)
    assert argument("--edge-service-account")(default) == account


def test_without_a_source_the_chart_still_installs(tmp_path: Path) -> None:
    assert setting("sources")(objects(render(tmp_path, {"sources": []}))) == {}


WRONG_VALUES = [
    ({"source": []}, "additional properties 'source' not allowed"),
    ({"operator": {"replicas": 2}}, "additional properties 'replicas' not allowed"),
    ({"landing": {"storage": {"class": "x"}}}, "additional properties 'class' not allowed"),
    ({"operator": {"resources": {"request": {}}}}, "additional properties 'request' not allowed"),
    ({"images": {"edge": {"pullPolicy": "Sometimes"}}}, "pullPolicy"),
    ({"images": {"edge": {"tag": ""}}}, "/images/edge/tag"),
    ({"images": {"edge": {"digest": "sha256:12"}}}, "/images/edge/digest"),
    ({"prePull": {"images": ["debian"]}}, "/prePull/images/0"),
    ({"networkPolicies": {"egress": [{"from": []}]}}, "'from' not allowed"),
    ({"networkPolicies": {"scrapers": [{"pods": {}}]}}, "'pods' not allowed"),
    ({"monitoring": {"alerts": {"silentRuns": 11}}}, "/monitoring/alerts/silentRuns"),
    ({"monitoring": {"alert": {}}}, "additional properties 'alert' not allowed"),
    ({"sources": [{"name": "a", "path": "/srv/a", "namespaces": []}]}, "/sources/0/namespaces"),
    ({"edge": {"runAsUser": 0}}, "/edge/runAsUser"),
    ({"edge": {"runAsUser": "pi"}}, "/edge/runAsUser"),
    ({"landing": {"port": 80}}, "/landing/port"),
    ({"landing": {"port": 65535}}, "/landing/port"),
    ({"landing": {"storage": {"size": "ten"}}}, "/landing/storage/size"),
    ({"landing": {"storage": {"accessMode": "ReadOnlyMany"}}}, "/landing/storage/accessMode"),
    ({"fullnameOverride": "x" * 51}, "/fullnameOverride"),
    ({"broker": {"enabled": True}}, "broker.tlsSecret: name a Secret"),
    ({"broker": {**BROKER_SECRETS, "usersSecret": ""}}, "broker.usersSecret: name a Secret"),
    (
        {"broker": {"access": [{"user": "a\nuser b", "topics": ["read x"]}]}},
        "/broker/access/0/user",
    ),
    ({"broker": {"access": [{"user": "a", "topics": ["x"]}]}}, "/broker/access/0/topics/0"),
    ({"broker": {"patterns": ["write a\ntopic write #"]}}, "/broker/patterns/0"),
    ({"sources": [{"name": "a"}]}, "missing property 'path'"),
    ({"sources": [{"name": "a", "path": "/srv/a", "mode": "rw"}]}, "'mode' not allowed"),
    ({"sources": [{"name": "Sensors", "path": "/srv/a"}]}, "/sources/0/name"),
    (
        {"sources": [{"name": "a", "path": "/srv/a"}, {"name": "a", "path": "/srv/b"}]},
        "sources: a: there are two sources of this name",
    ),
]


@pytest.mark.parametrize(("values", "message"), WRONG_VALUES, ids=lambda part: str(part)[:60])
def test_a_wrong_value_is_refused_by_name(values: Any, message: str, tmp_path: Path) -> None:
    assert message in refusal(tmp_path, values)


# Neither a job's source nor the ledger's directory may be one of these.
BY_SCHEMA = (
    "", "/", "sensors", "./sensors", "/srv/", "//srv", "/srv//a", "/srv/./a", "/srv/../etc",
    "/srv/a/..", "/home/pi/.ssh", "/srv/a\n", "/" + "x" * 512, "~/sensors", "C:\\sensors",
)  # fmt: skip
BY_NAME = (
    "/bin", "/boot", "/boot/firmware", "/dev", "/dev/shm", "/etc", "/etc/rancher/k3s", "/home",
    "/home/pi", "/lib", "/lib64", "/opt", "/opt/local-path-provisioner", "/proc", "/proc/1/root",
    "/root", "/root/sensors", "/run", "/run/k3s/containerd", "/sbin", "/sys", "/sys/fs/cgroup",
    "/usr", "/usr/local/share", "/var", "/var/lib", "/var/lib/containerd", "/var/lib/docker",
    "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/kubelet/pods", "/var/lib/rancher",
    "/var/lib/rancher/k3s/storage", "/var/log", "/var/log/pods", "/var/run", "/var/run/secrets",
)  # fmt: skip
OVERLAPS = (
    "/var/lib/pi-edge-spark",
    "/var/lib/pi-edge-spark/state",
    "/var/lib/pi-edge-spark/state/a",
)
ALLOWED = (
    "/srv/sensors", "/mnt/usb disk/sensors", "/home/pi/sensors", "/data", "/var/lib/sensors",
    "/var/log/sensors", "/opt/airrohr", "/etcetera", "/usrdata/x", "/srv/Größe..1",
    "/var/lib/pi-edge-spark/states",
)  # fmt: skip


def _source(path: str) -> Any:
    return {"sources": [{"name": "a", "path": path}]}


@pytest.mark.parametrize("path", BY_SCHEMA)
def test_a_path_that_is_not_absolute_and_normalised_is_refused(path: str, tmp_path: Path) -> None:
    assert "/sources/0/path" in refusal(tmp_path, _source(path))
    assert "/edge/statePath" in refusal(tmp_path, {"edge": {"statePath": path}})


@pytest.mark.parametrize("path", BY_NAME)
def test_a_directory_of_the_system_is_refused(path: str, tmp_path: Path) -> None:
    assert f"sources: a: {path}" in refusal(tmp_path, _source(path))
    assert f"edge.statePath: {path}" in refusal(tmp_path, {"edge": {"statePath": path}})


@pytest.mark.parametrize("path", OVERLAPS)
def test_a_source_that_overlaps_the_ledgers_is_refused(path: str, tmp_path: Path) -> None:
    assert "must not lie in one another" in refusal(tmp_path, _source(path))


@pytest.mark.parametrize("path", ALLOWED)
def test_a_directory_of_sensor_data_is_allowed(path: str, tmp_path: Path) -> None:
    assert setting("sources")(objects(render(tmp_path, _source(path)))) == {"a": path}


def test_the_longest_names_fit(tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"nameOverride": "n" * 40}))
    command = [str(tools.helm()), "template", "r" * 53, str(chart.CHART), f"--values={values}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for kind, name in objects(text):
        assert len(name) <= 63 or kind.startswith("ClusterRole"), name


def test_every_image_that_is_built_can_be_named(tmp_path: Path) -> None:
    built = [Image(recipe.reference, "key") for recipe in buildah.RECIPES.values()]
    rendered = render(tmp_path, image_values(built))
    assert [image.reference for image in built if image.reference not in rendered] == []


def test_k3s_installs_the_chart_as_it_is(tmp_path: Path) -> None:
    manifest = yaml.safe_load((chart.ROOT / "manifests/k3s-helmchart.yaml").read_text())
    about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    package = f"{about['name']}-{about['version']}.tgz"
    assert manifest["spec"]["chart"].endswith(f"/static/charts/{package}")
    assert package in (chart.ROOT / "docs/images.md").read_text()
    values = yaml.safe_load(manifest["spec"]["valuesContent"])
    assert setting("sources")(objects(render(tmp_path, values))) == {
        "sensors": "/var/lib/pi-edge-spark/sensors"
    }
