"""What the edge program costs, beside the same work done by pandas, polars, duckdb and pyarrow.

``make bench-edge`` runs it. All programs are processes, measured from start to end, on one core,
one after the other in turns, so that what else the machine does meets all of them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.edge import Node
from tests.benchmarks.measure import Cost, best, run
from tests.benchmarks.readings import HEADER

PEERS: Final = ("pandas", "duckdb", "pyarrow", "polars")
FILES: Final = 10_000
_INCREMENT: Final = 1_000_000
_THREADS: Final = 4


class Bench:
    """The benchmark in a folder; what was generated there before is used again."""

    def __init__(self, folder: Path, core: int, rounds: int) -> None:
        self.folder = folder
        self.core = core
        self.rounds = rounds

    def data(self, megabytes: float) -> Path:
        """Return a folder with readings of so many million bytes."""
        path = self.folder / f"readings-{megabytes:g}"
        if not path.exists():
            made = path.with_suffix(".part")
            shutil.rmtree(made, ignore_errors=True)
            self._python("tests.benchmarks.readings", str(made), str(megabytes))
            made.rename(path)
        return path

    def _python(self, module: str, *arguments: str) -> None:
        # In a process of its own: this one has to stay small.
        subprocess.run([sys.executable, "-m", module, *arguments], check=True)

    def run(self, command: Sequence[str], output: Path | None = None) -> Cost:
        """Run a program on the core."""
        return run(command, {self.core}, self.folder.absolute() / "pycache", output)

    def threads(self, source: Path, cores: Set[int]) -> Cost:
        """Clean a folder with the edge program on several cores."""
        node = self.node("edge-threads", source)
        _ready(source)
        return run(node.command(), cores, self.folder.absolute() / "pycache")

    def node(self, name: str, source: Path) -> Node:
        """Return a node that has delivered nothing yet."""
        root = self.folder / name
        shutil.rmtree(root, ignore_errors=True)
        return Node(root, source)

    def peer(self, name: str, source: Path) -> Cost:
        """Run a peer once."""
        out = self.folder / name
        shutil.rmtree(out, ignore_errors=True)
        module = f"tests.benchmarks.peers.{name}_peer"
        command = [sys.executable, "-m", module, str(source), str(out)]
        return self.run(command, out.with_suffix(".json"))

    def side_by_side(self, source: Path, rounds: int) -> tuple[dict[str, Cost], float]:
        """Clean a folder with each program in turns; return the costs, and MB that were shipped."""
        costs: dict[str, list[Cost]] = {name: [] for name in ("edge", *PEERS)}
        for _ in range(rounds):
            node = self.node("edge", source)
            _ready(source)
            costs["edge"].append(self.run(node.command()))
            for name in PEERS:
                _ready(source)
                costs[name].append(self.peer(name, source))
        peers = [str(self.folder / name) for name in PEERS]
        self._python("tests.benchmarks.agree", str(node.delivered), *peers)
        shipped = sum(path.stat().st_size for path in node.delivered.glob("*/rows-*.parquet"))
        return {name: best(each) for name, each in costs.items()}, shipped / 1e6

    def alone(self, megabytes: float) -> Cost:
        """Clean so many million bytes with the edge program only."""
        node = self.node("edge-alone", self.data(megabytes))
        return self.run(node.command())

    def increments(self) -> Cost:
        """Deliver 1 MB that was appended to a file, several times."""
        source = self.folder / "growing"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        [day] = self.data(12).iterdir()
        growing = source / day.name
        node = self.node("edge-increments", source)
        costs = []
        with day.open("rb") as lines:
            for _ in range(8):
                size = 0
                with growing.open("ab") as file:
                    while size < _INCREMENT:
                        size += file.write(lines.readline())
                costs.append(self.run(node.command()))
        return best(costs[1:])

    def nothing_new(self) -> Cost:
        """Look through ten thousand files that have all been delivered."""
        source = self.folder / "many"
        if not source.exists():
            source.mkdir()
            for number in range(FILES):
                time = f"2019-03-{number % 28 + 1:02}T{number // 1000:02}:00:00Z"
                row = f"{time};aq{number:05};4.53;2.30;6.60;91.80\n"
                (source / f"sensor-{number:05}.csv").write_text(HEADER + row)
        node = self.node("edge-many", source)
        self.run(node.command())
        return best([self.run(node.command()) for _ in range(5)])


def _ready(source: Path) -> None:
    """Let each program begin alike: its input in memory, and nothing left to write of the last."""
    os.sync()
    for path in source.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(_INCREMENT):
                pass


def table(result: dict[str, Any]) -> str:
    """Return the result for people."""
    lines = [
        f"{result['megabytes']:.0f} MB, one core, least of {result['rounds']} rounds in turns",
        f"{'':10} {'s':>8} {'CPU s':>8} {'peak MB':>8} {'x edge':>7}"
        f" {'1 MB: ms':>9} {'peak MB':>8}",
    ]
    edge = result["large"]["edge"]["seconds"]
    for name, cost in result["large"].items():
        small = result["increment"][name]
        lines.append(
            f"{name:10} {cost['seconds']:8.2f} {cost['cpu']:8.2f} {cost['megabytes']:8.0f}"
            f" {cost['seconds'] / edge:7.1f} {small['seconds'] * 1000:9.0f}"
            f" {small['megabytes']:8.0f}"
        )
    nothing, threads = result["nothingNew"], result["threads"]
    lines += [
        f"the fastest peer takes {result['ratio']:.2f} times as long as the edge program",
        f"{threads['cores']} cores: {edge / threads['seconds']:.2f} times as fast as one,"
        f" {threads['megabytes']:.0f} MB",
        f"nothing new over {FILES} files: {nothing['seconds'] * 1000:.0f} ms,"
        f" {nothing['megabytes']:.0f} MB",
        f"clean rows shipped: {result['shippedRatio']:.1%} of the raw bytes",
        *(
            f"{size} MB of input: peak {cost['megabytes']:.0f} MB, {cost['seconds']:.2f} s"
            for size, cost in result["sizes"].items()
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--megabytes", type=float, default=546, help="of the large input")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    options.add_argument("--huge", action="store_true", help="also clean 5 GB, for the peak memory")
    options.add_argument("--folder", type=Path, default=Path("build/bench-edge"))
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(chosen.folder, chosen.core, chosen.rounds)
    cores = set(sorted(os.sched_getaffinity(0))[-_THREADS:])
    source = bench.data(chosen.megabytes)
    raw = sum(path.stat().st_size for path in source.iterdir()) / 1e6
    bench.side_by_side(bench.data(1), 1)  # compiles what is imported
    large, shipped = bench.side_by_side(source, chosen.rounds)
    threads = best([bench.threads(source, cores) for _ in range(chosen.rounds)])
    small = bench.data(1)
    increment = {name: best([bench.peer(name, small) for _ in range(3)]) for name in PEERS}
    increment["edge"] = bench.increments()
    sizes = [chosen.megabytes / 10, *([5000.0] if chosen.huge else [])]
    result = {
        "megabytes": raw,
        "rounds": chosen.rounds,
        "large": {name: asdict(cost) for name, cost in large.items()},
        "increment": {name: asdict(cost) for name, cost in increment.items()},
        "ratio": min(large[name].seconds for name in PEERS) / large["edge"].seconds,
        "threads": {"cores": len(cores), **asdict(threads)},
        "nothingNew": asdict(bench.nothing_new()),
        "shippedRatio": shipped / raw,
        "sizes": {f"{size:g}": asdict(bench.alone(size)) for size in sizes},
    }
    (chosen.folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
