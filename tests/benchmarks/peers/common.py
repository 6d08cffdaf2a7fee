"""What the peers have in common: the order of the reasons and of the days."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

COLUMNS: Final = ("timestamp", "sensor_id", "P1", "P2", "temperature", "humidity")
PERCENT: Final = (50, 95)
STATISTICS: Final = ("count", "mean", "stddev", "min", "max", "p50", "p95")
TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
NOT_BEFORE: Final = "2015-01-01"


def rejections(field: str) -> tuple[str, str]:
    """Return the reasons that one numeric field has, in their order."""
    return f"invalid_value:{field}", f"out_of_range:{field}"


def quantiles(groups: Any, values: Any, count: int) -> Iterator[Any]:
    """Yield the quantiles of each of so many groups: of the sorted values the one of that rank."""
    import numpy as np

    some = ~np.isnan(values)
    groups, values = groups[some], values[some]
    ordered = values[np.lexsort((values, groups))]
    sizes = np.bincount(groups, minlength=count)
    starts = np.cumsum(sizes) - sizes
    for percent in PERCENT:
        ranks = np.maximum(-(-sizes * percent // 100), 1)
        places = np.minimum(starts + ranks - 1, max(len(ordered) - 1, 0))
        yield np.where(sizes > 0, ordered[places], np.nan)


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
