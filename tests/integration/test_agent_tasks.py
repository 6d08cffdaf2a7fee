"""Tasks of the agent as a process: what is asked for, by whom, and kills while they run."""

import fcntl
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import independent
from tests.support.agent import AgentProcess
from tests.support.cluster.kube import until
from tests.support.tasks import BEARER, DATASET, TOKENS, TaskAgent, document

ROOT = Path(__file__).parents[2]
READINGS = ROOT / "tests/data/air-quality"
KILLS = int(os.environ.get("AGENT_KILLS", "6"))
SENSOR = {"Authorization": "Bearer " + "s" * 32}


def filled(agent: TaskAgent, pi: str) -> None:
    """Put the readings of a Pi into the source, old enough to be no longer written."""
    shutil.copytree(READINGS / pi, agent.sensors, dirs_exist_ok=True)
    for file in agent.sensors.iterdir():
        os.utime(file, (1_600_000_000, 1_600_000_000))


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskAgent]:
    agent = TaskAgent(tmp_path_factory.mktemp("agent"))
    filled(agent, "pi-1")
    with agent:
        yield agent


@pytest.fixture(scope="module")
def delivered(agent: TaskAgent) -> dict[str, Any]:
    answer = agent.post(document())
    assert answer.status == 201, answer.body
    assert answer.document["phase"] in ("Pending", "Running")
    return agent.ended(answer.document["id"])


def test_a_task_delivers_what_a_cleaning_pod_does(
    agent: TaskAgent, delivered: dict[str, Any]
) -> None:
    right = independent.counts({"pi-1": READINGS / "pi-1"})["pi-1"]
    summary = delivered["summary"]
    assert (delivered["phase"], summary["reason"]) == ("Succeeded", "Delivered")
    assert (summary["rowsRead"], summary["rowsClean"]) == (right.read, right.clean)
    assert delivered["bytesDone"] == delivered["bytesTotal"] == summary["bytesRead"]
    answer = agent.ask("GET", f"/{delivered['id']}/files/manifest.json")
    schema = json.loads((ROOT / "docs/contracts/manifest.schema.json").read_text())
    jsonschema.validate(answer.document, schema)
    rows = 0
    for file in answer.document["files"]:
        content = agent.ask("GET", f"/{delivered['id']}/files/{file['name']}").body
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            file["bytes"], file["sha256"],
        )  # fmt: skip
        found = pq.read_table(pa.BufferReader(content)).num_rows
        rows += found if file["kind"] == "rows" else 0
    assert rows == right.clean


def test_the_same_document_is_the_same_task(agent: TaskAgent, delivered: dict[str, Any]) -> None:
    again = agent.post(document())
    assert (again.status, again.document) == (200, delivered)
    other = agent.post(document(reprocess="Changed"))
    assert (other.status, other.document["reason"]) == (409, "TaskConflict")


def test_all_tasks_are_listed_with_the_name_of_the_pi(
    agent: TaskAgent, delivered: dict[str, Any]
) -> None:
    found = agent.ask("GET").document
    assert (found["node"], found["sources"]) == ("pi-1", ["sensors"])
    assert delivered in found["tasks"]


def test_what_was_delivered_to_a_dataset_is_not_delivered_again(
    agent: TaskAgent, delivered: dict[str, Any]
) -> None:
    second = agent.ended(agent.post(document("20260301-130000")).document["id"])
    assert second["summary"]["reason"] == "NothingNew"
    other = agent.ended(agent.post(document("20260301-130000"), "other").document["id"])
    assert other["summary"]["rowsClean"] == delivered["summary"]["rowsClean"]
    # And the first one's ledger is made again from its manifests.
    third = agent.ended(agent.post(document("20260301-140000")).document["id"])
    assert third["summary"]["reason"] == "NothingNew"


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({}, 401, "Unauthenticated"),
        ({"Authorization": "Bearer unknown"}, 401, "Unauthenticated"),
        (SENSOR, 403, "Forbidden"),
    ],
)
def test_who_may_not(agent: TaskAgent, headers: dict[str, str], status: int, reason: str) -> None:
    for answer in (
        agent.post(document("20260301-150000"), headers=headers),
        agent.ask("GET", "", headers),
        agent.ask("GET", "/20260301-150000-0123456789abcdef/files/manifest.json", headers),
    ):
        assert (answer.status, answer.document["reason"]) == (status, reason)


def source(**changed: Any) -> dict[str, Any]:
    return {**document()["source"], **changed}


