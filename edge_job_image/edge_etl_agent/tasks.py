"""Tasks on the disk: what was asked for, and what became of it.

Each file is written once and whole, so that a kill at any moment leaves a task as it was before or
as it is afterwards. What has no summary yet is to be run, also after a restart: the edge program
delivers a run once, however often it is begun.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import msgspec
from edge_etl_job.documents import JobDocument, NodeSummary
from edge_etl_job.results.durable import Incoming, sync_folder
from edge_etl_job.results.layout import INCOMING

ID: Final = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{16}")
_ASKED: Final = ".task"
_ENDED: Final = ".summary"

Phase = Literal["Pending", "Running", "Succeeded", "Failed"]


class Asked(msgspec.Struct, frozen=True, rename="camel"):
    """What was asked for."""

    number: int
    """Tasks are run in the order of their numbers."""
    dataset: str
    """Whose results they are: what was delivered there is not delivered again."""
    job: JobDocument

    @property
    def id(self) -> str:
        """The task's name, the same whenever the same is asked for again."""
        parts = (self.dataset, self.job.namespace, self.job.job, self.job.run)
        return f"{self.job.run}-{sha256('/'.join(parts).encode()).hexdigest()[:16]}"


@dataclass
class Task:
    """A task, and how far it is."""

    asked: Asked
    summary: NodeSummary | None = None
    """What became of it; None until it has ended."""
    running: bool = False
    bytes_done: int = 0
    bytes_total: int = 0

    @property
    def id(self) -> str:
        """Its name."""
        return self.asked.id

    @property
    def phase(self) -> Phase:
        """Where it is."""
        if self.summary is not None:
            return "Succeeded" if self.summary.succeeded else "Failed"
        return "Running" if self.running else "Pending"


class TaskFiles:
    """The folder in which all tasks lie."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, and remove what a kill has left behind."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            alone = path.suffix == _ENDED and not path.with_suffix(_ASKED).exists()
            if alone or path.name.startswith(INCOMING):
                path.unlink()

    def load(self) -> Iterator[Task]:
        """Give all tasks in their order."""
        tasks = [self._task(path) for path in self._folder.glob(f"*{_ASKED}")]
        yield from sorted(tasks, key=lambda task: task.asked.number)

    def _task(self, path: Path) -> Task:
        asked = msgspec.json.decode(path.read_bytes(), type=Asked)
        ended = path.with_suffix(_ENDED)
        if not ended.exists():
            return Task(asked)
        return Task(asked, msgspec.json.decode(ended.read_bytes(), type=NodeSummary))

    def add(self, asked: Asked) -> None:
        """Keep a new task; it is durable on return."""
        self._write(f"{asked.id}{_ASKED}", msgspec.json.encode(asked))

    def end(self, task: Task, summary: NodeSummary) -> None:
        """Keep what became of a task."""
        self._write(f"{task.id}{_ENDED}", msgspec.json.encode(summary))

    def _write(self, name: str, content: bytes) -> None:
        with Incoming(self._folder, digested=False) as incoming:
            incoming.write(content)
            incoming.publish(name)

    def remove(self, task: Task) -> None:
        """Forget a task."""
        for suffix in (_ASKED, _ENDED):
            (self._folder / f"{task.id}{suffix}").unlink(missing_ok=True)
        sync_folder(self._folder)


def next_number(tasks: Sequence[Task]) -> int:
    """Return a number that comes after those of all tasks."""
    return 1 + max((task.asked.number for task in tasks), default=0)
