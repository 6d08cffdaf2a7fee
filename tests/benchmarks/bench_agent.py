"""What the edge agent takes, beside a plain Flask handler that fsyncs each request.

``python -m tests.benchmarks.bench_agent [--seconds N] [--clients N]``; prints a table and writes
``build/bench-agent/result.json``. The servers are pinned to one core, the clients to the others.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.support.agent import AgentProcess, Broker, free_port
from tests.support.cluster.cache import REPOSITORY
from tests.support.cluster.kube import until

_T = TypeVar("_T")
RESULT = REPOSITORY / "build" / "bench-agent" / "result.json"
MQTT_MESSAGES = 100


@dataclass(frozen=True)
class Load:
    """A client compiled for this, which a server of one core cannot keep busy."""

    program: Path
    clients: int
    seconds: float

    @classmethod
    def built(cls, folder: Path, clients: int, seconds: float) -> "Load":
        """Compile it; it needs a Rust toolchain and nothing else."""
        program = folder / "load"
        source = Path(__file__).with_name("load.rs")
        subprocess.run(["rustc", "-O", "--edition=2024", "-o", program, source], check=True)
        return cls(program, clients, seconds)

    def run(self, port: int, readings: int, rate: float = 0) -> dict[str, float]:
        """Return what was answered: readings a second, and milliseconds."""
        content = self.program.with_name(f"{readings}.json")
        content.write_bytes(body(readings))
        command = [self.program, f"127.0.0.1:{port}", content, self.clients, self.seconds, rate]
        done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE)
        found = json.loads(done.stdout)
        if found["others"]:
            raise RuntimeError(f"{found['others']} requests were refused")
        return {
            "readingsPerSecond": round(found["answered"] * readings / found["seconds"]),
            "p50Ms": round(found["p50Ms"], 2),
            "p99Ms": round(found["p99Ms"], 2),
        }


def body(readings: int) -> bytes:
    """Return so many readings as sensors would send them, each with a place for a number."""
    each = {"timestamp": "2026-03-01T12:00:00Z", "sensor_id": "##########", "t": 21.5}
    return json.dumps(each if readings == 1 else [each] * readings).encode()


def measured(load: Load, port: int, pid: int, readings: int) -> dict[str, Any]:
    """Measure the top rate, then the latencies at half of it.

    The processor's time tells what a core takes also on a machine that has other things to do.
    """
    load.run(port, readings, 10)  # the stream exists now
    before = _processor(pid)
    top = load.run(port, readings)
    spent = (_processor(pid) - before) / (top["readingsPerSecond"] * load.seconds)
    half = load.run(port, readings, top["readingsPerSecond"] / readings / 2)
    return {**top, "processorMicroseconds": round(spent * 1e6, 2), "atHalf": half}


def _processor(pid: int) -> float:
    """Return the seconds that a process has had of the processor (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def mqtt(agent: AgentProcess, broker: Broker, clients: int) -> dict[str, float]:
    """Publish with QoS 1 from many clients, and wait until all is stored."""
    asyncio.run(_publish(broker.port, clients, 1))  # the stream exists now
    stored = _stored(agent, clients)
    begin = time.monotonic()
    asyncio.run(_publish(broker.port, clients, MQTT_MESSAGES))
    _stored(agent, stored + clients * MQTT_MESSAGES)
    passed = time.monotonic() - begin
    return {"readingsPerSecond": round(clients * MQTT_MESSAGES / passed)}


def _stored(agent: AgentProcess, least: int) -> int:
    def enough() -> int:
        streams = agent.request("GET", "/v1/streams").document["streams"]
        count = sum(int(each["readings"]) for each in streams if each["name"] == "mqtt")
        return count if count >= least else 0

    return until(enough, f"{least} messages", timeout=300, every=0.02)


async def _publish(port: int, clients: int, messages: int) -> None:
    """Speak MQTT 3.1.1 as sensors do, ten messages ahead of what the broker has confirmed."""

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        name = b"bench-%d" % number
        writer.write(_packet(0x10, _text(b"MQTT") + b"\x04\x02\x00\x3c" + _text(name)))
        await reader.readexactly(4)
        topic = _text(b"sensors/s%d/t" % number)
        for message in range(1, messages + 1):
            writer.write(_packet(0x32, topic + message.to_bytes(2) + b"21.5"))
            if message > 10:
                await reader.readexactly(4)
        await reader.readexactly(4 * min(messages, 10))
        writer.close()

    waiting: list[Awaitable[None]] = [client(number) for number in range(clients)]
    await asyncio.gather(*waiting)


def _packet(kind: int, content: bytes) -> bytes:
    return bytes([kind, len(content)]) + content  # none has 128 bytes


def _text(content: bytes) -> bytes:
    return len(content).to_bytes(2) + content


def _memory(agent: AgentProcess, name: str) -> float:
    """Return megabytes of the process, from proc(5)."""
    assert agent.process
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    return round(int(status.partition(f"{name}:")[2].split()[0]) / 1000, 1)


@contextmanager
def plain(folder: Path) -> Iterator[tuple[int, int]]:
    """Run the plain handler; give its port and its process."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.plain_flask", str(port)]
    process = subprocess.Popen([*command, str(folder / "plain.csv")], cwd=REPOSITORY)
    try:
        until(lambda: _listens(port), "the plain handler listens", every=0.05)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    async def connect() -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True

    return asyncio.run(connect())


@contextmanager
def _pinned(core: int, server: AbstractContextManager[_T]) -> Iterator[_T]:
    """Enter a context whose process stays on one core."""
    others = os.sched_getaffinity(0)
    with ExitStack() as stack:
        os.sched_setaffinity(0, {core})
        try:
            entered = stack.enter_context(server)
        finally:
            os.sched_setaffinity(0, others)
        yield entered


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=100)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[1:]) or set(cores))
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as directory:
        folder = Path(directory)
        load = Load.built(folder, options.clients, options.seconds)
        with Broker(folder / "broker") as broker:
            topics = [{"pattern": "sensors/{sensor_id}/{field}", "stream": "mqtt"}]
            connection = {"host": "127.0.0.1", "port": broker.port, "topics": topics}
            agent = AgentProcess(folder, {"mqtt": connection, "storage": {"budgetBytes": 8 << 30}})
            with _pinned(cores[0], agent):
                assert agent.process
                rest = _memory(agent, "VmRSS")
                result["rest single"] = measured(load, agent.port, agent.process.pid, 1)
                result["rest batches of 100"] = measured(load, agent.port, agent.process.pid, 100)
                result["mqtt QoS 1"] = mqtt(agent, broker, options.clients)
                peak = _memory(agent, "VmHWM")
                agent.stop()
            segments = list((agent.source / "readings").glob("[0-9]*.csv"))
            rows = sum(path.read_bytes().count(b"\n") - 1 for path in segments)
            size = sum(path.stat().st_size for path in (agent.source / "readings").iterdir())
        result["agent"] = {
            "memoryAtRestMB": rest,
            "peakMemoryMB": peak,
            "bytesPerReading": round(size / rows, 1),
        }
        with _pinned(cores[0], plain(folder)) as address:
            result["plain handler"] = measured(load, *address, 1)
    single, other = result["rest single"], result["plain handler"]
    result["timesPlain"] = {
        "readingsPerSecond": round(single["readingsPerSecond"] / other["readingsPerSecond"], 1),
        "readingsPerProcessorSecond": round(
            other["processorMicroseconds"] / single["processorMicroseconds"], 1
        ),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(
        "| | readings/s | p50 ms | p99 ms | p99 ms at half the rate | µs of the core for each |\n"
        "|---|---|---|---|---|---|"
    )
    for name in ("rest single", "rest batches of 100", "mqtt QoS 1", "plain handler"):
        each = result[name]
        half = each.get("atHalf", {}).get("p99Ms", "")
        shown = ("readingsPerSecond", "p50Ms", "p99Ms")
        cells = [*(each.get(key, "") for key in shown), half, each.get("processorMicroseconds", "")]
        print(f"| {name} | {' | '.join(map(str, cells))} |")
    print(json.dumps({**result["agent"], "timesPlain": result["timesPlain"]}))


if __name__ == "__main__":
    main()