@pytest.mark.parametrize(
    ("changed", "dataset", "status", "message"),
    [
        ({"namespace": "../../etc"}, DATASET, 400, "namespace: "),
        ({"job": "a\n"}, DATASET, 400, "not the name of a job"),
        ({"run": "../../../etc"}, DATASET, 400, "run: "),
        ({"run": "20260301-120000\n"}, DATASET, 400, "not the name of a run"),
        ({"source": source(name="etc")}, DATASET, 403, "tasks may read sensors here, not etc"),
        ({"source": source(name="../tasks")}, DATASET, 400, "source.name: "),
        ({"source": source(include=["../*"])}, DATASET, 400, "not relative to the source"),
        ({"source": source(include=["/etc/*"])}, DATASET, 400, "not relative to the source"),
        ({"key": []}, DATASET, 400, "key: "),
        ({"shell": "rm"}, DATASET, 400, "unknown field `shell`"),
        ({}, "../x", 400, "dataset: "),
        ({}, "", 400, "dataset: "),
    ],
)
def test_nothing_of_a_request_becomes_a_path_unchecked(
    agent: TaskAgent, changed: dict[str, Any], dataset: str, status: int, message: str
) -> None:
    before = sorted(agent.root.rglob("*/"))
    answer = agent.post(document(**{"run": "20260301-160000", **changed}), dataset)
    assert (answer.status, message in answer.document["message"]) == (status, True), answer.body
    assert sorted(agent.root.rglob("*/")) == before


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../tasks", "manifest.json"),
        ("ID", "../manifest.json"),
        ("ID", "..%2Fmanifest.json"),
        ("ID", "%2Fetc%2Fpasswd"),
        ("ID", "rows-1970-01-01.parquet"),
    ],
)
def test_only_files_that_the_manifest_lists_are_given(
    agent: TaskAgent, delivered: dict[str, Any], name: str, file: str
) -> None:
    name = name.replace("ID", delivered["id"])
    assert agent.ask("GET", f"/{name}/files/{file}").status == 404


def test_what_is_too_large_or_no_json_or_no_method(agent: TaskAgent) -> None:
    assert agent.post(b" " * ((128 << 10) + 1)).status == 413
    answer = agent.post(b"{")
    assert (answer.status, answer.document["reason"]) == (400, "JobInvalid")
    assert agent.ask("PUT").headers["allow"] == "GET, HEAD, POST"
    assert agent.ask("PUT", "/x").headers["allow"] == "DELETE, GET, HEAD"
    assert agent.ask("PUT", "/x/files/y").headers["allow"] == "GET, HEAD"
    assert agent.ask("GET", "/x/y").status == 404


def test_a_failed_task_says_why_and_can_be_removed(agent: TaskAgent) -> None:
    gate = {"maxRejectedRatio": "0%"}
    task = agent.post(document("20260301-170000", quality=gate), "gate").document
    ended = agent.ended(task["id"])
    assert (ended["phase"], ended["summary"]["reason"]) == ("Failed", "TooManyRejected")
    assert agent.ask("GET", f"/{task['id']}/files/manifest.json").status == 404
    assert agent.ask("DELETE", f"/{task['id']}").status == 204
    assert agent.ask("GET", f"/{task['id']}").status == 404


