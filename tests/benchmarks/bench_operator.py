"""What the operator costs over many nodes: ``make bench-operator`` runs it.

One run of one job over all nodes, then ten jobs at once, then the operator at rest, then a restart.
The figures are printed as a table and written as JSON; `docs/performance.md` says what each means.
"""

import argparse
import json
import logging
import os
import re
import socket
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.benchmarks import latency, simulated
from tests.benchmarks.simulated import NAMESPACE, Times, Watcher, wait
from tests.support.cluster import ApiServer
from tests.support.operator_process import OperatorProcess

JOBS: Final = 10
IDLE_SECONDS: Final = 60
SETTLE_SECONDS: Final = 30
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_WRITES: Final = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Figures:
    """One size of fleet; seconds, MiB, requests for each node of each run."""

    nodes: int
    jobs: int
    plain_created: float
    one_job_created: float
    all_created: float
    duplicates: int
    reads: float
    writes: float
    cpu_per_node: float
    cpu: float
    memory_peak: float
    memory_idle: float
    idle_cpu_percent: float
    status_lag_median: float
    status_lag_worst: float
    driver_lag_median: float
    driver_lag_worst: float
    success_lag_worst: float
    restart_writes: int


class Measured:
    """An operator whose process is looked at from outside."""

    def __init__(self, server: ApiServer, folder: Path, port: int) -> None:
        lease = {"namespace": NAMESPACE, "name": "operator"}
        more: dict[str, Any] = {"port": port, "lease": lease, "apiRequestsPerSecond": 400}
        self.process = OperatorProcess(server.kubeconfig, NAMESPACE, folder, **more)
        self._port = port

    def start(self) -> None:
        """Start it and wait until it works."""
        before = self._starts()
        self.process.start()
        wait(lambda: self._starts() > before, "the operator starts", 120)

    def _starts(self) -> int:
        return sum(line.get("message") == "started" for line in self.process.log())

    def cpu(self) -> float:
        """Return the seconds of processor time that it took."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self, kind: str) -> float:
        """Return VmRSS (now) or VmHWM (the peak) in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{kind}:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def requests(self, *methods: str) -> int:
        """Return how many requests it has made."""
        place = f"http://127.0.0.1:{self._port}/metrics"
        with urllib.request.urlopen(place, timeout=30) as answer:
            page = answer.read().decode()
        counts = re.findall(
            r'^edge_etl_api_requests_total\{code="(\d+)",method="(\w+)"\} (\S+)', page, re.MULTILINE
        )
        return int(sum(float(count) for _, method, count in counts if method in methods))


