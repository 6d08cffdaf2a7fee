"""A run as its job's status has it, as one HTML file: the report of a run that left none."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from string import Template
from typing import Final

from edge_etl_operator.cli.outcome import size
from edge_etl_operator.cli.run_view import NodeView, RunView, Stage
from edge_etl_operator.cli.status_screen import SIGNS, length, word

_STYLE: Final = """\
:root {
  color-scheme: light dark; --ink: #1c2024; --soft: #5b636c; --line: #d5dae0; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #a3acb5; --line: #363d44; --bad: #ff8a80; background: #14171a; }
}
body { margin: 0 auto; max-width: 64rem; padding: 1rem; color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; padding-top: .5rem;
  border-top: 1px solid var(--line); }
p, li { overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.failed { color: var(--bad); }
ol { padding-left: 0; list-style: none; }
ol li { display: inline-block; margin-right: 1.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 500; }
td.number { text-align: right; }
td.why { min-width: 13rem; white-space: normal; overflow-wrap: anywhere; }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_STATES: Final = {"Failed": "failed", "Now": "not over", "Next": "not reached"}
_CELLS: Final = {
    "th": '<th scope="row">{}</th>',
    "td": "<td>{}</td>",
    "why": '<td class="why">{}</td>',
    "number": '<td class="number">{}</td>',
}
_PAGE: Final = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'sha256-$hash'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>$job, run $run</title>
<style>$style</style>
</head>
<body>
<header>
<p class="soft">EdgeETLJob in namespace $namespace</p>
<h1>$job</h1>
<p class="soft">Run $run: began $began UTC, $took</p>
</header>
<main>
<p><strong>$phase: $reason</strong>: $message</p>
$odd<h2>Stages</h2>
<ol>$stages</ol>
<h2>What became of each Pi</h2>
<div class="scroll" role="region" aria-label="What became of each Pi" tabindex="0">
<table>
<thead><tr><th scope="col">Pi</th><th scope="col">State</th>\
<th scope="col">Why, and what to do</th><th scope="col">Rows read</th>\
<th scope="col">Rejected</th><th scope="col">CSV read</th></tr></thead>
<tbody>
$nodes
</tbody>
</table>
</div>
<p class="soft">The run left no report beside the table. This page is of the job's status.</p>
</main>
</body>
</html>
""")


def page(shown: RunView) -> str:
    """Return the page of a run."""
    return _PAGE.substitute(
        hash=_HASH,
        style=_STYLE,
        job=escape(shown.job),
        run=escape(shown.run or ""),
        namespace=escape(shown.namespace),
        began=f"{shown.start_time:%Y-%m-%d %H:%M:%S}" if shown.start_time else "",
        took=f"{length(shown.seconds)} long, {escape(shown.nodes_summary)} Pis delivered",
        phase=escape(shown.phase),
        reason=escape(shown.reason),
        message=escape(shown.message),
        odd=f"<p>{escape(shown.odd)}</p>\n" if shown.odd else "",
        stages="".join(_stage(each) for each in shown.stages),
        nodes="\n".join(_row(_cells(node)) for node in shown.nodes),
    )


def _stage(stage: Stage) -> str:
    state = ' class="failed"' if stage.state == "Failed" else ""
    said = "" if stage.state == "Done" else f" ({_STATES[stage.state]})"
    took = f" {length(stage.seconds)}" if stage.seconds is not None else ""
    sign = f'<span aria-hidden="true">{SIGNS[stage.state]}</span>'
    return f"<li{state}>{sign} {stage.name}{took}{said}</li>"


def _cells(node: NodeView) -> Iterator[tuple[str, str]]:
    """Yield what is in the line of a node, each with its kind of cell."""
    yield "th", node.name
    yield "td", word(node)
    yield "why", node.why
    yield "number", f"{node.rows_read:,}" if node.rows_read is not None else ""
    yield "number", f"{node.rejected_ratio:.1%}" if node.rejected_ratio is not None else ""
    yield "number", size(node.bytes_read) if node.bytes_read else ""


def _row(cells: Iterable[tuple[str, str]]) -> str:
    content = "".join(_CELLS[kind].format(escape(text)) for kind, text in cells)
    return f"<tr>{content}</tr>"
