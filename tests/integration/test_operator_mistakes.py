"""What a person sees when something is wrong: reasons and names, with the real operator."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from tests.support import operator_process as play
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import until
from tests.support.operator_site import Site

# The table of operator/README.md.
PERMISSIONS = (
    ("pi-edge-spark.io", "edgeetljobs", ("get", "list", "watch")),
    ("pi-edge-spark.io", "edgeetljobs/status", ("update",)),
    ("pi-edge-spark.io", "edgeetljobs/finalizers", ("update",)),
    ("batch", "jobs", ("get", "list", "watch", "create", "delete")),
    ("", "pods", ("get", "list", "watch", "create", "delete")),
    ("", "configmaps", ("get", "create", "delete")),
    ("", "events", ("list",)),
    ("events.k8s.io", "events", ("create",)),
    ("", "nodes", ("list", "watch")),
)


def test_a_source_that_is_not_allowed(site: Site) -> None:
    site.add_nodes(1)
    site.apply(source={"name": "secrets"})
    with site.operator():
        until(lambda: site.reason("Accepted") == "SourceNotAllowed", "the refusal")
        condition = site.condition("Accepted")
        assert condition["status"] == "False"
        assert "'secrets'" in condition["message"]
        assert "are: sensors" in condition["message"]
        assert site.phase("Failed")
        assert site.names("jobs") == []
        # A spec that is corrected recovers by itself (KF#998, #3174).
        site.apply()
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the corrected job succeeds")


def test_no_landing_service_in_the_namespace(site: Site) -> None:
    site.add_nodes(1)
    site.apply()
    elsewhere = {"namespace": "pi-edge-spark", "url": "http://landing:8080", "claim": "results"}
    with site.operator(landing=elsewhere):
        until(lambda: site.reason("Accepted") == "LandingUnavailable", "the refusal")
    message = site.condition("Accepted")["message"]
    assert "'pi-edge-spark'" in message
    assert "spec.results.volumeClaim" in message


def test_without_a_matching_node_it_waits_and_then_starts(site: Site) -> None:
    site.add_node("pi-cordoned", unschedulable=True)
    site.apply()
    with site.operator():
        until(lambda: site.reason("EdgeComplete") == "NoMatchingNode", "the reason")
        message = site.condition("EdgeComplete")["message"]
        assert f"site={site.namespace}" in message
        assert "pi-cordoned" in message
        assert site.phase("Pending")
        assert "run" not in site.status()
        site.add_node("pi-1")
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run succeeds")
    assert site.reason("Degraded") == "NodesCordoned"


def test_an_image_that_does_not_exist_is_said_at_once_and_ends_at_the_deadline(site: Site) -> None:
    """Peers: stuck for ever in SUBMITTED on ImagePullBackOff (KF#686, #2872, #2667)."""
    good, bad = site.add_nodes(2)
    site.apply(nodes=_nodes(site, activeDeadlineSeconds=8, backoffLimit=0))

    def behave(pod: dict[str, Any]) -> play.Outcome:
        if play.node(pod) == good:
            return play.succeed(pod)
        return play.wait(pod, "ImagePullBackOff", "Back-off pulling image")

    kubelet = site.kubelet(behave)
    with site.operator():
        kubelet.run_until(lambda: site.reason("EdgeComplete") == "ImageUnavailable", "the reason")
        message = site.condition("EdgeComplete")["message"]
        assert bad in message
        assert "localhost/pi-edge-spark/edge:test" in message
        kubelet.run_until(lambda: site.phase("Failed"), "the run fails")
    condition = site.condition("Succeeded")
    assert (condition["status"], condition["reason"]) == ("False", "NodeFailed")
    assert bad in condition["message"]
    assert "Back-off pulling image" in condition["message"]
    phases = {node["name"]: node["phase"] for node in site.status()["nodes"]}
    assert phases == {good: "Succeeded", bad: "Failed"}


def test_a_node_that_fails_is_named_with_its_real_reason(site: Site) -> None:
    """Peers: the real reason of a failure is not shown (KF#383, #2904)."""
    good, starved, broken = site.add_nodes(3)
    site.apply(nodes=_nodes(site, backoffLimit=0))

    def behave(pod: dict[str, Any]) -> play.Outcome:
        said: dict[str, Any] = {"succeeded": False, "reason": "StateCorrupt"}
        said["message"] = "the ledger is damaged"
        if play.node(pod) == starved:
            return play.fail(pod, "", reason="OOMKilled")
        if play.node(pod) == broken:
            delivered = play.succeed(pod, **said)["containerStatuses"][0]["state"]["terminated"]
            return play.fail(pod, delivered["message"])
        return play.succeed(pod)

    with site.operator():
        site.kubelet(behave).run_until(lambda: site.phase("Failed"), "the run fails")
    reasons = {node["name"]: node["reason"] for node in site.status()["nodes"]}
    assert reasons == {good: "Delivered", starved: "OutOfMemory", broken: "StateCorrupt"}
    message = site.condition("EdgeComplete")["message"]
    assert "512Mi" in message
    assert "the ledger is damaged" in message
    assert not [name for name in site.names("pods") if name.endswith("-driver")]


def test_a_quota_that_refuses_the_pods(site: Site) -> None:
    site.add_nodes(1)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    site.server.apply({**quota, "spec": {"hard": {"pods": "0"}}}, site.namespace)
    used = json.dumps({"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}})
    site.server.kubectl(
        *("patch", "resourcequota", "none", "-n", site.namespace),
        "--subresource=status",
        "-p",
        used,
    )
    site.apply()
    with site.operator():
        until(lambda: site.reason("EdgeComplete") == "QuotaExceeded", "the reason")
    assert "exceeded quota" in site.condition("EdgeComplete")["message"]


def test_the_run_ends_at_its_deadline_and_stops_what_goes_on(site: Site) -> None:
    """Peers: stuck for ever on a missing claim (KF#686)."""
    site.add_nodes(2)
    site.apply(activeDeadlineSeconds=4)
    message = 'persistentvolumeclaim "results" not found'
    with site.operator():
        kubelet = site.kubelet(lambda pod: play.unschedulable(message))
        kubelet.run_until(lambda: site.phase("Failed"), "the run fails")
        assert site.reason("Succeeded") == "RunDeadlineExceeded"
        assert message in site.condition("Succeeded")["message"]
        kubelet.run_until(lambda: not site.names("jobs"), "the Jobs are gone")
        kubelet.run_until(lambda: not site.names("pods"), "the pods are gone")


def test_a_driver_that_fails(site: Site) -> None:
    """Peers: a driver without rights is "ExitCode: 1, Reason: Error"."""
    site.add_nodes(1)
    site.apply()
    tail = 'pods is forbidden: User "spark" cannot create resource "pods"'

    def behave(pod: dict[str, Any]) -> play.Outcome:
        return play.succeed(pod) if play.stage(pod) == "edge" else play.fail(pod, tail)

    with site.operator():
        site.kubelet(behave).run_until(lambda: site.phase("Failed"), "the run fails")
    condition = site.condition("Aggregated")
    assert (condition["status"], condition["reason"]) == ("False", "AggregationFailed")
    assert tail in condition["message"]
    assert site.condition("EdgeComplete")["status"] == "True"


def test_odd_results_degrade_but_do_not_fail(site: Site) -> None:
    empty, odd, fine = site.add_nodes(3)
    site.apply()

    def behave(pod: dict[str, Any]) -> play.Outcome:
        seen: dict[str, Any] = {"columns_missing": ("pm10",), "columns_seen": ("P2", "sensor_id")}
        if play.stage(pod) != "edge":
            return play.succeed(pod)
        if play.node(pod) == empty:
            return play.succeed(
                pod, 0, rows_clean=0, rows_rejected=0, files_read=0, reason="NoFiles"
            )
        if play.node(pod) == odd:
            told = "1 file quarantined, photo.csv: not text"
            return play.succeed(pod, files_quarantined=1, message=told, **seen)
        return play.succeed(pod, **seen)

    with site.operator():
        site.kubelet(behave).run_until(lambda: site.phase("Succeeded"), "the run succeeds")
    condition = site.condition("Degraded")
    assert (condition["status"], condition["reason"]) == ("True", "FieldNotFound")
    for part in ("field pm10 (column P1)", "P2, sensor_id", f"{odd}: 1 file", "photo.csv", empty):
        assert part in condition["message"]
    assert fine not in condition["message"]


def test_another_owners_object_is_never_adopted(site: Site) -> None:
    site.add_nodes(1)
    now = datetime.now(UTC)
    names = [f"air-{(now + timedelta(seconds=each)):%Y%m%d-%H%M%S}-edge" for each in range(60)]
    strange = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in names
    ]
    site.server.apply({"apiVersion": "v1", "kind": "List", "items": strange}, site.namespace)
    site.apply()
    with site.operator():
        until(lambda: site.reason("EdgeComplete") == "NameTaken", "the reason")
        run = site.status()["run"]["id"]
        assert f"air-{run}-edge" in site.condition("EdgeComplete")["message"]
        site.server.kubectl("delete", "configmap", "-n", site.namespace, f"air-{run}-edge")
        # It is tried again after up to a minute.
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run goes on", timeout=150)


def test_an_edited_job_starts_again_and_an_unchanged_meaning_does_not(site: Site) -> None:
    """Peers: any spec edit restarts everything (KF#2766, #3151)."""
    site.add_nodes(1)
    site.apply()
    with site.operator():
        kubelet = site.kubelet()
        kubelet.run_until(lambda: site.phase("Succeeded"), "the first run")
        first = site.status()["run"]["id"]
        site.apply(aggregate={"driver": {"memory": "2g"}})
        until(lambda: site.status()["observedGeneration"] == 2, "the edit is seen")
        assert site.status()["run"]["id"] == first
        site.apply(source={"name": "sensors", "include": ["*.csv"]})
        kubelet.run_until(lambda: site.status()["run"]["id"] > first, "another run begins")
        kubelet.run_until(lambda: site.phase("Succeeded"), "the second run")
    assert len(site.names("jobs")) == 2


def test_an_edit_in_the_middle_of_a_run_replaces_it(site: Site) -> None:
    site.add_nodes(1)
    site.apply()
    with site.operator():
        idle = site.kubelet(lambda pod: play.wait(pod, "ContainerCreating"))
        idle.run_until(lambda: site.names("pods"), "the first run's pod")
        first = site.status()["run"]["id"]
        site.apply(source={"name": "sensors", "include": ["*.csv"]})
        kubelet = site.kubelet()
        idle.run_until(lambda: site.status()["run"]["id"] > first, "another run begins")
        kubelet.run_until(lambda: site.phase("Succeeded"), "the second run")
    assert all(first not in name for name in site.names("jobs"))


def test_deletion_in_the_middle_of_a_run_leaves_nothing(site: Site) -> None:
    site.add_nodes(1)
    site.apply()
    with site.operator() as operator:
        idle = site.kubelet(lambda pod: play.wait(pod, "ContainerCreating"))
        idle.run_until(lambda: site.names("pods"), "the pod")
        site.server.kubectl("delete", "eej", "air", "-n", site.namespace, "--timeout=20s")
        for kind in ("jobs", "pods", "configmaps"):
            idle.run_until(lambda kind=kind: not site.names(kind), f"no {kind}")  # type: ignore[misc]
        assert operator.running


def test_wrong_settings_end_the_operator_with_a_message(site: Site) -> None:
    operator = site.operator(sources={"sensors": "relative/path"}).start()
    until(lambda: not operator.running, "the operator ends")
    said = operator.log_file.read_text()
    assert "settings.yaml" in said
    assert "$.sources" in said
    assert "Traceback" not in said


def _nodes(site: Site, **changes: Any) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"site": site.namespace}}, **changes}