def measure(nodes: int, jobs: int, idle: int) -> Figures:
    """Run everything over so many nodes."""
    with simulated.control_plane(nodes) as server, TemporaryDirectory() as folder:
        ceiling = simulated.plain(server, nodes)
        watcher = Watcher(server)
        operator = Measured(server, Path(folder), _free_port())
        operator.start()
        try:
            return _measured(server, watcher, operator, (nodes, jobs, idle), ceiling)
        except BaseException:
            sys.stderr.write("".join(operator.process.log_file.read_text()[-5000:]))
            raise
        finally:
            operator.process.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _measured(
    server: ApiServer,
    watcher: Watcher,
    operator: Measured,
    size: tuple[int, int, int],
    ceiling: float,
) -> Figures:
    nodes, jobs, rest = size
    [alone] = _run(server, watcher, ["first"], nodes)
    begun, cpu = time.monotonic(), operator.cpu()
    reads, writes = operator.requests("GET", "WATCH"), operator.requests(*_WRITES)
    runs = _run(server, watcher, [f"air-{number}" for number in range(jobs)], nodes)
    busy = operator.cpu() - cpu
    reads = operator.requests("GET", "WATCH") - reads
    writes = operator.requests(*_WRITES) - writes - _renewals(time.monotonic() - begun)
    peak = operator.memory("VmHWM")
    # The Job controller says a while after a pod's end that its Job is done.
    wait(lambda: all(job.finished for job in watcher.jobs.all()), "the Jobs are done", 3600)
    # What the last changes ring for is looked at within a moment.
    time.sleep(SETTLE_SECONDS)
    cpu = operator.cpu()
    time.sleep(rest)
    idle = 100 * (operator.cpu() - cpu) / rest
    resting = operator.memory("VmRSS")
    edge = [run.edge_said - run.last_ended for run in runs]
    driver = [run.driver_created - run.last_ended for run in runs]
    each = nodes * jobs
    return Figures(
        nodes=nodes,
        jobs=jobs,
        plain_created=ceiling,
        one_job_created=max(alone.created) - alone.applied,
        all_created=max(max(run.created) for run in runs) - min(run.applied for run in runs),
        duplicates=sum(len(run.created) for run in runs) - each,
        reads=reads / each,
        writes=writes / each,
        cpu_per_node=1000 * busy / each,
        cpu=busy,
        memory_peak=peak,
        memory_idle=resting,
        idle_cpu_percent=idle,
        status_lag_median=statistics.median(edge),
        status_lag_worst=max(edge),
        driver_lag_median=statistics.median(driver),
        driver_lag_worst=max(driver),
        success_lag_worst=max(run.success_said - run.driver_ended for run in runs),
        restart_writes=_restart(watcher, operator),
    )


def _run(server: ApiServer, watcher: Watcher, names: Sequence[str], nodes: int) -> list[Times]:
    """Apply jobs and let them run to their end."""
    kubelet = simulated.kubelet(server)
    for name in names:
        simulated.apply(watcher, name)

    def done() -> bool:
        return all(watcher.of(name).success_said for name in names)

    wait(
        done,
        f"{len(names)} jobs over {nodes} nodes succeed",
        4 * 3600,
        step=lambda: simulated.end_drivers(watcher, kubelet),
    )
    return [watcher.of(name) for name in names]


def _renewals(seconds: float) -> int:
    """Return how many writes the lease took in a time; they do not depend on nodes or runs."""
    return round(seconds / 4)


def _restart(watcher: Watcher, operator: Measured) -> int:
    """Start the operator again where nothing changed; return how many jobs were written."""
    before = {job.metadata.name: job.metadata.resource_version for job in watcher.wishes.all()}
    operator.process.stop()
    operator.start()
    time.sleep(10)
    after = {job.metadata.name: job.metadata.resource_version for job in watcher.wishes.all()}
    return sum(after[name] != before[name] for name in before)


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="make bench-operator", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--idle", type=int, default=IDLE_SECONDS, help="seconds at rest")
    parser.add_argument("--real", type=int, default=0, help="so many real nodes instead: latency")
    parser.add_argument("--output", type=Path, default=Path("build/bench-operator/result.json"))
    options = parser.parse_args(arguments)
    # The benchmark's own watches outlive the API server of each size.
    logging.getLogger("edge_etl_operator.mirror").setLevel(logging.CRITICAL)
    if options.real:
        told = json.dumps(asdict(latency.measure(options.real)), indent=2)
        options.output.with_name("latency.json").parent.mkdir(parents=True, exist_ok=True)
        options.output.with_name("latency.json").write_text(told)
        print(told)
        return
    found = []
    for nodes in options.nodes:
        found.append(measure(nodes, options.jobs, options.idle))
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps([asdict(each) for each in found], indent=2))
        print(_table(found), flush=True)


def _table(found: Sequence[Figures]) -> str:
    rows = [asdict(each) for each in found]
    lines = ["| figure | " + " | ".join(f"{row['nodes']} nodes" for row in rows) + " |"]
    lines.append("|---" * (len(rows) + 1) + "|")
    for name in rows[0]:
        cells = [row[name] for row in rows]
        shown = [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
