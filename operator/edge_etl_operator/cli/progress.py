"""Show a run while it goes: bars on a terminal, lines elsewhere; always on standard error."""

from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from edge_etl_operator.cli.outcome import size
from edge_etl_operator.documents import NodeSummary


class Display(Protocol):
    """What a run tells while it goes."""

    def node(self, name: str) -> None:
        """Say that a node takes part."""

    def read(self, name: str, done: int, total: int) -> None:
        """Say how many bytes a node has read, of how many."""

    def away(self, name: str, why: str) -> None:
        """Say that a node is out of reach."""

    def node_done(self, summary: NodeSummary) -> None:
        """Say that a node has ended."""

    def aggregation(self, step: str) -> None:
        """Say what the aggregation does now."""

    def close(self) -> None:
        """Show nothing more."""


def display(console: Console) -> Display:
    """Return the display that suits the console."""
    return Bars(console) if console.is_terminal else Lines(console)


class Lines:
    """One line for each thing that ended or began, for logs."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def node(self, name: str) -> None:
        """Lines say only what has ended."""

    def read(self, name: str, done: int, total: int) -> None:
        """Lines say only what has ended."""

    def away(self, name: str, why: str) -> None:
        """Say that a node is out of reach."""
        self._say(f"{name}: offline: {why}")

    def node_done(self, summary: NodeSummary) -> None:
        """Say that a node has ended."""
        self._say(f"{summary.node}: {_ending(summary)}")

    def aggregation(self, step: str) -> None:
        """Say what the aggregation does now."""
        self._say(f"aggregation: {step}")

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bars:
    """A bar for each node, and one for the aggregation."""

    def __init__(self, console: Console) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[size]}", style="green"),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self.tasks: dict[str, TaskID] = {}
        self.steps: TaskID | None = None
        self.bars.start()

    def node(self, name: str) -> None:
        """Add the node's bar; how long it is is known when the node has looked at its files."""
        self.tasks[name] = self.bars.add_task(name, total=None, size="", note="")

    def read(self, name: str, done: int, total: int) -> None:
        """Move the node's bar."""
        self.bars.update(self.tasks[name], completed=done, total=total, size=size(total), note="")

    def away(self, name: str, why: str) -> None:
        """Say beside the node's bar that it is out of reach."""
        self.bars.update(self.tasks[name], note="offline")

    def node_done(self, summary: NodeSummary) -> None:
        """Fill the node's bar, or say beside it what went wrong."""
        task = self.tasks[summary.node]
        if summary.succeeded:
            read = summary.bytes_read
            self.bars.update(task, completed=read, total=read, size=size(read))
        self.bars.update(task, note=_ending(summary))

    def aggregation(self, step: str) -> None:
        """Show the aggregation's step beside a bar that only moves."""
        if self.steps is None:
            self.steps = self.bars.add_task("Spark", total=None, size="", note="")
        self.bars.update(self.steps, note=step)

    def close(self) -> None:
        """Leave the bars as they are."""
        if self.steps is not None:
            self.bars.update(self.steps, visible=False)
        self.bars.stop()


def _ending(summary: NodeSummary) -> str:
    if not summary.succeeded:
        return f"failed: {summary.reason}"
    return f"{summary.rows_clean:,} rows clean, {summary.rows_rejected:,} rejected"
