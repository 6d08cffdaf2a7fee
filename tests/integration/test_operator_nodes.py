"""Pis that come and go, and what runs leave: the real operator, API server and Job controller."""

import json
from typing import Any

from tests.support import operator_process as play
from tests.support.operator_site import Site


def behaving(site: Site, off: set[str]) -> play.Kubelet:
    """Return a kubelet whose nodes in `off` never end what they run."""

    def behave(pod: dict[str, Any]) -> play.Outcome:
        if play.stage(pod) == "edge" and play.node(pod) in off:
            return {"phase": "Running"}
        return play.succeed(pod)

    return site.kubelet(behave)


def nodes(site: Site, **fields: Any) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"site": site.namespace}}, **fields}


def test_a_pi_that_goes_off_is_done_without_and_completes_the_run_when_it_is_back(
    site: Site,
) -> None:
    *_, last = site.add_nodes(3)
    site.apply(nodes=nodes(site, minSuccess=2, lateDataPolicy="Reaggregate"))
    off = {last}
    kubelet = behaving(site, off)
    with site.operator():
        kubelet.run_until(lambda: site.status().get("nodesSummary") == "2/3", "two deliver")
        assert site.phase("Cleaning")
        site.heard_of(last, "Unknown")
        kubelet.run_until(lambda: site.phase("PartiallySucceeded"), "the run ends without it")
        status = site.status()
        run = status["run"]
        assert run["missing"] == [last]
        assert status["nodes"][2]["phase"] == "Offline"
        [config] = [name for name in site.names("configmaps") if "-driver" in name]
        document = site.server.get("configmap", config, "-n", site.namespace)
        said = json.loads(document["data"]["aggregation.json"])
        assert (len(said["nodes"]), said["missingNodes"]) == (2, [last])
    off.clear()
    # The next operator knows it too.
    with site.operator():
        site.heard_of(last)
        kubelet.run_until(lambda: site.phase("Succeeded"), "the run is completed")
    status = site.status()
    assert (status["run"]["id"], status["nodesSummary"]) == (run["id"], "3/3")
    assert f"air-{run['id']}-driver-2" in site.names("pods")


def test_what_runs_leave_goes_with_the_history_limit(site: Site) -> None:
    site.add_nodes(2)
    site.apply(successfulRunsHistoryLimit=1)
    kubelet = site.kubelet()
    with site.operator():
        kubelet.run_until(lambda: site.phase("Succeeded"), "the run succeeds")
        first = site.status()["run"]["id"]
        note = "pi-edge-spark.io/run-now=1"
        site.server.kubectl("annotate", "eej", "air", note, "-n", site.namespace)
        kubelet.run_until(
            lambda: site.status()["run"]["id"] > first and site.phase("Succeeded"), "another run"
        )

        def left() -> bool:
            kinds = ("jobs", "pods", "configmaps")
            return any(first in name for kind in kinds for name in site.names(kind))

        kubelet.run_until(lambda: not left(), "the first run's objects go")
    counts = [len(site.names(kind)) for kind in ("jobs", "pods", "configmaps")]
    assert counts == [2, 3, 2]
    assert [run["id"] for run in site.status()["runs"]][1] == first


def test_a_job_that_is_deleted_in_a_run_waits_for_no_operator(site: Site) -> None:
    node, *_ = site.add_nodes(2)
    kubelet = behaving(site, {node})
    site.apply()
    with site.operator() as operator:
        kubelet.run_until(lambda: site.status().get("nodesSummary") == "1/2", "one delivers")
        operator.kill()
    uid = site.job()["metadata"]["uid"]
    assert "finalizers" not in site.job()["metadata"]
    site.server.kubectl("delete", "eej", "air", "-n", site.namespace, "--timeout=30s")
    # All that it had created goes with it, by the garbage collector.
    for kind in ("jobs", "configmaps"):
        for each in site.server.get(kind, "-n", site.namespace, "-l", "pi-edge-spark.io/job")[
            "items"
        ]:
            assert [owner["uid"] for owner in each["metadata"]["ownerReferences"]] == [uid]
    # One of the same name is another job: what is left of the first is not taken for its own.
    with site.operator() as operator:
        site.apply(schedule="0 0 29 2 *")
        kubelet.run_until(lambda: site.reason("Scheduled") == "OnSchedule", "the new one is seen")
        assert "run" not in site.status()
        assert not [line for line in operator.log() if line.get("levelname") == "ERROR"]