def test_a_missing_permission_is_named_by_verb_and_resource(site: Site, tmp_path: Path) -> None:
    site.add_nodes(1)
    _grant(site, but=("batch", "jobs", "create"))
    site.apply()
    with site.operator(_kubeconfig(site, tmp_path)):
        until(lambda: site.reason("EdgeComplete") == "PermissionMissing", "the reason")
        message = site.condition("EdgeComplete")["message"]
        assert 'cannot create resource "jobs" in API group "batch"' in message
        _grant(site)
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run goes on")


def test_without_the_right_to_look_the_job_says_so(site: Site, tmp_path: Path) -> None:
    _grant(site, but=("", "pods", "list"))
    site.apply()
    with site.operator(_kubeconfig(site, tmp_path)):
        until(lambda: site.reason("EdgeComplete") == "PermissionMissing", "the reason")
    assert 'cannot list resource "pods"' in site.condition("EdgeComplete")["message"]


def test_a_namespace_without_its_role_does_not_stop_the_others(site: Site, tmp_path: Path) -> None:
    """Peers: a namespace without its Role ends the whole operator."""
    site.add_nodes(1)
    _grant(site)
    site.apply()
    where = (f"--namespace={site.namespace}", "--namespace=default")
    with site.operator(_kubeconfig(site, tmp_path), where) as operator:
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run succeeds")
        assert operator.running
        said = operator.log_file.read_text()
        assert "cannot list resource" in said


