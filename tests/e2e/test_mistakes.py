"""Mistakes that people make: what doctor, status and kubectl describe say of each.

All jobs are applied at the same time; docs/mistakes.md shows the same output.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import fixtures, operations_page
from tests.support.cluster import AnyCluster, until
from tests.support.cluster.kube import CommandError
from tests.support.jobs import EXTRACT, NAMESPACE, SOURCES, aged, condition, sample, status

PAGE = operations_page.ROOT / "docs" / "mistakes.md"
DAY = {"name": "mixed", "include": ["2019-03-05*.csv"]}
LIKE_PI_1 = {"selector": {"matchLabels": {"kubernetes.io/hostname": "pi-1"}}, "backoffLimit": 0}
TINY = {"requests": {"cpu": "50m", "memory": "12Mi"}, "limits": {"memory": "12Mi"}}


@dataclass(frozen=True)
class Mistake:
    """What a person does wrong, and what must be said of it."""

    heading: str
    """Of the section in docs/mistakes.md."""
    kind: str
    """The condition that says it."""
    reason: str
    remedy: str
    """A part of what to do, in the words of status and of describe."""
    spec: dict[str, Any]
    namespace: str = NAMESPACE

    @property
    def name(self) -> str:
        """The job's name."""
        return self.heading.lower().replace(" ", "-")


def nodes(**changes: Any) -> dict[str, Any]:
    return {**LIKE_PI_1, **changes}


MISTAKES = (
    Mistake(
        "A wrong label",
        "EdgeComplete",
        "NoMatchingNode",
        "Label nodes so that they match",
        {"nodes": {"selector": {"matchLabels": {"pi-edge-spark.io/role": "Edge"}}}},
    ),
    Mistake(
        "A wrong path",
        "EdgeComplete",
        "SourceMissing",
        "Create the directory on that node",
        {"source": {"name": "absent"}},
    ),
    Mistake(
        "A claim that is missing",
        "EdgeComplete",
        "ClaimUnavailable",
        "Create the PersistentVolumeClaim",
        {"nodes": nodes(), "results": {"volumeClaim": {"name": "nfs"}}},
    ),
    Mistake(
        "A wrong column name",
        "Degraded",
        "FieldNotFound",
        "Correct `from` of the field in spec.schema",
        {"nodes": nodes(), "source": DAY},
    ),
    Mistake(
        "A decimal comma",
        "Degraded",
        "MostlyRejected",
        "a decimal comma in spec.source.csv.decimal",
        {"nodes": nodes(), "source": {"name": "comma", "csv": {"decimal": "."}}},
    ),
    Mistake(
        "A wrong time zone",
        "Degraded",
        "TimesInFuture",
        "Name the zone of the clock that wrote these files",
        {"nodes": nodes(), "source": {"name": "tokyo"}},
    ),
    Mistake(
        "An image that is missing",
        "EdgeComplete",
        "ImageUnavailable",
        "Push the image or load it onto the node",
        {"nodes": nodes(), "source": {"name": "sensors"}},
        fixtures.ELSEWHERE,
    ),
    Mistake(
        "A Pi that is off",
        "EdgeComplete",
        "NodeNotReady",
        "Switch the node on and look at its network",
        {
            "nodes": {
                "selector": {"matchLabels": {"kubernetes.io/hostname": "pi-9"}},
                "offlinePolicy": "Wait",
            }
        },
    ),
    Mistake(
        "Too little memory",
        "EdgeComplete",
        "NodeFailed",
        "Raise the memory: spec.edge.resources.limits",
        {"nodes": nodes(), "edge": {"resources": TINY}, "source": DAY},
    ),
    Mistake(
        "Files that nobody else may read",
        "EdgeComplete",
        "NodeFailed",
        "let others read it, or set the chart's edge.runAsUser",
        {"nodes": nodes(), "source": {"name": "locked"}},
    ),
)


@dataclass(frozen=True)
class Said:
    """What the three commands said of a job."""

    doctor: str
    status: str
    describe: str

    @property
    def all(self) -> str:
        """All of it."""
        return f"{self.doctor}\n{self.status}\n{self.describe}"


