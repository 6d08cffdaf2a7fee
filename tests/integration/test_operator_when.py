"""When runs begin, stop and go on: the real operator, API server and Job controller."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support import operator_process as play
from tests.support.cluster import until
from tests.support.operator_site import Site

FAR = {"schedule": "0 0 29 2 *"}


def ask(site: Site, value: str) -> None:
    note = f"pi-edge-spark.io/run-now={value}"
    site.server.kubectl("annotate", "eej", "air", note, "--overwrite", "-n", site.namespace)


def replay(site: Site) -> None:
    command = [sys.executable, "-m", "edge_etl_operator.cli", "quarantine", "replay", "air"]
    env = {**os.environ, "KUBECONFIG": str(site.server.kubeconfig)}
    done = subprocess.run([*command, "-n", site.namespace], env=env, check=True)
    assert done.returncode == 0


def patch(site: Site, **spec: Any) -> None:
    change = json.dumps({"spec": spec})
    site.server.kubectl("patch", "eej", "air", "--type=merge", "-p", change, "-n", site.namespace)


def test_nothing_runs_before_its_slot_but_what_a_person_asks_for(site: Site) -> None:
    """Peers: run now (KF#1606, #1529)."""
    site.add_node("pi-1")
    site.apply(**FAR, timeZone="Europe/London")
    kubelet = site.kubelet()
    with site.operator():
        until(lambda: site.reason("Scheduled") == "OnSchedule", "the schedule is said")
        assert "run" not in site.status()
        table = site.server.kubectl("get", "eej", "-n", site.namespace).splitlines()
        following = site.status()["nextRunTime"]
        assert following.endswith("-02-29T00:00:00Z")
        assert table[1].split()[:3] == ["air", "Pending", following]
        ask(site, "1")
        kubelet.run_until(lambda: site.phase("Succeeded"), "the run succeeds")
    first = site.status()["run"]["id"]
    # The next operator knows that this value had its run.
    with site.operator():
        ask(site, "1")
        patch(site, key=["sensor_id"])
        generation = site.job()["metadata"]["generation"]
        until(lambda: site.status()["observedGeneration"] == generation, "the edit is seen")
        assert site.status()["run"]["id"] == first
        replay(site)
        kubelet.run_until(
            lambda: site.status()["run"]["id"] > first and site.phase("Succeeded"), "another run"
        )
    status = site.status()
    assert status["lastRunRequest"] == "1"
    assert status["run"]["replay"] is True
    config = site.server.kubectl(
        *("get", "configmap", f"air-{status['run']['id']}-edge", "-n", site.namespace),
        *("-o", r"jsonpath={.data.job\.json}"),
    )
    assert json.loads(config)["replay"] == status["lastReplayRequest"] != ""
    annotations = site.job()["metadata"]["annotations"]
    assert not [key for key in annotations if "kopf" in key]


def test_a_slot_that_passed_while_no_operator_was_there_is_run_once(site: Site) -> None:
    """Peers: a schedule stops silently (KF#787, #998, #3174)."""
    site.add_node("pi-1")
    site.apply(schedule="* * * * *")
    created = datetime.fromisoformat(site.job()["metadata"]["creationTimestamp"])
    slot = created.replace(second=0)
    status = {"observedGeneration": 1, "schedule": "* * * * * (UTC)"}
    status["nextRunTime"] = (slot - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    site.server.kubectl(
        *("patch", "eej", "air", "--subresource=status", "--type=merge", "-n", site.namespace),
        *("-p", json.dumps({"status": status})),
    )
    # It runs at its slot, and the next is far away before anything can begin twice.
    with site.operator():
        until(lambda: "run" in site.status(), "a run begins")
        patch(site, **FAR)
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run succeeds")
    told = site.status()
    last = datetime.fromisoformat(told["lastScheduleTime"])
    assert slot <= last <= datetime.now(UTC)
    assert datetime.fromisoformat(told["missedScheduleTime"]) < last


def test_a_run_that_is_suspended_goes_on_after_a_restart(site: Site) -> None:
    done, left = site.add_nodes(2)
    site.apply(**FAR)
    suspended = True

    def behave(pod: dict[str, Any]) -> play.Outcome:
        if suspended and play.stage(pod) == "edge" and play.node(pod) == left:
            return {"phase": "Running"}
        return play.succeed(pod)

    kubelet = site.kubelet(behave)
    with site.operator():
        until(lambda: site.reason("Scheduled") == "OnSchedule", "the job is seen")
        ask(site, "1")
        kubelet.run_until(lambda: site.status().get("nodesSummary") == "1/2", "a node delivers")
        run = site.status()["run"]["id"]
        patch(site, suspend=True)
        kubelet.run_until(lambda: site.phase("Suspended"), "the run stops")
        kubelet.run_until(lambda: len(site.names("jobs")) == 1, "its Job goes")
    [kept] = [
        each["metadata"]["uid"] for each in site.server.get("jobs", "-n", site.namespace)["items"]
    ]
    suspended = False
    with site.operator():
        patch(site, suspend=False)
        kubelet.run_until(lambda: site.phase("Succeeded"), "the run goes on to its end")
    assert site.status()["run"]["id"] == run
    jobs = {
        each["metadata"]["uid"] for each in site.server.get("jobs", "-n", site.namespace)["items"]
    }
    assert kept in jobs
    assert len(jobs) == 2
    assert done in site.status()["run"]["nodes"]


def test_an_unknown_time_zone_that_is_corrected_recovers_by_itself(site: Site) -> None:
    """Peers: a schedule stays FailedValidation after the fix (KF#787)."""
    site.add_node("pi-1")
    site.apply(**FAR, timeZone="Mars/Phobos")
    with site.operator():
        until(lambda: site.reason("Accepted") == "UnknownTimeZone", "the mistake is said")
        assert "Mars/Phobos" in site.condition("Accepted")["message"]
        patch(site, timeZone="Europe/London")
        until(lambda: site.reason("Scheduled") == "OnSchedule", "it recovers")
    assert site.status()["phase"] == "Pending"


def edge_etl(site: Site, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "edge_etl_operator.cli", "run", *words, "-n", site.namespace],
        env={**os.environ, "KUBECONFIG": str(site.server.kubeconfig)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_person_asks_for_a_run_and_follows_it(site: Site) -> None:
    """Peers: run now (KF#1606, #1529)."""
    site.add_node("pi-1")
    site.apply(**FAR)
    outcomes = iter([play.succeed, lambda pod: play.fail(pod, "broken")])
    behave: Any = next(outcomes)
    kubelet = site.kubelet(lambda pod: behave(pod))
    with site.operator():
        for code, word in ((0, "Succeeded"), (1, "Failed")):
            with edge_etl(site, "air", "--follow", "--timeout", "120") as program:
                kubelet.run_until(lambda: program.poll() is not None, "it is over", timeout=90)
                assert program.stdout is not None
                lines = program.stdout.read().splitlines()
            assert program.returncode == code, lines
            assert "a run is asked for" in lines[0]
            assert len(lines) >= 3
            assert f": {word} (" in lines[-1]
            patch(site, nodes={"backoffLimit": 0})
            behave = next(outcomes, behave)
    with edge_etl(site, "nothing") as program:
        assert program.wait(30) == 2
    patch(site, suspend=True)
    with edge_etl(site, "air") as program:
        assert program.wait(30) == 2
