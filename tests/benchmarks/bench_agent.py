"""What the edge agent takes, beside a plain Flask handler that fsyncs each request.

``python -m tests.benchmarks.bench_agent [--seconds N] [--clients N]``; prints a table and writes
``build/bench-agent/result.json``. The servers are pinned to one core, this client to the others.
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
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeVar

from tests.support.agent import AgentProcess, Broker, free_port
from tests.support.cluster.cache import REPOSITORY
from tests.support.cluster.kube import until

_T = TypeVar("_T")
RESULT = REPOSITORY / "build" / "bench-agent" / "result.json"
MQTT_MESSAGES = 100


@dataclass
class Load:
    """Requests of many clients, each on a connection that stays."""

    port: int
    body: bytes
    readings: int
    clients: int
    seconds: float
    rate: float | None = None
    """Requests a second of all clients together; None: as many as are answered."""
    latencies: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Send until the time is up."""
        end = time.monotonic() + self.seconds
        async with asyncio.TaskGroup() as group:
            for number in range(self.clients):
                group.create_task(self._client(number, end))

    async def _client(self, number: int, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        request = head + b"Content-Length: %d\r\n\r\n%b" % (len(self.body), self.body)
        pause = self.clients / self.rate if self.rate else 0.0
        due = time.monotonic() + pause * number / self.clients
        while (now := time.monotonic()) < end:
            if pause:
                await asyncio.sleep(max(0.0, due - now))
                begin, due = due, due + pause  # what waits for an earlier answer counts as well
            else:
                begin = now
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            length = answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            self.latencies.append(time.monotonic() - begin)
        writer.close()

    def figures(self) -> dict[str, float]:
        """Return what was measured: readings a second, and milliseconds."""
        parts = quantiles(self.latencies, n=100)
        return {
            "readingsPerSecond": round(len(self.latencies) * self.readings / self.seconds),
            "p50Ms": round(parts[49] * 1000, 2),
            "p99Ms": round(parts[98] * 1000, 2),
        }


def body(readings: int) -> bytes:
    """Return so many readings as a sensor would send them."""
    each = {"timestamp": "2026-03-01T12:00:00Z", "sensor_id": "roof-1", "t": 21.5}
    return json.dumps(each if readings == 1 else [each] * readings).encode()


def measured(port: int, readings: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the top rate, then the latencies at half of it."""
    top = Load(port, body(readings), readings, options.clients, options.seconds)
    asyncio.run(top.run())
    found = top.figures()
    rate = found["readingsPerSecond"] / readings / 2
    half = Load(port, body(readings), readings, options.clients, options.seconds, rate)
    asyncio.run(half.run())
    return {**found, "atHalf": half.figures()}


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


@contextmanager
def plain(folder: Path) -> Iterator[int]:
    """Run the plain handler; give its port."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.plain_flask", str(port)]
    process = subprocess.Popen([*command, str(folder / "plain.csv")], cwd=REPOSITORY)
    try:
        until(lambda: _listens(port), "the plain handler listens", every=0.05)
        yield port
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
        with Broker(folder / "broker") as broker:
            topics = [{"pattern": "sensors/{sensor_id}/{field}", "stream": "mqtt"}]
            connection = {"host": "127.0.0.1", "port": broker.port, "topics": topics}
            agent = AgentProcess(folder, {"mqtt": connection})
            with _pinned(cores[0], agent):
                result["rest single"] = measured(agent.port, 1, options)
                result["rest batches of 100"] = measured(agent.port, 100, options)
                result["mqtt QoS 1"] = mqtt(agent, broker, options.clients)
                assert agent.process
                status = Path(f"/proc/{agent.process.pid}/status").read_text()
                agent.stop()
            rows = agent.stored()
            size = sum(path.stat().st_size for path in (agent.source / "readings").iterdir())
        result["agent"] = {
            "peakMemoryMB": int(status.partition("VmHWM:")[2].split()[0]) // 1000,
            "bytesPerReading": round(size / len(rows), 1),
        }
        with _pinned(cores[0], plain(folder)) as port:
            result["plain handler"] = measured(port, 1, options)
    times = (
        result["rest single"]["readingsPerSecond"] / result["plain handler"]["readingsPerSecond"]
    )
    result["timesPlain"] = round(times, 1)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| | readings/s | p50 ms | p99 ms | p99 ms at half the rate |\n|---|---|---|---|---|")
    for name in ("rest single", "rest batches of 100", "mqtt QoS 1", "plain handler"):
        each = result[name]
        half = each.get("atHalf", {}).get("p99Ms", "")
        cells = (each["readingsPerSecond"], each.get("p50Ms", ""), each.get("p99Ms", ""), half)
        print(f"| {name} | {' | '.join(map(str, cells))} |")
    print(json.dumps({**result["agent"], "timesPlain": result["timesPlain"]}))


if __name__ == "__main__":
    main()
