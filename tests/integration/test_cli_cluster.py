"""`kubectl edgeetl` against a real API server and the real operator; tests play the kubelet."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from edge_etl_job.job import load_job
from edge_etl_job.probe import encoded, probe

from tests.support import chart
from tests.support import operator_process as play
from tests.support.cluster import tools
from tests.support.edge import Pi, csv, reading
from tests.support.operator_site import Site
from tests.support.s3_server import REGION, S3Server


def plugin(site: Site, *words: str, kubeconfig: Path | None = None, code: int = 0) -> str:
    """Run a command as kubectl does, and return what it prints."""
    done = kubectl(site, "edgeetl", *words, kubeconfig=kubeconfig)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout or done.stderr


def kubectl(
    site: Site, *words: str, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run kubectl where it finds the plugin."""
    return subprocess.run(
        [tools.kubectl(), *words],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(kubeconfig or site.server.kubeconfig),
            "COLUMNS": "160",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def config(site: Site) -> str:
    return site.server.kubeconfig.read_text()


def document(site: Site, *words: str, code: int = 0) -> Any:
    return json.loads(plugin(site, *words, "-n", site.namespace, "-o", "json", code=code))


def test_a_run_that_one_node_failed(site: Site) -> None:
    good, bad = site.add_nodes(2)
    site.apply(nodes={"selector": {"matchLabels": {"site": site.namespace}}, "minSuccess": 1})

    def behave(pod: dict[str, Any]) -> play.Outcome:
        if play.node(pod) == bad:
            return play.fail(pod, "", reason="OOMKilled")
        return play.succeed(pod)

    with site.operator():
        site.kubelet(behave).run_until(lambda: site.phase("PartiallySucceeded"), "the run ends")
    _status_tells_it(site, good, bad)
    _nodes_say_what_came_from_them(site, good, bad)
    _logs_of_pods_that_are_gone_are_what_the_status_keeps(site, good, bad)


def _status_tells_it(site: Site, good: str, bad: str) -> None:
    told = document(site, "status", "air")
    assert (told["kind"], told["phase"], told["nodesSummary"]) == (
        "RunStatus",
        "PartiallySucceeded",
        "1/2",
    )
    assert [stage["state"] for stage in told["stages"]] == ["Done"] * 3
    failed, delivered = told["nodes"]
    assert (failed["name"], failed["reason"]) == (bad, "OutOfMemory")
    assert (delivered["name"], delivered["rowsRead"], delivered["rejectedRatio"]) == (
        good,
        100,
        0.02,
    )
    assert delivered["rowsPerSecond"] > 0
    assert yaml.safe_load(plugin(site, "status", "air", "-n", site.namespace, "-o", "yaml")) == told
    text = plugin(site, "status", "air", "-n", site.namespace)
    for said in ("✔ Aggregating", f"{bad} failed: OutOfMemory", "spec.edge.resources.limits"):
        assert said in text
    everywhere = json.loads(plugin(site, "status", "-A", "-o", "json"))
    assert site.namespace in {each["namespace"] for each in everywhere["items"]}


def _nodes_say_what_came_from_them(site: Site, good: str, bad: str) -> None:
    nodes = {each["name"]: each for each in document(site, "nodes")["items"]}
    assert nodes.keys() == {good, bad}
    assert nodes[good]["state"] == "Ready"
    (part,) = nodes[good]["jobs"]
    assert (part["job"], part["phase"], part["rowsRead"]) == ("air", "Succeeded", 100)


def _logs_of_pods_that_are_gone_are_what_the_status_keeps(site: Site, good: str, bad: str) -> None:
    site.server.kubectl("delete", "jobs,pods", "--all", "-n", site.namespace, "--wait=false")
    site.kubelet().run_until(lambda: not site.names("pods"), "the pods are gone")
    text = plugin(site, "logs", "air", "-n", site.namespace)
    assert f"{good}  Succeeded: Delivered: delivered" in text
    assert f"{bad}  Failed: OutOfMemory" in text
    assert "spark  Published: Version 1 of the table has 294 rows" in text
    assert text.count("its pod is gone") == 3
    only = plugin(site, "logs", "air", "-n", site.namespace, "--node", bad, "-o", "json")
    assert json.loads(only)["from"] == bad
    said = plugin(site, "logs", "air", "-n", site.namespace, "--run", "20200101-000000", code=2)
    assert "nothing is kept of a run 20200101-000000; runs that are: 2" in said


def test_mistakes_are_told_with_what_is_right(site: Site) -> None:
    site.apply()
    said = plugin(site, "status", "water", "-n", site.namespace, code=2)
    assert f"there is no EdgeETLJob 'water' in namespace '{site.namespace}'; there are: air" in said
    assert "air has not run yet" in plugin(site, "logs", "air", "-n", site.namespace, code=2)
    said = plugin(site, "report", "air", "-n", site.namespace, code=2)
    assert f"no landing service runs in namespace '{site.namespace}'" in said
    said = plugin(site, "status", "--context", "nowhere", code=3)
    assert "nowhere" in said
    away = site.folder / "away.kubeconfig"
    own = yaml.safe_load(config(site))
    own["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    away.write_text(yaml.safe_dump(own))
    assert "cannot be reached" in plugin(site, "status", kubeconfig=away, code=3)


def test_without_rights_the_cluster_refuses_and_doctor_says_what_is_missing(site: Site) -> None:
    site.apply()
    site.server.kubectl("create", "serviceaccount", "guest", "-n", site.namespace)
    token = site.server.kubectl("create", "token", "guest", "-n", site.namespace).strip()
    own = yaml.safe_load(config(site))
    own["users"] = [{"name": own["users"][0]["name"], "user": {"token": token}}]
    guest = site.folder / "guest.kubeconfig"
    guest.write_text(yaml.safe_dump(own))
    said = plugin(site, "status", "-n", site.namespace, kubeconfig=guest, code=3)
    assert "cannot list resource" in said
    assert "Have an administrator grant it" in said
    words = ("doctor", "air", "-n", site.namespace, "-o", "json")
    told = plugin(site, *words, kubeconfig=guest, code=1)
    assert "air cannot be read, so its Pis were not looked at" in told
    checks = json.loads(told)["checks"]
    refused = [each for each in checks if each["name"] == "permissions"]
    assert "you may not get, list, create, update edgeetljobs" in refused[0]["message"]
    assert refused[0]["result"] == "problem"
    _a_report_is_for_those_who_may_forward_ports(site, guest)


def _a_report_is_for_those_who_may_forward_ports(site: Site, guest: Path) -> None:
    reading = ("-n", site.namespace, "--verb=get,list", "--resource=pods,edgeetljobs")
    site.server.kubectl("create", "role", "reader", *reading)
    account = f"--serviceaccount={site.namespace}:guest"
    site.server.kubectl(
        "create", "rolebinding", "reader", "-n", site.namespace, "--role=reader", account
    )
    labels = {
        "app.kubernetes.io/part-of": "pi-edge-spark",
        "app.kubernetes.io/component": "landing",
    }
    ports = [{"name": "http", "containerPort": 8080}, {"name": "reports", "containerPort": 8081}]
    container = {"name": "landing", "image": "edge", "ports": ports}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "landing", "labels": labels}}
    site.server.apply({**pod, "spec": {"containers": [container]}}, site.namespace)
    running = json.dumps({"status": {"phase": "Running"}})
    site.server.kubectl(
        *("patch", "pod", "landing", "-n", site.namespace),
        *("--subresource=status", "--type=merge", "-p", running),
    )
    said = plugin(site, "report", "air", "-n", site.namespace, kubeconfig=guest, code=3)
    assert 'resource "pods/portforward" in API group ""' in said
    assert "Have an administrator grant it" in said


