"""The whole of it: chart, sample, cleaning on each node, Spark with executors, one table."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import independent
from tests.support.cluster import AnyCluster
from tests.support.jobs import (
    NAMESPACE,
    SAMPLE,
    SOURCES,
    Object,
    condition,
    finished,
    objects,
    results,
    sample,
    status,
)

JOB = "air-quality"
NODES = ("pi-1", "pi-2", "pi-3")


@pytest.fixture(scope="module")
def locally(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """Begin a local run over the same files, and give where its results will be."""
    to = tmp_path_factory.mktemp("local")
    nodes = [word for node in NODES for word in ("--node", f"{node}={folders[node]}")]
    command = [
        *(sys.executable, "-m", "edge_etl_operator.cli", "local", "run", str(SAMPLE)),
        *(*nodes, "--results", str(to), "--json"),
    ]
    with (
        (to / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as running,
    ):
        yield to, running
        running.terminate()


@pytest.fixture(scope="module")
def done(pis: AnyCluster, locally: object) -> Object:
    """Apply the sample as it is written, and wait as a user would."""
    pis.kubectl("apply", "-n", NAMESPACE, "-f", SAMPLE)
    return finished(pis, JOB, timeout=300)


@pytest.fixture(scope="module")
def folders(pis: AnyCluster) -> dict[str, Path]:
    """Give the nodes' own directories of CSV files."""
    return {node: pis.node(node).path(f"{SOURCES}/sensors") for node in NODES}


def test_kubectl_get_tells_the_story(pis: AnyCluster, done: Object) -> None:
    header, line = pis.kubectl("get", "edgeetljobs", JOB, "-n", NAMESPACE).splitlines()
    assert header.split() == [
        *("NAME", "PHASE", "NODES", "ROWS", "REJECTED", "LAST-RUN", "NEXT-RUN", "AGE")
    ]
    assert line.split()[:5] == [
        *(JOB, "Succeeded", "3/3", str(done["rows"]), done["rejectedRatio"])
    ]


def test_every_condition_is_as_it_should_be(done: Object) -> None:
    truth = {each["type"]: each["status"] for each in done["conditions"]}
    assert truth == {
        "Accepted": "True",
        "EdgeComplete": "True",
        "Aggregated": "True",
        "Succeeded": "True",
        "Degraded": "False",
    }


def test_each_node_cleaned_its_own_files_and_no_other(
    pis: AnyCluster, done: Object, folders: dict[str, Path]
) -> None:
    assert done["run"]["completionTime"] >= done["run"]["startTime"]
    for node in done["nodes"]:
        files = list(folders[node["name"]].glob("*.csv"))
        assert node["filesRead"] == len(files)
        assert node["bytesRead"] == sum(file.stat().st_size for file in files)
    for pod in objects(pis, "pods", JOB, "edge"):
        assert pod["spec"]["nodeName"] == pod["metadata"]["labels"]["pi-edge-spark.io/node"]


def test_spark_ran_with_two_executors(pis: AnyCluster, done: Object) -> None:
    events = pis.get("events", "-n", NAMESPACE, "--field-selector", "reason=Started")["items"]
    started = {event["involvedObject"]["name"] for event in events}
    prefix = f"{JOB}-{done['run']['id']}-exec-"
    assert {name for name in started if name.startswith(prefix)} == {f"{prefix}1", f"{prefix}2"}


def test_the_table_is_what_pandas_computes_from_the_raw_files(
    pis: AnyCluster, done: Object, folders: dict[str, Path]
) -> None:
    table = independent.published(results(pis, JOB))
    independent.assert_equal(table, independent.expected(folders))
    assert len(table.rows) == done["rows"]


def test_the_table_is_what_a_local_run_gives(
    pis: AnyCluster, done: Object, locally: tuple[Path, "subprocess.Popen[bytes]"]
) -> None:
    to, running = locally
    assert running.wait(300) == 0, (to / "log").read_text()
    (job,) = (path.parent for path in to.glob("*/*/table"))
    independent.assert_equal(independent.published(job), independent.published(results(pis, JOB)))


def test_describe_shows_what_each_node_did(pis: AnyCluster, done: Object) -> None:
    text = pis.kubectl("describe", "eej", JOB, "-n", NAMESPACE)
    for word in ("Rows Clean", "Rejected By Reason", "Watermark", "out_of_range"):
        assert word in text


