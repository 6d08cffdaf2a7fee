"""The real operator against a real API server and Job controller; tests play the kubelet."""

import itertools
import json

from tests.support import operator_process as play
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import until
from tests.support.operator_site import Site


def test_a_run_from_apply_to_succeeded(site: Site) -> None:
    nodes = [site.add_node(f"pi-{number}") for number in (1, 2, 3)]
    site.apply()
    with site.operator() as operator:
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run succeeds")
        assert not [line for line in operator.log() if line.get("levelname") == "ERROR"]
    status = site.status()
    run = status["run"]["id"]
    assert status["run"]["nodes"] == nodes
    assert [node["phase"] for node in status["nodes"]] == ["Succeeded"] * 3
    assert (status["nodesSummary"], status["rows"], status["rejectedRatio"]) == ("3/3", 294, "2.0%")
    assert site.condition("Succeeded")["status"] == "True"
    assert len(site.names("jobs")) == 3
    assert len(site.names("pods")) == 4
    table = site.server.kubectl("get", "eej", "-n", site.namespace).splitlines()
    assert table[0].split() == [
        *("NAME", "PHASE", "NODES", "ROWS", "REJECTED", "LAST-RUN", "NEXT-RUN", "AGE")
    ]
    assert table[1].split()[:5] == ["air", "Succeeded", "3/3", "294", "2.0%"]
    events = site.server.get("events.events.k8s.io", "-n", site.namespace)["items"]
    told = [event["reason"] for event in events if event["regarding"]["name"] == "air"]
    assert sorted(told) == ["AllNodesDelivered", "RunStarted", "RunSucceeded"]
    described = site.server.kubectl("describe", "eej", "air", "-n", site.namespace)
    assert "Run " + run + " began on 3 nodes" in described
    [name] = [name for name in site.names("configmaps") if f"{run}-driver" in name]
    config = site.server.get("configmap", name, "-n", site.namespace)
    document = json.loads(config["data"]["aggregation.json"])
    assert {each["node"] for each in document["nodes"]} == set(nodes)


def test_killed_at_every_write_it_ends_as_if_nothing_had_happened(site: Site) -> None:
    """Peers: an operator restart resubmitted everything (stackable#457)."""
    site.add_nodes(3)
    site.apply()
    operator: play.OperatorProcess
    kills: list[str] = []

    def kill(moment: str, method: str, path: str) -> bool:
        # Each operator lives for one write, and every fourth one dies before it is done.
        if moment != ("before" if len(kills) % 4 == 3 else "after"):
            return False
        kills.append(f"{moment} {method} {path}")
        operator.kill()
        return True

    def step() -> bool:
        if not operator.running:
            operator.start()
        return site.phase("Succeeded", "Failed")

    with ApiProxy(site.server.kubeconfig, site.folder, at_write=kill) as proxy:
        operator = site.operator(proxy.client_config())
        with operator:
            site.kubelet().run_until(step, "the run ends", timeout=240)
    assert site.phase("Succeeded")
    # At the least: the beginning, a ConfigMap, the Jobs at once, EdgeComplete, a ConfigMap, the
    # driver, the end.
    assert len(kills) >= 7
    created = [write for write in proxy.writes if write.method == "POST" and write.status == 201]
    _assert_complete(site)
    kinds = [write.path.rsplit("/", 1)[-1] for write in created]
    made = [kind for kind in kinds if kind != "events"]
    assert sorted(made) == ["configmaps", "configmaps", "jobs", "jobs", "jobs", "pods"]


def test_after_a_restart_it_writes_nothing_when_nothing_changed(site: Site) -> None:
    """Peers: one write for each existing application after a restart."""
    site.add_nodes(2)
    site.apply()
    with site.operator():
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run succeeds")
    before = site.job()["metadata"]["resourceVersion"]
    with (
        ApiProxy(site.server.kubeconfig, site.folder) as proxy,
        site.operator(proxy.client_config()),
    ):
        # It lists the nodes to decide, and only afterwards it could write.
        until(lambda: _count(proxy.reads, "edgeetljobs/air") >= 1, "a reconcile")
        site.add_node("pi-9")
        until(lambda: _count(proxy.reads, "edgeetljobs/air") >= 2, "another reconcile")
    assert proxy.writes == []
    assert site.job()["metadata"]["resourceVersion"] == before


def test_an_api_server_that_often_refuses_only_delays(site: Site) -> None:
    site.add_nodes(3)
    site.apply()
    # About one request in eight, so that a reconcile of six requests often fails.
    codes = itertools.cycle(
        code for refusal in (429, 503, 410, 500, 504) for code in (*[0] * 7, refusal)
    )

    def refuse(method: str, path: str) -> int:
        # Not the discovery, which kopf does once: without it there is nothing to test.
        return next(codes) if f"namespaces/{site.namespace}" in path or "nodes" in path else 0

    with (
        ApiProxy(site.server.kubeconfig, site.folder, refuse=refuse) as proxy,
        site.operator(proxy.client_config()) as operator,
    ):
        site.kubelet().run_until(lambda: site.phase("Succeeded", "Failed"), "the end", timeout=120)
        assert operator.running
    _assert_complete(site)


def _count(paths: list[str], part: str) -> int:
    return sum(part in path for path in paths)


def _assert_complete(site: Site) -> None:
    status = site.status()
    assert [node["phase"] for node in status["nodes"]] == ["Succeeded"] * 3
    assert (status["nodesSummary"], status["rowsRead"], status["rows"]) == ("3/3", 300, 294)
    truths = {each["type"]: each["status"] for each in status["conditions"]}
    assert truths == {
        "Accepted": "True",
        "EdgeComplete": "True",
        "Aggregated": "True",
        "Succeeded": "True",
        "Degraded": "False",
    }
    assert len(site.names("jobs")) == 3
    assert len(site.names("pods")) == 4
    assert len(site.names("configmaps")) == 2
