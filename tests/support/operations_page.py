"""The operations page shows what a person sees: tests that play a case compare it with that.

What differs from one time to the next (names of jobs, Pis and pods, times, numbers) is left out of
the comparison, the words are not.
"""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "operations.md"
_NOT_COMPARED: Final = ("NAME ", "LAST ", "$ ")
"""How lines begin that name columns, or the command whose output follows."""
_SHOWN_AS: Final = "air-quality"
_VOLATILE: Final = (
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"\bJOB-\d{8}-\d{6}-[0-9a-z-]+", "POD"),
    (r"\b\d{8}-\d{6}\b", "RUN"),
    (r"\bpi-\d+\b", "PI"),
    (r"\b(\d+[dhms])+\b", "AGE"),
    (r"<invalid>", "AGE"),
    (r"\d+(\.\d+)?%", ""),
    (r"\d+(\.\d+)?", "#"),
    (r"\(x# over AGE\)", ""),
    (r"\s+", " "),
)


def strange(heading: str, job: str, seen: str, page: Path = PAGE) -> list[str]:
    """Return the lines that the page shows below a heading and that are not seen of a job."""
    known = "\n".join(plain(line, job) for line in seen.splitlines())
    lines = shown(heading, page)
    assert lines, f"nothing is shown below {heading!r}"
    return [line for line in lines if not re.search(_pattern(line), known, re.MULTILINE)]


def _pattern(line: str) -> str:
    """Return what matches a line as it is seen; … on the page stands for any words."""
    return f"^{re.escape(plain(line, _SHOWN_AS)).replace('…', '.*')}$"


def shown(heading: str, page: Path = PAGE) -> list[str]:
    """Return the lines of the first block below a heading, but for those that are not compared."""
    inside, opened = False, ""
    found: list[str] = []
    for line in page.read_text().splitlines():
        if line.startswith("## "):
            inside = line == f"## {heading}"
        elif line.startswith("```"):
            if opened == "```" and found:
                return found
            opened = "" if opened else line
        elif inside and opened == "```" and line and not line.startswith(_NOT_COMPARED):
            found.append(line)
    return found


def plain(line: str, job: str) -> str:
    """Return a line without what differs from one time to the next."""
    line = line.replace(job, "JOB")
    for volatile, instead in _VOLATILE:
        line = re.sub(volatile, instead, line)
    return line.strip()