def test_an_operator_for_the_whole_cluster_serves_every_namespace(site: Site) -> None:
    site.add_nodes(1)
    site.apply()
    with site.operator(where=["--all-namespaces"]):
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run succeeds")


def test_an_operator_that_starts_before_the_crd_waits_for_it(site: Site) -> None:
    site.add_nodes(1)
    site.apply()
    answers = iter((404, 503))

    def refuse(method: str, path: str) -> int:
        return next(answers, 0) if path == "/apis/pi-edge-spark.io/v1alpha1" else 0

    with (
        ApiProxy(site.server.kubeconfig, site.folder, refuse=refuse) as proxy,
        site.operator(proxy.client_config()),
    ):
        site.kubelet().run_until(lambda: site.phase("Succeeded"), "the run succeeds")


def _grant(site: Site, but: tuple[str, str, str] | None = None) -> None:
    """Give the account `operator` what the README's table says, but for one permission."""
    rules = [
        (group, resource, [verb for verb in verbs if (group, resource, verb) != but])
        for group, resource, verbs in PERMISSIONS
    ]
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": site.namespace}
    for kind, chosen in (
        ("Role", [rule for rule in rules if rule[1] != "nodes"]),
        ("ClusterRole", [rule for rule in rules if rule[1] == "nodes"]),
    ):
        name = f"operator-{site.namespace}"
        document = [
            {"apiGroups": [group], "resources": [resource], "verbs": verbs}
            for group, resource, verbs in chosen
        ]
        base = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        site.server.apply({**base, "kind": kind, "rules": document}, site.namespace)
        binding = {**base, "kind": f"{kind}Binding", "roleRef": reference, "subjects": [subject]}
        site.server.apply(binding, site.namespace)


def _kubeconfig(site: Site, folder: Path) -> Path:
    """Write a kubeconfig of the account `operator`."""
    site.server.kubectl("create", "serviceaccount", "operator", "-n", site.namespace)
    token = site.server.kubectl("create", "token", "operator", "-n", site.namespace).strip()
    config = yaml.safe_load(site.server.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
