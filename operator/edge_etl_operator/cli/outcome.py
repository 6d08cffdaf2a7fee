"""What a run that was driven from here did, for people and as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.documents import AggregationReport, NodeSummary

NO_FILES: Final = "NoFiles"
"""The edge program's reason when nothing in the source matches."""


@dataclass(frozen=True)
class Outcome:
    """A run's end: what each node said, what the aggregation said, and where the table lies."""

    job: EdgeETLJob
    run: str
    results: Path
    seconds: float
    nodes: tuple[NodeSummary, ...]
    aggregation: AggregationReport | None
    kind: str = "LocalRun"
    """The kind of document that tells of it."""
    refusal: str = ""
    """Why nothing was merged, where the nodes are the reason."""
    report: Path | None = None
    """The report for people."""
    logs: dict[str, Path] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the run did all that it had to."""
        return self.aggregation is not None and self.aggregation.succeeded

    @property
    def table(self) -> Path | None:
        """The directory that always holds the last whole version of the table, if there is one."""
        if self.aggregation is None or not self.aggregation.version:
            return None
        return self.results / self.job.namespace / self.job.name / "table" / "current"

    @property
    def failures(self) -> Iterator[str]:
        """Say what failed and why, a sentence each."""
        for node in self.nodes:
            if not node.succeeded:
                yield f"{node.node}: {node.reason}: {node.message}"
        if self.aggregation and not self.aggregation.succeeded:
            yield f"aggregation: {self.aggregation.reason}: {self.aggregation.message}"

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as one JSON document."""
        return {
            "namespace": self.job.namespace,
            "job": self.job.name,
            "run": self.run,
            "succeeded": self.succeeded,
            "failures": list(self.failures),
            "seconds": round(self.seconds, 1),
            "nodes": [msgspec.to_builtins(node) for node in self.nodes],
            "aggregation": msgspec.to_builtins(self.aggregation),
            "table": str(self.table) if self.table else None,
            "report": str(self.report) if self.report else None,
        }


def show(outcome: Outcome, console: Console) -> None:
    """Print what each node did, what is to be noticed, and where the table lies."""
    console.print(_nodes_table(outcome.nodes))
    # As Text: what is in brackets is no markup, but a message's own.
    for notice in _notices(outcome):
        console.print(Text(notice, style="yellow"), soft_wrap=True)
    for failure in outcome.failures:
        console.print(
            Text("failed: ", style="red").append(failure, style="default"), soft_wrap=True
        )
    if outcome.refusal:
        console.print(Text(f"nothing was merged: {outcome.refusal}"), soft_wrap=True)
    report = outcome.aggregation
    if report is None or not report.succeeded:
        logs = sorted({str(_near(path.parent)) for path in outcome.logs.values()})
        console.print(Text(f"logs: {', '.join(logs)}"), soft_wrap=True)
    elif outcome.table is None:
        console.print(Text(report.message), soft_wrap=True)
    else:
        console.print(
            f"[green]{report.rows:,} rows[/] in the table (version {report.version}): "
            f"{report.rows_added:,} new, {report.rows_duplicate:,} duplicates removed, "
            f"in {outcome.seconds:.0f} s",
            highlight=False,
        )
        console.print(Text(f"table: {_near(outcome.table)}"), soft_wrap=True)


def show_report(outcome: Outcome, console: Console) -> None:
    """Print where the report lies."""
    if outcome.report:
        console.print(Text(f"report: {_near(outcome.report)}"), soft_wrap=True)


def _nodes_table(nodes: tuple[NodeSummary, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("node")
    for name in ("files", "rows read", "clean", "rejected", "duplicate", "in", "out"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("rejected by reason")
    for node in nodes:
        table.add_row(*_cells(node))
    if len(nodes) > 1:
        table.add_section()
        table.add_row(*_cells(_total(nodes)), style="bold")
    return table


def _cells(node: NodeSummary) -> Iterator[str]:
    yield node.node if node.succeeded else f"[red]{node.node}[/]"
    yield f"{node.files_read:,}"
    for rows in (node.rows_read, node.rows_clean, node.rows_rejected, node.rows_duplicate):
        yield f"{rows:,}"
    yield size(node.bytes_read)
    yield size(node.bytes_written)
    yield "\n".join(f"{reason} {rows:,}" for reason, rows in _by_rows(node.rejected_by_reason))


def _by_rows(reasons: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))


def _total(nodes: tuple[NodeSummary, ...]) -> NodeSummary:
    return NodeSummary(
        kind="NodeSummary",
        run=nodes[0].run,
        node="all",
        attempt="",
        succeeded=True,
        reason="",
        message="",
        files_read=sum(node.files_read for node in nodes),
        rows_read=sum(node.rows_read for node in nodes),
        rows_clean=sum(node.rows_clean for node in nodes),
        rows_rejected=sum(node.rows_rejected for node in nodes),
        rows_duplicate=sum(node.rows_duplicate for node in nodes),
        bytes_read=sum(node.bytes_read for node in nodes),
        bytes_written=sum(node.bytes_written for node in nodes),
    )


def _notices(outcome: Outcome) -> Iterator[str]:
    """Say what is no failure and yet probably not meant."""
    for node in outcome.nodes:
        if node.succeeded and (node.files_quarantined or node.reason == NO_FILES):
            yield f"{node.node}: {node.message}"
    readers = [node for node in outcome.nodes if node.files_read]
    missing = set.intersection(*(set(node.columns_missing) for node in readers)) if readers else ()
    for field_name in sorted(missing):
        field_of = {each.name: each for each in outcome.job.spec.schema.fields}
        columns = field_of[field_name].columns if field_name in field_of else (field_name,)
        yield f"no file has a column for {field_name} (looked for {' or '.join(columns)})"


def _near(path: Path) -> Path:
    """Write a path as a person in the working directory would."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def size(count: int) -> str:
    """Write a number of bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError
