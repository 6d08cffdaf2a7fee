"""The checks for people: what is wrong first in the eye, with what to do below it."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from rich.padding import Padding
from rich.text import Text

from edge_etl_operator.cli import output
from edge_etl_operator.cli.doctor.checks import Check

_SIGNS: Final = {
    "ok": ("✔", "green"),
    "notice": ("!", "yellow"),
    "problem": ("✘", "red"),
    "unknown": ("?", "magenta"),
}


def show(checks: Sequence[Check], *, everything: bool) -> None:
    """Print the checks, those of each node together; of a node in order only a line."""
    console = output.console()
    for node, group in groupby(sorted(checks, key=lambda check: check.node), _node):
        of_node = list(group)
        odd = [check for check in of_node if check.result != "ok"]
        console.print(Text(node or "cluster", "bold"))
        for check in of_node if everything or not node else odd:
            sign, colour = _SIGNS[check.result]
            line = Text.assemble((f"{sign} ", colour), (f"{check.name}: ", "dim"), check.message)
            console.print(Padding(line, (0, 0, 0, 2), expand=False))
            if check.remedy:
                remedy = Text(f"→ {check.remedy}", "bold")
                console.print(Padding(remedy, (0, 0, 0, 6), expand=False))
        if node and not everything and len(odd) < len(of_node):
            good = [check for check in of_node if check.result == "ok"]
            names = ", ".join(dict.fromkeys(check.name for check in good))
            line = Text.assemble(("✔ ", "green"), (names, "dim"))
            console.print(Padding(line, (0, 0, 0, 2), expand=False))
    wrong = sum(check.result == "problem" for check in checks)
    said = "1 problem" if wrong == 1 else f"{wrong} problems"
    console.print(Text(said if wrong else "nothing is wrong", "red" if wrong else "green"))


def _node(check: Check) -> str:
    return check.node