def test_the_report_is_brought_through_the_api_server(
    pis: AnyCluster, done: Object, tmp_path: Path
) -> None:
    said = _told(pis, tmp_path, "report", JOB)
    assert (said["kind"], said["run"], said["madeFrom"]) == ("Report", done["run"]["id"], "results")
    assert said["file"] == f"{JOB}-{said['run']}.html"
    html = (tmp_path / said["file"]).read_text()
    for node in done["nodes"]:
        assert f'<th scope="row">{node["name"]}</th>' in html
        assert f">{node['rowsRead']:,}<" in html
    assert "humidity: 99.9 is above 99.8" in html
    assert '<svg class="chart"' in html


def test_rejected_rows_are_brought_through_the_api_server(
    pis: AnyCluster, done: Object, tmp_path: Path
) -> None:
    listed = _told(pis, tmp_path, "quarantine", "list", JOB)
    counted = {node["name"]: node.get("rejectedByReason", {}) for node in done["nodes"]}
    for node, reasons in counted.items():
        mine = (Counter(each["reasons"]) for each in listed["items"] if each["node"] == node)
        assert sum(mine, Counter[str]()) == reasons
    rows = ("quarantine", "show", JOB, "--reason", "out_of_range", "--node", "pi-1")
    shown = _told(pis, tmp_path, *rows, "--limit", "10000")["items"]
    assert len(shown) == counted["pi-1"]["out_of_range"]
    assert {row["reason"] for row in shown} == {"out_of_range"}
    assert all(row["raw"] for row in shown)


def _told(pis: AnyCluster, folder: Path, *words: str) -> Object:
    """Run a command of the plugin in a folder, and return its document."""
    program = (sys.executable, "-m", "edge_etl_operator.cli", *words, "-n", NAMESPACE)
    ran = subprocess.run(
        [*program, "--kubeconfig", pis.kubeconfig, "-o", "json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    document: Object = json.loads(ran.stdout)
    return document


def test_new_readings_are_added_and_nothing_is_counted_twice(
    pis: AnyCluster, done: Object, folders: dict[str, Path]
) -> None:
    late = folders["pi-3"] / "2019-03-08_sds011_sensor_7789.csv"
    origin = folders["pi-3"] / "2019-03-07_sds011_sensor_7789.csv"
    late.write_text(origin.read_text().replace("2019-03-07T", "2019-03-08T"))
    job = sample(JOB)
    job["spec"]["schema"]["nullValues"].append("N/A")
    try:
        pis.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(job))
        pis.wait(
            f"eej/{JOB}",
            jsonpath="{.status.observedGeneration}=2",
            namespace=NAMESPACE,
        )
        again = finished(pis, JOB, timeout=300)
        assert again["run"]["id"] > done["run"]["id"]
        assert again["rows"] > done["rows"]
        table = independent.published(results(pis, JOB))
        assert len(table.rows) == again["rows"]
        assert not table.rows.duplicated(["sensor_id", "timestamp"]).any()
        read = {node["name"]: node["filesRead"] for node in again["nodes"]}
        assert read == {"pi-1": 0, "pi-2": 0, "pi-3": 1}
    finally:
        late.unlink()


def test_restricted_pods_everywhere_but_on_the_host_directory(
    pis: AnyCluster, done: Object
) -> None:
    """Edge pods mount directories of the host and may; all others fit 'restricted'."""
    name = "restricted-check"
    label = "pod-security.kubernetes.io/enforce=restricted"
    pis.kubectl("create", "namespace", name)
    pis.kubectl("label", "namespace", name, label)
    pods = pis.get("pods", "-n", NAMESPACE)["items"]
    kept = [
        pod for pod in pods if pod["metadata"]["labels"].get("pi-edge-spark.io/stage") != "edge"
    ]
    assert len(kept) >= 3
    for pod in kept:
        accounts = ("serviceAccount", "serviceAccountName")
        spec = {key: value for key, value in pod["spec"].items() if key not in accounts}
        copy = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod["metadata"]["name"], "namespace": name},
            "spec": spec,
        }
        pis.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(copy))
    assert condition(status(pis, JOB), "Succeeded")["status"] == "True"
