"""What the peers have in common: the order of the reasons and of the days."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

COLUMNS: Final = ("timestamp", "sensor_id", "P1", "P2", "temperature", "humidity")
STATISTICS: Final = ("count", "mean", "stddev", "min", "max")
TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
NOT_BEFORE: Final = "2015-01-01"


def rejections(field: str) -> tuple[str, str]:
    """Return the reasons that one numeric field has, in their order."""
    return f"invalid_value:{field}", f"out_of_range:{field}"


def days_done(files: Iterable[Path]) -> Iterator[tuple[Path, str, str]]:
    """Yield each file with its day and the last day that is complete behind it, in their order."""
    paths = sorted(files)
    for path, later in zip(paths, [*paths[1:], None], strict=True):
        before = path.stem if later is None else previous(path, paths)
        yield path, path.stem, before


def previous(path: Path, paths: list[Path]) -> str:
    """Return the day of the file before, an early one for the first."""
    at = paths.index(path)
    return paths[at - 1].stem if at else ""


def main(clean: Callable[[Path, Path], Counter[str]]) -> None:
    """Clean the folder that the first argument names into the second; print what was counted."""
    source, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True)
    counts = clean(source, out)
    json.dump(dict(counts), sys.stdout)
