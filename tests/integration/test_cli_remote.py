"""`edge-etl remote run` with real agents: kills, absences, and an agent that lies."""

import hashlib
import http.server
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from edge_etl_operator.cli.agents import Agent, AgentError, AgentTask, trust
from edge_etl_operator.cli.collecting import collect

from tests.integration.test_cli_local import LATE, NAMES, copied, local_cli, run
from tests.support import independent
from tests.support.cluster.kube import until
from tests.support.cluster.pki import Authority
from tests.support.tasks import SAMPLE, TOKEN, TaskAgent

Agents = dict[str, TaskAgent]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remote")
    (folder / "token").write_text(f"{TOKEN}\n")
    return folder


@pytest.fixture(scope="module")
def agents(folder: Path) -> Iterator[Agents]:
    """Give four agents, each with the readings of its Pi; the last one is off."""
    pis = copied(folder / "pis")
    (folder / "pis" / LATE).rename(folder / "late")
    agents = {name: TaskAgent(folder / name, name) for name in NAMES}
    with ExitStack() as stack:
        for name, agent in agents.items():
            agent.sensors.rmdir()
            agent.sensors.symlink_to(pis[name])
            stack.enter_context(agent)
        agents["pi-4"].stop(9)
        yield agents


def command(agents: dict[str, str], folder: Path, *options: str, job: Path = SAMPLE) -> list[str]:
    words = [part for name, url in agents.items() for part in ("--agent", f"{name}={url}")]
    remote = local_cli("remote", "run", str(job), *words, "--token-file", str(folder / "token"))
    return [*remote, "--results", str(folder / "results"), "--patience", "1", *options]


def urls(agents: Agents) -> dict[str, str]:
    return {name: agent.url for name, agent in agents.items()}


def tasks(agents: Agents) -> list[dict[str, Any]]:
    """Return the tasks of all agents that are on."""
    on = [agent for agent in agents.values() if agent.process and agent.process.poll() is None]
    return [each for agent in on for each in agent.ask("GET").document["tasks"]]


def runs(agents: Agents) -> set[str]:
    """Return the runs that have tasks; those of a dead driver can still be on their way."""
    return {each["run"] for each in tasks(agents)}


@pytest.fixture(scope="module")
def first(agents: Agents, folder: Path) -> tuple[dict[str, Any], independent.Table]:
    """Run once, after two drivers and an agent were killed in the middle; pi-4 is off."""
    arguments = command(urls(agents), folder, "--json")
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        before = runs(agents)
        driver = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: runs(agents) - before, "an agent has a task of it", every=0.01)  # noqa: B023
        driver.send_signal(number)
        assert driver.wait(timeout=60) == code
    agents["pi-2"].stop(9)
    agents["pi-2"].start()
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    right = independent.expected({name: agents[name].sensors for name in NAMES[:3]})
    return json.loads(done.stdout), right


@pytest.fixture(scope="module")
def second(agents: Agents, folder: Path, first: object) -> dict[str, Any]:
    """Run again; pi-4 is on, and a file more has arrived at pi-3."""
    (folder / "late").rename(folder / "pis" / LATE)
    agents["pi-4"].start()
    done = run(command(urls(agents), folder, "--json"))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_killed_runs_had_delivered_is_merged_and_who_was_off_is_named(
    first: tuple[dict[str, Any], independent.Table],
) -> None:
    outcome, right = first
    assert (outcome["kind"], outcome["succeeded"]) == ("RemoteRun", True)
    (failure,) = outcome["failures"]
    assert failure.startswith("pi-4: Offline: ")
    # A reader who opened the first version still sees it after the second run.
    table = independent.published_version(Path(outcome["table"]).parent / "versions/v000001")
    independent.assert_equal(table, right)


def test_the_next_run_brings_what_is_new_and_nothing_twice(
    second: dict[str, Any], agents: Agents, folder: Path
) -> None:
    assert second["failures"] == []
    assert [each["node"] for each in second["nodes"]] == list(NAMES)
    right = independent.expected({name: agents[name].sensors for name in NAMES})
    independent.assert_equal(independent.published(folder / "results/default/air-quality"), right)


def test_what_was_brought_here_is_gone_from_the_pis(
    second: dict[str, Any], agents: Agents, folder: Path
) -> None:
    assert tasks(agents) == []
    assert not list(folder.glob("pi-*/tasks/results/**/*.parquet"))
    assert not list((folder / "results").rglob(".incoming-*"))


def changed(folder: Path, **nodes: Any) -> Path:
    """Write the sample with other rules about its nodes."""
    path = folder / "job.yaml"
    rules = json.dumps(nodes)[1:-1]
    text = SAMPLE.read_text().replace("  nodes:\n", "  nodes:\n    NODES\n")
    path.write_text(text.replace("NODES", rules.replace('"', "").replace(", ", "\n    ")))
    return path