def test_no_more_are_kept_than_allowed_and_what_was_delivered_never_goes(tmp_path: Path) -> None:
    with TaskAgent(tmp_path, most=2) as agent:
        filled(agent, "pi-2")
        first = agent.ended(agent.post(document("20260301-120000")).document["id"])
        refused = {"quality": {"maxRejectedRatio": "0%"}}
        second = agent.post(document("20260301-120001", source=source(name="sensors"), **refused))
        assert agent.ended(second.document["id"])["phase"] == "Succeeded"  # nothing was new
        answer = agent.post(document("20260301-120002"))
        assert (answer.status, answer.headers["retry-after"]) == (429, "5")
        assert agent.ask("DELETE", f"/{first['id']}").status == 204
        assert not list((tmp_path / "tasks/results").rglob("*.parquet"))
        assert agent.post(document("20260301-120002")).status == 201
        # The manifests stay: without its ledger the Pi still knows what it has delivered.
        shutil.rmtree(tmp_path / "tasks/state/default/air-quality")
        agent.ask("DELETE", f"/{second.document['id']}")
        last = agent.ended(agent.post(document("20260301-120003")).document["id"])
        assert last["summary"]["reason"] == "NothingNew"


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    state = tmp_path / "tasks/state/default/air-quality"
    state.mkdir(parents=True)
    # The edge program waits for the lock of its ledger.
    with (state / "lock").open("w") as lock, TaskAgent(tmp_path, deadlineSeconds=1) as agent:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = agent.ended(agent.post(document()).document["id"])
    assert (ended["phase"], ended["summary"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_there_are_no_tasks_unless_they_are_switched_on(tmp_path: Path) -> None:
    with AgentProcess(tmp_path, tokens=TOKENS) as agent:
        assert agent.request("GET", "/v1/tasks", headers=BEARER).status == 404


@pytest.mark.parametrize(
    ("tasks", "arguments", "message"),
    [
        ({}, [], "tasks: not without --tokens or rest.clientCaFile"),
        ({}, ["--tokens", "TOKENS"], "--node '': tasks need this Pi's name"),
        (
            {"sources": {"sensors": "relative"}}, ["--tokens", "TOKENS", "--node", "pi-1"],
            "tasks.sources.sensors: relative is no absolute directory",
        ),
        ({"sources": {}}, ["--tokens", "TOKENS"], "$.tasks.sources"),
    ],
)  # fmt: skip
def test_it_does_not_start_where_anybody_could_run_tasks(
    tmp_path: Path, tasks: dict[str, Any], arguments: list[str], message: str
) -> None:
    settings = {"directory": str(tmp_path), "sources": {"sensors": str(tmp_path)}, **tasks}
    (tmp_path / "agent.json").write_text(json.dumps({"tasks": settings}))
    (tmp_path / "tokens.json").write_text(json.dumps(TOKENS))
    command = [sys.executable, "-m", "edge_etl_agent", "--directory", str(tmp_path)]
    command += ["--config", str(tmp_path / "agent.json")]
    command += [each.replace("TOKENS", str(tmp_path / "tokens.json")) for each in arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in json.loads(done.stderr.splitlines()[-1])["message"]


def test_readings_that_a_task_has_delivered_make_room(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    storage = {"segmentSeconds": 1, "keepDeliveredSeconds": 0}
    agent = TaskAgent(tmp_path, sources={"sensors": str(tmp_path / "source")})
    agent.configuration["storage"] = storage
    sensor = {"sensor_id": "roof", "sensor_type": "x", "P1": 5}
    with agent:
        assert agent.send(sensor, Authorization=SENSOR["Authorization"]).status == 200
        until(lambda: len(agent.stored()) == 1, "jobs see the segment", every=0.05)
        unsettled = agent.post(document(source=source(settleSeconds=0))).document
        assert agent.ended(unsettled["id"])["summary"]["rowsClean"] == 1
        until(lambda: agent.stored() == [], "the segment is gone", every=0.05)
        assert agent.ask("GET", f"/{unsettled['id']}/files/manifest.json").status == 200


def killed(agent: TaskAgent, *, power: bool) -> None:
    """Kill the agent and start it again; ``power`` takes the program at work with it."""
    assert agent.process
    children = [
        int(child)
        for thread in Path(f"/proc/{agent.process.pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    agent.stop(9)
    for child in children if power else ():
        with suppress(ProcessLookupError):
            os.kill(child, 9)
    agent.start()


def test_kills_lose_no_task_and_deliver_nothing_twice(tmp_path: Path) -> None:
    """New files arrive while the agent is killed at any moment of a task."""
    agent, moment = TaskAgent(tmp_path, most=100), random.Random(7)
    files = sorted(READINGS.glob("pi-*/*.csv"))
    names = []
    with agent:
        for number in range(KILLS):
            copied = agent.sensors / f"{number}.csv"
            shutil.copyfile(files[number % len(files)], copied)
            os.utime(copied, (1_600_000_000, 1_600_000_000))
            answer = agent.post(document(f"20260301-12{number // 60:02}{number % 60:02}"))
            names.append(answer.document["id"])
            time.sleep(moment.uniform(0, 1))  # anywhere between the answer and the end
            killed(agent, power=number % 2 == 0)
        tasks = [agent.ended(name) for name in names]
        manifests = [agent.ask("GET", f"/{name}/files/manifest.json").document for name in names]
        assert agent.stop() == 0
    assert {task["phase"] for task in tasks} == {"Succeeded"}
    delivered = [file["path"] for each in manifests for file in each["inputs"] if file["rowsRead"]]
    assert sorted(delivered) == sorted(f"{number}.csv" for number in range(KILLS))
    # What attempts that died have left is gone.
    standing = {each["attempt"] for each in manifests}
    assert {path.name for path in (tmp_path / "tasks/results").rglob("pi-1/*/")} <= standing
