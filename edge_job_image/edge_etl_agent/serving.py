"""The agent's process: its parts joined, and its end."""

import argparse
import fcntl
import os
import re
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from edge_etl_engine import Intake
from edge_etl_job.errors import EdgeError
from edge_etl_job.logs import log
from edge_etl_job.names import NAME

from edge_etl_agent.budget import Budget
from edge_etl_agent.clock import Clock
from edge_etl_agent.configuration import CONFIG_INVALID, Configuration, load
from edge_etl_agent.metrics import Counters
from edge_etl_agent.service import Service
from edge_etl_agent.store import Store
from edge_etl_agent.task_queue import TaskQueue
from edge_etl_agent.task_service import TaskService
from edge_etl_agent.tokens import Tokens

_WAIT_SECONDS: Final = 0.25
"""How long a signal may have to wait until it is noticed."""


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT; EdgeError when it cannot begin."""
    configuration = load(options.config)
    tokens = Tokens.load(options.tokens)
    _more_connections()
    with ExitStack() as parts:
        parts.enter_context(_alone(options.directory))
        store = parts.enter_context(_store(options, configuration))
        intake = Intake(configuration.storage.waiting, configuration.storage.waiting_bytes)
        intake.set_tokens(tokens.known())
        counters = Counters(intake)
        subscriber = None
        if configuration.mqtt:
            from edge_etl_agent.mqtt import Subscriber

            subscriber = Subscriber(configuration.mqtt, options.node, store.root, intake, counters)
        tasks = _tasks(options.node, configuration, tokens, parts)
        _listen(intake, Service(store, counters, tasks), configuration, options.host)
        ending = _Ending(intake)
        if subscriber:
            parts.enter_context(subscriber)
        while not (ending.told and intake.ended()):
            for part in intake.take(_WAIT_SECONDS):
                store.store(part)
            for ticket, refusal in intake.settled():
                if subscriber:
                    subscriber.settle(ticket, refusal)
            if subscriber:
                subscriber.tick()
            store.tick()
        log.info("ending")


class _Ending:
    """Whether the process was told to end."""

    def __init__(self, intake: Intake) -> None:
        self.told = False
        self._intake = intake
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def _tell(self, *_: object) -> None:
        self.told = True
        self._intake.end()


def _listen(
    intake: Intake, service: Service, configuration: Configuration, host: str | None
) -> None:
    rest = configuration.rest
    options = msgspec.json.encode({"host": host, **msgspec.to_builtins(rest)}).decode()
    try:
        port = intake.listen(options, service.respond)
    except OSError as error:
        message = f"cannot listen on port {rest.port}: {error}"
        raise EdgeError("CannotListen", message) from error
    log.info("serving", extra={"event": "serving", "port": port})


def _tasks(
    node: str, configuration: Configuration, tokens: Tokens, parts: ExitStack
) -> TaskService | None:
    """Begin with the tasks, if there are to be any."""
    settings, rest = configuration.tasks, configuration.rest
    if settings is None:
        return None
    if tokens.tokens is None and rest.client_ca_file is None:
        message = "tasks: not without --tokens or rest.clientCaFile: anybody could have them run"
        raise EdgeError(CONFIG_INVALID, message)
    if not re.fullmatch(NAME, node):
        message = f"--node {node!r}: tasks need this Pi's name: a-z, 0-9, - and ."
        raise EdgeError(CONFIG_INVALID, message)
    folders = {"directory": settings.directory} | {
        f"sources.{name}": path for name, path in settings.sources.items()
    }
    for name, folder in folders.items():
        if not Path(folder).is_absolute() or not Path(folder).is_dir():
            raise EdgeError(CONFIG_INVALID, f"tasks.{name}: {folder} is no absolute directory")
    if not os.access(settings.directory, os.W_OK | os.X_OK):
        message = f"tasks.directory: {settings.directory} may not be written by this user"
        raise EdgeError(CONFIG_INVALID, message)
    parts.enter_context(_alone(Path(settings.directory)))
    queue = TaskQueue(settings, node, configuration.storage.reserve_bytes)
    return TaskService(parts.enter_context(queue), tokens)


def _store(options: argparse.Namespace, configuration: Configuration) -> Store:
    clock = Clock(trusted=lambda: True) if configuration.trust_clock else Clock()
    source = options.source or options.directory
    state = options.state
    if state is None and configuration.tasks:
        state = Path(configuration.tasks.directory) / "state"
    budget = Budget(options.directory, source, state, configuration.storage)
    return Store(options.directory, configuration.storage, clock, budget)


def _more_connections() -> None:
    """Allow as many open files as the system lets this process have: 1,024 are too few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Have the directory for this process alone; the kernel gives it back when it dies."""
    lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise EdgeError("DirectoryTaken", f"another agent has {directory}") from None
    try:
        yield
    finally:
        os.close(lock)
