"""The HTML of a report: facts in, one page out, without any I/O but the template's.

The page is whole in itself: no script, no font, no picture and no request; its own policy forbids
them. What it says of a run is bounded, and it says what it leaves out.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from edge_etl_spark.run_report import chart as charts
from edge_etl_spark.run_report.facts import Example, NodeFacts, RunFacts
from edge_etl_spark.run_report.figures import field_charts
from edge_etl_spark.run_report.wording import TEXT, clock, cut, duration, share, size, value

NODES_SHOWN: Final = 100
DIFFERING_SHOWN: Final = 20
REASONS_SHOWN: Final = 16
EXAMPLES_SHOWN: Final = 3
"""For each reason."""
TIMED_NODES: Final = 24
FILES_SHOWN: Final = 20
_MESSAGE: Final = 1200

_STYLE: Final = Path(__file__).with_name("report.css").read_text()
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Reason:
    """Why rows were rejected: how many, on which nodes, and examples."""

    name: str
    rows: int
    share: float
    """Of all rejected rows."""
    nodes: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Bar:
    """A line of the timeline: seconds after the run's begin, and shares of its length."""

    name: str
    what: str
    begin: float
    seconds: float
    left: float
    width: float


def page(facts: RunFacts) -> str:
    """Return the report of a run as one HTML document of less than a megabyte."""
    shown = _by_need(facts.nodes)[:NODES_SHOWN]
    reasons = _reasons(facts)
    differing = _differing(facts)
    return _ENVIRONMENT.get_template("report.html.jinja").render(
        facts=facts,
        nodes=shown,
        nodes_left_out=len(facts.nodes) - len(shown),
        total=_total(facts.nodes),
        counts={
            state: sum(node.state == state for node in facts.nodes)
            for state in ("delivered", "late", "set apart", "missing")
        },
        notices=tuple(_notices(facts)),
        reasons=reasons[:REASONS_SHOWN],
        reasons_left_out=len(reasons) - len(reasons[:REASONS_SHOWN]),
        files=_quarantined(facts.nodes)[:FILES_SHOWN],
        files_left_out=max(0, len(_quarantined(facts.nodes)) - FILES_SHOWN),
        bars=_timeline(facts),
        bars_left_out=max(0, len(_timed(facts.nodes)) - TIMED_NODES),
        charts=field_charts(facts.features),
        differing=differing[:DIFFERING_SHOWN],
        differing_left_out=max(0, len(differing) - DIFFERING_SHOWN),
        message=cut(facts.outcome.message, _MESSAGE),
        text_limit=TEXT,
        size_of_chart=(charts.WIDTH, charts.HEIGHT, charts.LEFT),
        style=Markup(_STYLE),  # noqa: S704  # our own file
        style_hash=b64encode(sha256(_STYLE.encode()).digest()).decode(),
        **_FORMATS,
    )


def _by_need(nodes: Sequence[NodeFacts]) -> list[NodeFacts]:
    """Return the nodes by name, what needs attention first."""
    order = {"missing": 0, "set apart": 1, "late": 3, "delivered": 3}

    def need(node: NodeFacts) -> int:
        return min(order[node.state], 2 if node.quarantined or node.drift else 3)

    return sorted(nodes, key=lambda node: (need(node), node.name))


def _total(nodes: Sequence[NodeFacts]) -> NodeFacts:
    """Return the sums of all nodes."""
    return NodeFacts(
        name="all",
        state="delivered",
        run="",
        files=sum(node.files for node in nodes),
        rows_read=sum(node.rows_read for node in nodes),
        rows_clean=sum(node.rows_clean for node in nodes),
        rows_rejected=sum(node.rows_rejected for node in nodes),
        rows_duplicate=sum(node.rows_duplicate for node in nodes),
        bytes_read=sum(node.bytes_read for node in nodes),
        bytes_shipped=sum(node.bytes_shipped for node in nodes),
        bytes_of_features=sum(node.bytes_of_features for node in nodes),
    )