def test_a_run_that_is_asked_for_and_its_end_are_a_document(site: Site) -> None:
    site.add_node("pi-1")
    site.apply()
    only = document(site, "run", "air")
    assert (only["kind"], only["job"]) == ("RunRequest", "air")
    assert "result" not in only
    words = ("edge-etl", "run", "air", "--follow", "-n", site.namespace, "-o", "json")
    asked = _begun(site, *words)
    with site.operator():
        site.kubelet().run_until(lambda: asked.poll() is not None, "the run ends")
    end = json.loads(asked.communicate()[0])
    assert asked.returncode == 0
    assert (end["result"], end["nodesSummary"]) == ("Succeeded", "1/1")
    assert end["run"] == site.status()["run"]["id"]
    assert end["request"] == site.status()["lastRunRequest"] != only["request"]


def test_kubectl_completes_commands_options_and_the_names_of_jobs(site: Site) -> None:
    site.apply()

    def completed(*words: str) -> list[str]:
        *found, directive = kubectl(site, "__complete", "edgeetl", *words).stdout.split()
        assert directive.startswith(":")
        return found

    assert completed("sta") == ["status"]
    assert completed("status", "-n", site.namespace, "") == ["air"]
    assert "--watch" in completed("status", "--w")
    assert completed("status", "-o", "") == ["json", "yaml"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_reads_what_completion_prints(shell: str) -> None:
    code = subprocess.run(
        [sys.executable, "-m", "edge_etl_operator.cli", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "edge-etl" in code
    assert ("complete --command edge-etl" if shell == "fish" else "complete ") in code


def test_bash_completes_a_command() -> None:
    script = """
    source <(edge-etl completion bash)
    COMP_LINE='edge-etl nod'; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
    COMP_WORDS=(edge-etl nod); COMP_CWORD=1
    _python_argcomplete edge-etl
    echo "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == ["nodes"]


def test_doctor_finds_a_label_that_is_nearly_right(site: Site) -> None:
    node = site.add_node("pi-1")
    site.apply(nodes={"selector": {"matchLabels": {"sites": site.namespace}}})
    told = document(site, "doctor", "air", "--no-probe", code=1)
    (label,) = (each for each in told["checks"] if each["name"] == "label")
    assert f"no node matches sites={site.namespace}" in label["message"]
    assert f"{node} has site={site.namespace}" in label["message"]
    assert label["remedy"].startswith("Label the Pis: kubectl label node")
    (operator,) = (each for each in told["checks"] if each["name"] == "operator")
    assert operator["message"] == "no operator is installed"


def test_doctor_sends_a_pod_to_each_pi_reads_its_answer_and_leaves_nothing(site: Site) -> None:
    nodes = site.add_nodes(2)
    _install(site)
    site.apply()
    seen: list[dict[str, Any]] = []

    def behave(pod: dict[str, Any]) -> play.Outcome:
        seen.append(pod)
        place = site.folder / pod["metadata"]["name"]
        source, work = place / "source", place / "work"
        for folder in (source, work):
            folder.mkdir(parents=True)
        (source / "a.csv").write_text("timestamp,sensor_id,P10\n2024-05-06T07:08:09,a,1\n")
        document = place / "job.json"
        document.write_text(pod["metadata"]["annotations"]["pi-edge-spark.io/probe"])
        content = encoded(probe(load_job(document), "pi-1", source, work))
        return play.ended(pod, 0, content.decode())

    asked = _begun(site, "edge-etl", "doctor", "air", "-n", site.namespace, "-o", "json")
    site.kubelet(behave).run_until(lambda: asked.poll() is not None, "doctor ends")
    checks = json.loads(asked.communicate()[0])["checks"]
    assert asked.returncode == 1
    assert sorted(pod["spec"]["nodeSelector"]["kubernetes.io/hostname"] for pod in seen) == [
        f"host-{node}" for node in nodes
    ]
    (column,) = (each for each in checks if each["name"] == "columns")
    assert "no file has a column for pm10 (looked for P1)" in column["message"]
    assert "write from: [P10]" in column["remedy"]
    told = {each["name"]: each for each in checks}
    assert told["claim"]["message"].startswith("there is no PersistentVolumeClaim")
    assert {"job", "operator", "namespace"} <= {
        name for name, each in told.items() if each["result"] == "ok"
    }
    site.kubelet().run_until(lambda: not _pods(site), "the pods of doctor are gone")


def _begun(site: Site, *words: str) -> subprocess.Popen[str]:
    """Start a command that ends only when somebody plays the kubelet."""
    return subprocess.Popen(
        words,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(site.server.kubeconfig),
        },
        stdout=subprocess.PIPE,
        text=True,
    )


def _pods(site: Site) -> list[Any]:
    found: list[Any] = site.server.get("pods", "-n", site.namespace)["items"]
    return found


def _install(site: Site) -> None:
    """Install what doctor looks for of the chart, with an operator that is said to be ready."""
    rendered = chart.render("--set", "sources[0].name=sensors,sources[0].path=/data/sensors")
    wanted = ("Deployment", "ConfigMap", "ServiceAccount")
    for each in yaml.safe_load_all(rendered):
        if each and each["kind"] in wanted and "test" not in each["metadata"]["name"]:
            each["metadata"]["namespace"] = site.namespace
            text = json.dumps(each).replace(f"{chart.RELEASE}-", f"{site.namespace}-")
            text = text.replace(f"namespace: {chart.RELEASE}", f"namespace: {site.namespace}")
            text = text.replace(f"--namespace={chart.RELEASE}", f"--namespace={site.namespace}")
            site.server.apply(text, site.namespace)
    ready = json.dumps({"status": {"replicas": 1, "readyReplicas": 1}})
    for name in ("operator", "landing"):
        of = ("deployment", f"{site.namespace}-{name}", "-n", site.namespace)
        site.server.kubectl("patch", *of, "--subresource=status", "-p", ready)


def test_what_was_rejected_comes_from_the_jobs_bucket_with_its_key(
    site: Site, s3_server: S3Server, tmp_path: Path
) -> None:
    bucket, run = s3_server.bucket(), "20190305-000000"
    pi = Pi.at(tmp_path / "pi")
    pi.write("a.csv", csv(reading(1), reading(2, value="1500"), "broken"))
    pi.write("b.csv", csv(reading(3)))
    arguments = pi.arguments(run, "a", namespace=site.namespace, job="air")
    arguments[arguments.index("--results") + 1] = bucket.location()
    key = ["--s3-credentials", str(s3_server.credentials)]
    subprocess.run([*arguments, *key], check=True, capture_output=True)

    where = {"endpoint": s3_server.endpoint, "region": REGION, "prefix": "results"}
    site.apply(results={"s3": {**where, "bucket": bucket.name, "secretRef": {"name": "key"}}})
    listing = ("quarantine", "list", "air")
    assert 'secrets "key" not found' in plugin(site, *listing, "-n", site.namespace, code=2)
    file = f"--from-file=credentials={s3_server.credentials}"
    site.server.kubectl("create", "secret", "generic", "key", file, "-n", site.namespace)
    for given in ([], key):
        (refused,) = document(site, *listing, *given)["items"]
        assert refused["reasons"] == {"out_of_range": 1, "wrong_field_count": 1}
    (row,) = document(site, "quarantine", "show", "air", "--reason", "out_of_range")["items"]
    assert (row["file"], row["line"], row["raw"]) == ("a.csv", 3, reading(2, value="1500"))

    # The table of a job is named by its place: it can be looked after without the cluster.
    place = f"s3://{bucket.name}/results/{site.namespace}/air?{bucket.location().partition('?')[2]}"
    listed = plugin(site, "table", "versions", place, *key, "-o", "json")
    assert json.loads(listed)["items"] == []
