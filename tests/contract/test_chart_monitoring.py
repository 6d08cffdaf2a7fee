"""Alerts and dashboard ask for figures that the programs really tell, and say what they should."""

import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from edge_etl_operator import metrics, serving
from edge_etl_operator.api import Metadata
from prometheus_client.parser import text_string_to_metric_families

from tests.support import landing
from tests.support import operator_facts as facts
from tests.support.agent import AgentProcess, free_port
from tests.support.chart_extras import alerts, dashboard
from tests.support.chart_objects import Objects, rendered
from tests.support.cluster import tools
from tests.support.operator_facts import World

CASES = Path(__file__).with_name("alerts.test.yaml")
VALUES = {"monitoring": {"alerts": {"enabled": True}, "dashboard": {"enabled": True}}}


@dataclass(frozen=True)
class Series:
    """A figure with its labels."""

    name: str
    labels: Mapping[str, str]
    value: float

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}}"


@pytest.fixture(scope="module")
def objects() -> Objects:
    return rendered(**VALUES)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Series]:
    """Have each program do something, and return what it then tells Prometheus."""
    scratch = tmp_path_factory.mktemp("told")
    found = [*_operator(), *_landing(scratch), *_agent(scratch)]
    # What Prometheus adds to an agent's figures: the chart's PodMonitor says so.
    return [
        Series(one.name, {**one.labels, "node": "pi-1"}, one.value)
        if one.name.startswith("edge_etl_agent_")
        else one
        for one in found
    ]


def _series(text: str) -> Iterator[Series]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("edge_etl_") and not sample.name.endswith("_created"):
                yield Series(sample.name, sample.labels, sample.value)


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310
        return str(answer.read().decode())


def _operator() -> list[Series]:
    """Run a job with a schedule to its end, without one of its Pis."""
    job = Metadata(name="air", namespace="farm")
    nodes = {"minSuccess": 1, "offlinePolicy": "Skip"}
    spec = facts.spec(schedule="0 * * * *")
    spec["nodes"] |= nodes
    world = World(spec=spec).with_nodes("pi-1", "pi-2").off("pi-3").after(3600)
    statuses = [world.job.status]

    def told() -> None:
        metrics.note(job, statuses[-1], world.job.status)
        statuses.append(world.job.status)

    world.settle()
    told()
    world.deliver("pi-1", "pi-2", rejectedByReason={"out_of_range": 3}).settle()
    told()
    world.after(60).pod_is(world.driver, "Succeeded", facts.report()).settle()
    told()
    # Counted where something goes wrong, which it does not here.
    metrics.RECONCILE_ERRORS.labels("ApiError")
    metrics.WATCH_RESTARTS.labels("jobs", "Silent")
    metrics.API_REQUESTS.labels("GET", "200").inc()
    server = serving.serve(0, list)
    try:
        return list(_series(_read(f"http://127.0.0.1:{server.server_address[1]}/metrics")))
    finally:
        server.shutdown()
        server.server_close()


def _landing(scratch: Path) -> list[Series]:
    root = scratch / "results"
    root.mkdir()
    with landing.serving(root, landing.Known()) as url:
        place = "/v1/results/farm/air/dataset.json"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            _read(url + place)
        return list(_series(_read(f"{url}/metrics")))


def _agent(scratch: Path) -> list[Series]:
    mqtt = {"host": "127.0.0.1", "port": free_port(), "topics": [{"pattern": "{sensor_id}"}]}
    with AgentProcess(scratch, {"mqtt": mqtt}) as agent:
        assert agent.send({"sensor_id": "roof", "pm10": 1.5}).status == 200
        assert agent.request("POST", "/v1/readings", "{").status in (400, 415)
        return list(_series(agent.request("GET", "/metrics").body.decode()))


def _promtool(*arguments: str | Path) -> str:
    command = [str(tools.promtool()), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _without(text: str, annotation: str) -> Any:
    rules = yaml.safe_load(text)
    for rule in rules["groups"][0]["rules"]:
        assert rule["annotations"].pop(annotation)
    return rules


def test_each_alert_fires_when_it_should_and_not_before(objects: Objects, tmp_path: Path) -> None:
    text = alerts(objects)
    (tmp_path / "all.yaml").write_text(text)
    _promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "all.yaml")
    # The descriptions, which say the same whatever the figures are, would make the cases longer.
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(_without(text, "description")))
    cases = yaml.safe_load(CASES.read_text())
    cases["rule_files"] = ["rules.yaml"]
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    _promtool("test", "rules", tmp_path / "cases.yaml")
    checks = [check for test in cases["tests"] for check in test["alert_rule_test"]]
    named = {rule["alert"] for rule in yaml.safe_load(text)["groups"][0]["rules"]}
    for wanted in (True, False):
        tested = {each["alertname"] for each in checks if bool(each["exp_alerts"]) is wanted}
        assert tested == named


def test_the_cases_are_of_figures_that_there_are(told: list[Series]) -> None:
    there = {(one.name, frozenset(one.labels)) for one in told}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for given in case["input_series"]:
            name, _, labels = given["series"].partition("{")
            found = frozenset(re.findall(r'(\w+)="', labels))
            assert (name, found) in there, given["series"]


def test_every_figure_that_is_asked_for_is_told(objects: Objects, told: list[Series]) -> None:
    there = {one.name for one in told}
    shown = [alerts(objects), *(query for query, _ in _queries(objects))]
    asked = {name for text in shown for name in re.findall(r"\bedge_etl_\w+", text)}
    assert len(asked) > 20
    assert asked - there == set()


def _queries(objects: Objects) -> list[tuple[str, list[str]]]:
    """Return the dashboard's queries as Grafana sends them, and the labels that legends name."""
    variables = {
        r"\$__rate_interval": "5m",
        r"\$namespace": "farm",
        r"\$job": "air",
    }
    found = []
    for panel in dashboard(objects)["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in variables.items():
                query = re.sub(name, value, query)
            assert "$" not in query, query
            found.append((query, re.findall(r"{{(\w+)}}", target["legendFormat"])))
    return found


def test_every_query_of_the_dashboard_finds_something(
    objects: Objects, told: list[Series], tmp_path: Path
) -> None:
    """All figures rise by one each minute; a query without a result, or a label, is a mistake."""
    queries = _queries(objects)
    assert len(queries) > 20
    checks = []
    for query, labels in queries:
        checks.append((f"group({query})", "{}"))
        for label in labels:
            marked = f'label_replace({query}, "seen", "yes", "{label}", ".+")'
            checks.append((f"group by (seen) ({marked})", '{seen="yes"}'))
    case = {
        "interval": "1m",
        "input_series": [{"series": str(one), "values": f"{one.value:.0f}+1x60"} for one in told],
        "promql_expr_test": [
            {"expr": query, "eval_time": "30m", "exp_samples": [{"labels": found, "value": 1}]}
            for query, found in checks
        ],
    }
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"tests": [case]}))
    _promtool("test", "rules", tmp_path / "queries.yaml")


def test_every_panel_has_a_place_of_its_own(objects: Objects) -> None:
    document = dashboard(objects)
    places = [each["gridPos"] for each in document["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({each["id"] for each in document["panels"]}) == len(places)