def _notices(facts: RunFacts) -> Sequence[tuple[str, str]]:
    """Return what a person should look at: a sentence, and the section that says more."""
    nodes = facts.nodes
    found = (
        (sum(node.state == "missing" for node in nodes), "did not deliver", "nodes"),
        (sum(node.state == "set apart" for node in nodes), "kept out of the table", "schema"),
        (sum(node.state == "late" for node in nodes), "late for an earlier run", "nodes"),
        (sum(bool(node.quarantined) for node in nodes), "with unreadable files", "rejected"),
        (
            sum(bool(node.drift) and node.state != "set apart" for node in nodes),
            "unlike their fleet",
            "schema",
        ),
    )
    return [
        (f"{count:,} {'Pi' if count == 1 else 'Pis'} {what}", where)
        for count, what, where in found
        if count
    ]


def _reasons(facts: RunFacts) -> list[Reason]:
    """Return why rows were rejected, the most frequent reason first."""
    rows: dict[str, int] = {}
    nodes: dict[str, int] = {}
    for node in facts.nodes:
        for reason, count in node.rejected_by_reason.items():
            rows[reason] = rows.get(reason, 0) + count
            nodes[reason] = nodes.get(reason, 0) + 1
    every = sum(rows.values())
    return [
        Reason(
            name=reason,
            rows=count,
            share=count / every,
            nodes=nodes[reason],
            examples=tuple(each for each in facts.examples if each.reason == reason)[
                :EXAMPLES_SHOWN
            ],
        )
        for reason, count in sorted(rows.items(), key=lambda item: (-item[1], item[0]))
        if count
    ]


def _quarantined(nodes: Sequence[NodeFacts]) -> list[tuple[str, str, str]]:
    return [(node.name, file.path, file.why) for node in nodes for file in node.quarantined]


def _timed(nodes: Sequence[NodeFacts]) -> list[tuple[NodeFacts, datetime]]:
    """Return the nodes that delivered in the run and said when, the last one first."""
    timed = [
        (node, node.delivered_at)
        for node in nodes
        if node.delivered_at is not None and node.state != "late"
    ]
    return sorted(timed, key=lambda pair: (pair[1], pair[0].name), reverse=True)


def _timeline(facts: RunFacts) -> tuple[Bar, ...]:
    """Return what took how long: nodes from the run's begin to their delivery, then the steps."""
    spans: list[tuple[str, str, datetime, datetime]] = [
        (node.name, "cleaning", facts.began, at)
        for node, at in reversed(_timed(facts.nodes)[:TIMED_NODES])
    ]
    began = [*(step.began for step in facts.steps), facts.ended]
    spans += [
        (step.name, step.what, step.began, end)
        for step, end in zip(facts.steps, began[1:], strict=True)
    ]
    whole = max((facts.ended - facts.began).total_seconds(), 0.001)
    return tuple(_bar(facts.began, whole, *span) for span in spans)


def _bar(
    began: datetime, whole: float, name: str, what: str, since: datetime, until: datetime
) -> Bar:
    # The clocks of a Pi and of the cluster differ: nothing ends before it begins.
    begin = min(max((since - began).total_seconds(), 0.0), whole)
    end = min(max((until - began).total_seconds(), begin), whole)
    return Bar(
        name, what, begin, end - begin, 100 * begin / whole, max(0.4, 100 * (end - begin) / whole)
    )


def _differing(facts: RunFacts) -> tuple[tuple[NodeFacts, str, str], ...]:
    """Return the nodes that lack a column which most have, or have one that no other has."""
    readers = [node for node in facts.nodes if node.columns_seen or node.columns_missing]
    lacking = Counter(name for node in readers for name in node.columns_missing)
    having = Counter(name for node in readers for name in node.columns_seen)
    found = []
    for node in readers:
        missing = sorted(name for name in node.columns_missing if 2 * lacking[name] < len(readers))
        extra = sorted(name for name in node.columns_seen if having[name] == 1 < len(readers))
        if missing or extra or node.drift:
            found.append((node, cut(", ".join(missing)), cut(", ".join(extra))))
    return tuple(found)


_FORMATS: Final[dict[str, Callable[..., str]]] = {
    "cut": cut,
    "value": value,
    "size": size,
    "duration": duration,
    "share": share,
    "clock": clock,
}
