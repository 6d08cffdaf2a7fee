"""The screen of a run, for a terminal."""

from collections.abc import Iterator
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edge_etl_operator.cli.outcome import size
from edge_etl_operator.cli.run_view import NodeView, RunView, Stage

_COLOURS: Final = {
    "Succeeded": "green",
    "Running": "cyan",
    "Pending": "dim",
    "Failed": "red",
    "Offline": "yellow",
    "Cleaning": "cyan",
    "Aggregating": "cyan",
    "PartiallySucceeded": "yellow",
    "Suspended": "yellow",
}
# A sign and a word beside it: colour alone tells nothing to who does not see it.
SIGNS: Final = {"Done": "✔", "Now": "▶", "Failed": "✘", "Next": "·"}
_STAGE_COLOURS: Final = {"Done": "green", "Now": "cyan", "Failed": "red", "Next": "dim"}
_WORDS: Final = {"Succeeded": "delivered", "Running": "at work", "Pending": "waits"}
_BAR: Final = 12
_WIDE: Final = 96
"""Columns from which on there is room for what was read, in bytes."""
_ALWAYS: Final = 10
"""Lines of the screen beside the nodes and what they wait for."""
_LONGEST: Final = 600
"""Characters of a message on a screen that must fit."""


class Screen:
    """A run, in as many lines as the console has; all of them where it scrolls."""

    def __init__(self, shown: RunView, *, fits: bool = False) -> None:
        self._shown = shown
        self._fits = fits

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the console, as rich asks for it."""
        room = max(6, console.size.height - _ALWAYS) if self._fits else None
        yield Group(*_parts(self._shown, room, wide=options.max_width >= _WIDE))


def overview(shown: list[RunView]) -> Table:
    """Return a line for each job."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("NAMESPACE", "JOB", "PHASE", "NODES"):
        table.add_column(name, no_wrap=True)
    for name in ("ROWS", "REJECTED", "TOOK"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("WHY")
    for each in shown:
        good = each.phase == "Succeeded" and not each.odd
        table.add_row(
            each.namespace,
            each.job,
            Text(each.phase, _COLOURS.get(each.phase, "")),
            each.nodes_summary,
            _count(each.rows),
            each.rejected_ratio,
            length(each.seconds),
            "" if good else each.odd or each.message,
        )
    return table


def _parts(shown: RunView, room: int | None, *, wide: bool) -> Iterator[RenderableType]:
    head = Text.assemble(
        (shown.job, "bold"),
        f"  in {shown.namespace}   ",
        (shown.phase, _COLOURS.get(shown.phase, "")),
        f"  {shown.nodes_summary}",
    )
    yield head
    if shown.run and shown.start_time:
        yield Text(
            f"run {shown.run}, began {shown.start_time:%Y-%m-%d %H:%M:%S} UTC, "
            f"{length(shown.seconds)}",
            "dim",
        )
        yield Padding(_line_of_time(shown.stages), (1, 0, 0, 2), expand=False)
    if shown.nodes:
        waiting = [node for node in shown.nodes if node.waits][: room // 6 if room else None]
        yield _nodes(shown.nodes, room - 3 * len(waiting) if room else None, wide=wide)
        for node in waiting:
            colour = _COLOURS.get(node.phase, "")
            yield _told(f"{node.name} {word(node)}", node.why, colour, room)
    if shown.rows is not None:
        yield Text(f"table: {shown.rows:,} rows")
    # What a node or the table's line said is not said twice.
    told = shown.message.endswith(f"of the table has {shown.rows} rows")
    if (
        shown.message
        and not told
        and not any(node.message in shown.message for node in shown.nodes if node.waits)
    ):
        yield _told("why", shown.message, "red" if shown.phase == "Failed" else "bold", room)
    if shown.odd:
        yield _told("look at", shown.odd, "yellow", room)
    if shown.next_run_time:
        yield Text(f"next run: {shown.next_run_time:%Y-%m-%d %H:%M:%S} UTC")


def _line_of_time(stages: tuple[Stage, ...]) -> Text:
    line = Text()
    for at, stage in enumerate(stages):
        line.append(" ── " if at else "", "dim")
        line.append(f"{SIGNS[stage.state]} {stage.name}", _STAGE_COLOURS[stage.state])
        line.append(f" {length(stage.seconds)}" if stage.seconds is not None else "", "dim")
        line.append(f" ({stage.step})" if stage.step else "", "dim")
    return line


def _nodes(nodes: tuple[NodeView, ...], room: int | None, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("NODE", no_wrap=True)
    table.add_column("", no_wrap=True, width=_BAR)
    table.add_column("", no_wrap=True)
    for name in (*(("READ",) if wide else ()), "ROWS", "ROWS/S", "REJECTED"):
        table.add_column(name, justify="right", no_wrap=True)
    few = nodes if room is None or len(nodes) <= room else nodes[: room - 1]
    for node in few:
        colour = _COLOURS.get(node.phase, "")
        table.add_row(
            node.name,
            _bar(node),
            Text(word(node), colour),
            *((size(node.bytes_read) if node.bytes_read else _to_read(node),) if wide else ()),
            _count(node.rows_read),
            _count(round(node.rows_per_second)) if node.rows_per_second else "",
            f"{node.rejected_ratio:.1%}" if node.rejected_ratio is not None else "",
        )
    if len(few) < len(nodes):
        table.add_row("…", "", f"{len(nodes) - len(few)} more")
    return table


def _bar(node: NodeView) -> Text:
    """Return how far a node is: full when it delivered, moving when that is not known.

    What is done and what is not are other signs, and not only other colours.
    """
    at, done, before = node.progress, 0, 0
    if node.phase == "Succeeded":
        done = _BAR
    elif at and at.bytes_total:
        done = int(_BAR * at.bytes_done / at.bytes_total)
    elif node.phase == "Running":
        done = _BAR // 4
        before = int(node.seconds or 0) % (_BAR - done + 1)
    colour = _COLOURS.get(node.phase, "")
    rest = _BAR - before - done
    return Text.assemble(("┄" * before, "dim"), ("━" * done, colour), ("┄" * rest, "dim"))


def word(node: NodeView) -> str:
    """Say in a word what a node does, and how far it is."""
    at = node.progress
    done = f" {at.bytes_done / at.bytes_total:.0%}" if at and at.bytes_total else ""
    return _WORDS.get(node.phase, node.phase.lower()) + done


def _to_read(node: NodeView) -> str:
    return size(node.progress.bytes_total) if node.progress and node.progress.bytes_total else ""


def _told(word: str, message: str, colour: str, room: int | None) -> Text:
    fits = room is None or len(message) <= _LONGEST
    return Text.assemble((f"{word}: ", colour), message if fits else f"{message[:_LONGEST]}…")


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def length(seconds: float | None) -> str:
    """Write a length of time for people: ``seconds``, or nothing."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, seconds_left = divmod(whole, 60)
    return (
        f"{minutes} min {seconds_left} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60} min"
    )