def failures(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stderr
    return "\n".join(json.loads(done.stdout)["failures"])


def test_an_absence_is_a_failure_where_the_job_says_so(agents: Agents, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    job = changed(tmp_path, offlinePolicy="Fail")
    there = {"pi-1": agents["pi-1"].url, "pi-9": "http://127.0.0.1:9"}
    done = run(command(there, tmp_path, "--json", job=job))
    assert "pi-9: Offline: " in failures(done)
    assert list(tmp_path.glob("results/default/air-quality/reports/*.html"))
    # What was delivered all the same is here, for the next run.
    assert list(tmp_path.glob("results/default/air-quality/runs/*/pi-1/manifest.json"))


def test_too_few_agents_merge_nothing(agents: Agents, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 32)
    there = {"pi-1": agents["pi-1"].url, "other": agents["pi-2"].url}
    done = run(command(there, tmp_path, "--json"))
    assert "pi-1: Unauthenticated: " in failures(done)
    assert "--token-file" in failures(done)
    (tmp_path / "token").write_text(TOKEN)
    done = run(command({"other": agents["pi-2"].url}, tmp_path, "--json"))
    assert f"other: OtherNode: {agents['pi-2'].url} is pi-2, not other" in failures(done)
    done = run(command({"other": agents["pi-2"].url}, tmp_path))
    assert "0 of 1 nodes delivered, 1 are needed (spec.nodes.minSuccess)" in done.stdout


def test_a_client_certificate_opens_tasks_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    authority.create()
    authority.issue("server", "/CN=server", ["IP:127.0.0.1"])
    authority.issue("driver", "/CN=driver")
    agent = TaskAgent(tmp_path / "agent")
    agent.tokens = None
    agent.configuration["rest"] = {
        "certificateFile": str(authority.cert("server")),
        "keyFile": str(authority.key("server")),
        "clientCaFile": str(authority.certificate),
    }
    url = f"https://127.0.0.1:{agent.port}"
    own = trust(authority.certificate, authority.cert("driver"), authority.key("driver"))
    with agent:
        assert Agent(url, None, own).overview().node == "pi-1"
        with pytest.raises(AgentError, match="client certificate"):
            Agent(url, None, trust(authority.certificate, None, None)).overview()
        with pytest.raises(AgentError, match="certificate verify failed"):
            Agent(url, None, trust(None, None, None)).overview()
        words = ["--ca", authority.certificate, "--cert", authority.cert("driver")]
        words += ["--key", authority.key("driver"), "--json"]
        remote = local_cli("remote", "run", str(SAMPLE), "--agent", f"other={url}")
        done = run([*remote, "--results", str(tmp_path / "results"), *map(str, words)])
        # Only who was let in could be told that.
        assert f"other: OtherNode: {url} is pi-1, not other" in failures(done)


CONTENT = b"PAR1"
FILE = {"name": "rows.parquet", "bytes": 4, "sha256": hashlib.sha256(CONTENT).hexdigest()}
MANIFEST: dict[str, Any] = {
    "namespace": "default", "job": "air-quality", "run": "20260301-120000", "node": "pi-1",
    "attempt": "a-1", "files": [FILE],
}  # fmt: skip
TASK = AgentTask(
    id="t", dataset="d", namespace="default", job="air-quality", run="20260301-120000",
    phase="Succeeded",
)  # fmt: skip


@contextmanager
def bad_agent(manifest: dict[str, Any], content: bytes) -> Iterator[Agent]:
    """Give an agent that somebody else wrote: it says what it is told to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            manifest_asked = self.path.endswith("/manifest.json")
            body = json.dumps(manifest).encode() if manifest_asked else content
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_DELETE(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield Agent(f"http://127.0.0.1:{server.server_port}", None, trust(None, None, None))
        finally:
            server.shutdown()


def file(**changed: Any) -> dict[str, Any]:
    return {"files": [{**FILE, **changed}]}


@pytest.mark.parametrize(
    ("changed", "content", "reason"),
    [
        ({"node": "../.."}, CONTENT, "ManifestInvalid"),
        ({"node": "pi-2"}, CONTENT, "ManifestInvalid"),
        ({"attempt": "../../x"}, CONTENT, "ManifestInvalid"),
        ({"attempt": ""}, CONTENT, "ManifestInvalid"),
        (file(name="../../../x"), CONTENT, "ManifestInvalid"),
        (file(name="manifest.json\n"), CONTENT, "ManifestInvalid"),
        ({"files": 7}, CONTENT, "ManifestInvalid"),
        (file(sha256="0" * 64), CONTENT, "DigestMismatch"),
        ({}, b"more than was announced", "DigestMismatch"),
    ],
)
def test_what_an_agent_says_is_not_believed(
    tmp_path: Path, changed: dict[str, Any], content: bytes, reason: str
) -> None:
    results = tmp_path / "results"
    with bad_agent({**MANIFEST, **changed}, content) as agent:
        with pytest.raises(AgentError) as refused:
            collect(agent, TASK, "pi-1", results)
        assert refused.value.reason == reason
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_manifest_that_stands_is_not_replaced(tmp_path: Path) -> None:
    with bad_agent(MANIFEST, CONTENT) as agent:
        for _ in range(2):
            collect(agent, TASK, "pi-1", tmp_path)
    other = bad_agent({**MANIFEST, "attempt": "a-2"}, CONTENT)
    with other as agent, pytest.raises(AgentError, match="another attempt"):
        collect(agent, TASK, "pi-1", tmp_path)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"manifest.json", "rows.parquet"}