def plugin(cluster: AnyCluster, *words: str, kubeconfig: Path | None = None) -> tuple[int, str]:
    """Run the plugin; return its exit code and all that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_etl_operator.cli", *words],
        env={**os.environ, "KUBECONFIG": str(kubeconfig or cluster.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def readings(cluster: AnyCluster, source: str, name: str, text: str) -> Path:
    """Write a file into a source of pi-1."""
    folder = cluster.node("pi-1").path(f"{SOURCES}/{source}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    aged(folder / name)
    return folder


def job(mistake: Mistake) -> dict[str, Any]:
    document = sample(mistake.name, **{"aggregate": {}, "source": DAY, **mistake.spec})
    schema = document["spec"]["schema"]
    if mistake.reason == "FieldNotFound":
        next(each for each in schema["fields"] if each["name"] == "pm10")["from"] = ["P10"]
    if mistake.reason in ("MostlyRejected", "TimesInFuture"):
        # The files have these alone.
        schema["fields"] = [f for f in schema["fields"] if f["name"] in ("sensor_id", "pm10")]
    if mistake.namespace == fixtures.ELSEWHERE:
        document["spec"]["results"] = {"volumeClaim": {"name": "shared"}}
    return document


@pytest.fixture(scope="module")
def made(pis: AnyCluster, elsewhere: str) -> Iterator[AnyCluster]:
    """Make all mistakes at the same time."""
    original = EXTRACT / "pi-2" / "2019-03-05_sds011_sensor_8554.csv"
    readings(pis, "comma", original.name, original.read_text().replace(".", ","))
    now = datetime.now(UTC) + timedelta(hours=9)
    lines = (f"{now - timedelta(minutes=at):%Y-%m-%dT%H:%M:%S};8554;1.5" for at in range(60, 0, -1))
    readings(pis, "tokyo", "today.csv", "timestamp;sensor_id;P1\n" + "\n".join(lines) + "\n")
    locked = readings(pis, "locked", original.name, original.read_text())
    locked.chmod(0o700)
    # A Pi that has joined and was switched off before its kubelet was ever heard of.
    labels = {"kubernetes.io/hostname": "pi-9"}
    pis.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "pi-9", "labels": labels}})
    for mistake in MISTAKES:
        pis.apply(job(mistake), namespace=mistake.namespace)
    yield pis
    pis.kubectl("delete", "node", "pi-9", "--wait=false")
    for mistake in MISTAKES:
        pis.kubectl("delete", "eej", mistake.name, "-n", mistake.namespace, "--wait=false")
    for source in ("comma", "tokyo", "locked"):
        shutil.rmtree(pis.node("pi-1").path(f"{SOURCES}/{source}"))


@pytest.fixture(scope="module")
def said(made: AnyCluster) -> dict[str, Said]:
    """Wait until each mistake shows, and ask the three commands about all of them at once."""

    def shows(mistake: Mistake) -> Callable[[], Any]:
        return lambda: (
            condition(status(made, mistake.name, mistake.namespace), mistake.kind).get("reason")
            == mistake.reason
        )

    def ask(mistake: Mistake) -> Said:
        about = (mistake.name, "-n", mistake.namespace)
        code, doctor = plugin(made, "doctor", *about)
        assert code == 1, doctor
        until(shows(mistake), f"{mistake.name}: {mistake.reason}", timeout=240)
        _, told = plugin(made, "status", *about)
        return Said(doctor, told, made.kubectl("describe", "eej", *about))

    with ThreadPoolExecutor(5) as pool:
        return dict(zip((m.name for m in MISTAKES), pool.map(ask, MISTAKES), strict=True))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.name)
def test_each_command_names_the_cause_and_the_remedy(
    mistake: Mistake, said: dict[str, Said]
) -> None:
    told = said[mistake.name]
    print(told.doctor, told.status, sep="\n")
    assert operations_page.strange(mistake.heading, mistake.name, told.all, PAGE) == []
    for text in (told.status, told.describe):
        assert mistake.remedy in text
    assert mistake.reason in told.describe
    assert "✘" in told.doctor
    assert "→" in told.doctor


def test_no_pod_of_doctor_stays(said: dict[str, Said], made: AnyCluster) -> None:
    left = made.get("pods", "-A", "-l", "app.kubernetes.io/managed-by=edge-etl-doctor")["items"]
    assert [pod for pod in left if "deletionTimestamp" not in pod["metadata"]] == []


def test_a_person_without_rights(made: AnyCluster, tmp_path: Path) -> None:
    made.kubectl("create", "serviceaccount", "guest", "-n", NAMESPACE)
    token = made.kubectl("create", "token", "guest", "-n", NAMESPACE).strip()
    own = yaml.safe_load(made.kubeconfig.read_text())
    own["users"] = [{"name": user["name"], "user": {"token": token}} for user in own["users"]]
    guest = tmp_path / "kubeconfig"
    guest.write_text(json.dumps(own))
    name = MISTAKES[0].name
    seen = [
        plugin(made, each, name, "-n", NAMESPACE, kubeconfig=guest) for each in ("doctor", "status")
    ]
    with pytest.raises(CommandError) as refused:
        made.kubectl("--kubeconfig", guest, "describe", "eej", name, "-n", NAMESPACE)
    assert [code for code, _ in seen] == [1, 3]
    told = "\n".join(text for _, text in seen) + refused.value.errors
    assert operations_page.strange("No permission", name, told, PAGE) == []
