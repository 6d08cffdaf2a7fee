"""The agent's process: its parts joined, and its end."""

import argparse
import asyncio
import fcntl
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web
from edge_etl_job.errors import EdgeError
from edge_etl_job.logs import log

from edge_etl_agent.budget import Budget
from edge_etl_agent.clock import Clock
from edge_etl_agent.configuration import Configuration, load
from edge_etl_agent.metrics import Counters
from edge_etl_agent.service import Service
from edge_etl_agent.store import Store
from edge_etl_agent.tokens import Tokens


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT; EdgeError when it cannot begin."""
    configuration = load(options.config)
    tokens = Tokens.load(options.tokens)
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    with _alone(options.directory):
        async with AsyncExitStack() as parts:
            store = await parts.enter_async_context(_store(options, configuration))
            counters = Counters()
            service = Service(store, tokens, configuration.rest, counters)
            await parts.enter_async_context(_Listening(service, options.host))
            if configuration.mqtt:
                from edge_etl_agent.mqtt import Subscriber

                subscriber = Subscriber(configuration.mqtt, options.node, store, counters)
                await parts.enter_async_context(subscriber)
            await _until(ending, store)
            log.info("ending")


async def _until(ending: asyncio.Event, store: Store) -> None:
    """Return when the process is told to end; raise what ended the store's writer."""
    tasks = [asyncio.create_task(ending.wait()), asyncio.create_task(store.failed())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[1].done():
            await tasks[1]
    finally:
        for task in tasks:
            task.cancel()


def _store(options: argparse.Namespace, configuration: Configuration) -> Store:
    clock = Clock(trusted=lambda: True) if configuration.trust_clock else Clock()
    source = options.source or options.directory
    budget = Budget(options.directory, source, options.state, configuration.storage)
    return Store(options.directory, configuration.storage, clock, budget)


class _Listening:
    """The REST service while it listens."""

    def __init__(self, service: Service, host: str | None) -> None:
        self._port = service.rest.port
        self._host = host
        self._runner = web.AppRunner(
            service.application(), access_log=None, shutdown_timeout=service.rest.silence_seconds
        )
        self._backlog = service.rest.max_connections

    async def __aenter__(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, backlog=self._backlog)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            message = f"cannot listen on port {self._port}: {error.strerror}"
            raise EdgeError("CannotListen", message) from error
        port = self._runner.addresses[0][1]
        log.info("serving", extra={"event": "serving", "port": port})

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


class _alone:  # noqa: N801 - a context manager that reads like a word
    """The directory, for this process alone; the kernel gives it back when it dies."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / ".lock"

    def __enter__(self) -> None:
        self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            message = f"another agent has {self._path.parent}"
            raise EdgeError("DirectoryTaken", message) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)
