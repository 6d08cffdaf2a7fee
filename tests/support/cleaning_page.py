"""The examples of docs/cleaning.md."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.edge import merged

PAGE = Path(__file__).parents[2] / "docs" / "cleaning.md"


@dataclass(frozen=True)
class Example:
    title: str
    over: dict[str, Any]
    content: bytes
    outcomes: dict[int, str]
    quarantined: str | None
    note: str | None
    """What the report says of how the file is written."""


def examples() -> list[Example]:
    sections = re.split(r"^#{2,3} ", PAGE.read_text(), flags=re.MULTILINE)
    base = yaml.safe_load(_block(sections[0], "yaml"))
    found = []
    for section in sections[1:]:
        if "```csv\n" not in section:
            continue
        own = yaml.safe_load(_block(section, "yaml")) if "```yaml" in section else {}
        rows = re.findall(r"^\| (\d+) \| (.+?) \|$", section, re.MULTILINE)
        whole = re.search(r"^The file is quarantined: `(\w+)`: (.*)$", section, re.MULTILINE)
        note = re.search(r"^The report says: `(.*)`$", section, re.MULTILINE)
        found.append(
            Example(
                title=section.split("\n")[0],
                over=merged(base, own),
                content=_bytes(_block(section, "csv")),
                outcomes={int(line): outcome for line, outcome in rows},
                quarantined=f"{whole[1]}: {whole[2]}" if whole else None,
                note=note[1] if note else None,
            )
        )
    return found


def _block(section: str, kind: str) -> str:
    return section.split(f"```{kind}\n")[1].split("```")[0]


def _bytes(block: str) -> bytes:
    return re.sub(
        rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), block.encode()
    )
