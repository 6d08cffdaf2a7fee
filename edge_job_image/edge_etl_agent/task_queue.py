"""The tasks of this Pi: taken in, run one after the other, and kept until somebody fetched them.

A task is run by the edge program, as a cleaning pod runs it, into results of the same layout. What
has been delivered and was not removed yet stays on this disk.
"""

import errno
import re
import shutil
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

import msgspec
from edge_etl_job import report
from edge_etl_job.documents import NodeManifest, NodeSummary
from edge_etl_job.errors import EdgeError
from edge_etl_job.job import parsed
from edge_etl_job.logs import log
from edge_etl_job.results import ResultError
from edge_etl_job.results.directory import read_manifest
from edge_etl_job.results.durable import Incoming, make_folder
from edge_etl_job.results.garbage import remove_dead_attempts
from edge_etl_job.results.layout import DATASET, MANIFEST, Attempt, NodeRun

from edge_etl_agent import configuration
from edge_etl_agent.program import Ending, Program
from edge_etl_agent.refusals import (
    BUSY,
    FORBIDDEN,
    FULL,
    JOB_INVALID,
    NOT_FOUND,
    TASK_CONFLICT,
    UNAVAILABLE,
    Refusal,
)
from edge_etl_agent.tasks import Asked, Task, TaskFiles, next_number

_DATASET: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DAY: Final = 86_400.0
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_DEADLINE: Final = "DeadlineExceeded"
_CRASHED: Final = "Crashed"


class TaskQueue:
    """All tasks; ``with`` runs them. Its methods may be called by any thread."""

    def __init__(self, settings: configuration.Tasks, node: str, reserve_bytes: int) -> None:
        """Find the tasks of an earlier process; what had not ended is run again."""
        self.node = node
        self.sources = settings.sources
        self._settings = settings
        self._reserve = reserve_bytes
        self._root = Path(settings.directory)
        self._files = TaskFiles(self._root / "tasks")
        self._tasks = {task.id: task for task in self._files.load()}
        self._changed = threading.Condition()
        self._ending = False
        self._program: Program | None = None
        self._thread = threading.Thread(target=self._work, name="tasks")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify()
            program = self._program
        if program is not None:
            program.end()
        self._thread.join()

    def all(self) -> Sequence[Task]:
        """Return all tasks in their order."""
        with self._changed:
            return list(self._tasks.values())

    def get(self, name: str) -> Task:
        """Return a task."""
        with self._changed:
            if task := self._tasks.get(name):
                return task
        raise Refusal(NOT_FOUND, f"there is no task {name[:80]}")

    def add(self, dataset: str, content: bytes) -> tuple[Task, bool]:
        """Take a job document; return its task, and whether it is a new one."""
        if not _DATASET.fullmatch(dataset):
            message = "dataset: the id in the dataset.json of the results is needed"
            raise Refusal(JOB_INVALID, message)
        try:
            job = parsed(content, "the job")
            NodeRun(job.namespace, job.job, job.run, self.node)
        except (EdgeError, ResultError) as error:
            raise Refusal(JOB_INVALID, error.message) from None
        if job.source.name not in self.sources:
            known = ", ".join(sorted(self.sources))
            message = f"source.name: tasks may read {known} here, not {job.source.name}"
            raise Refusal(FORBIDDEN, message)
        with self._changed:
            asked = Asked(next_number(list(self._tasks.values())), dataset, job)
            if known_task := self._tasks.get(asked.id):
                if known_task.asked.job == job:
                    return known_task, False
                raise Refusal(TASK_CONFLICT, f"run {job.run} was asked for with another document")
            self._make_room()
            self._keep(asked)
            task = self._tasks[asked.id] = Task(asked)
            self._changed.notify()
            return task, True

    def _make_room(self) -> None:
        for task in list(self._tasks.values()):
            if len(self._tasks) < self._settings.most:
                break
            if task.phase == "Failed" and self.manifest(task) is None:
                self._forget(task)
        if len(self._tasks) >= self._settings.most:
            message = (
                f"{len(self._tasks)} tasks wait, run, or have results that nobody has fetched "
                "and removed"
            )
            raise Refusal(BUSY, message)
        if shutil.disk_usage(self._root).free < self._reserve:
            raise Refusal(FULL, "no space is left for results")

    def _keep(self, asked: Asked) -> None:
        try:
            self._files.add(asked)
        except OSError as error:
            reason = FULL if error.errno in _FULL else UNAVAILABLE
            raise Refusal(reason, f"the disk cannot be written: {error.strerror}") from None

    def _forget(self, task: Task) -> None:
        self._files.remove(task)
        del self._tasks[task.id]

    def remove(self, name: str) -> None:
        """Forget a task and its files; manifests stay, since ledgers are made again from them."""
        with self._changed:
            task = self.get(name)
            manifest = self.manifest(task)
            if task.running or (task.summary is None and manifest is not None):
                raise Refusal(TASK_CONFLICT, f"{name} is being run: it can be removed afterwards")
            if manifest is not None:
                # First what is large: should the agent be killed now, the task can be seen.
                shutil.rmtree(self._attempt_folder(task, manifest), ignore_errors=True)
            self._forget(task)

    def manifest(self, task: Task) -> NodeManifest | None:
        """Return what a task has delivered; it may have, whatever else its end was."""
        content = read_manifest(self._results(task), self._place(task))
        return None if content is None else msgspec.json.decode(content, type=NodeManifest)

    def file(self, task: Task, name: str) -> Path:
        """Return where a file of the results lies: the manifest, or one that it lists."""
        manifest = self.manifest(task)
        if manifest is not None and name == MANIFEST:
            return self._results(task) / self._place(task).node_folder / MANIFEST
        if manifest is not None and any(file.name == name for file in manifest.files):
            path = self._attempt_folder(task, manifest) / name
            if path.is_file():
                return path
        raise Refusal(NOT_FOUND, f"{task.id} has delivered no file {name[:80]}")

    def _results(self, task: Task) -> Path:
        return self._root / "results" / task.asked.dataset

    def _place(self, task: Task) -> NodeRun:
        job = task.asked.job
        return NodeRun(job.namespace, job.job, job.run, self.node)

    def _attempt_folder(self, task: Task, manifest: NodeManifest) -> Path:
        return self._results(task) / self._place(task).node_folder / manifest.attempt

    def _work(self) -> None:
        while task := self._next():
            summary = self._run(task)
            with self._changed:
                task.running, self._program = False, None
                # What was told to end with the agent is run again by the next one.
                if not self._ending:
                    task.summary = summary
                    self._note(task, summary)

    def _next(self) -> Task | None:
        with self._changed:
            while not self._ending:
                for task in self._tasks.values():
                    if task.phase == "Pending":
                        task.running = True
                        return task
                self._changed.wait()
            return None

    def _note(self, task: Task, summary: NodeSummary) -> None:
        facts = {"event": "task", "task": task.id, "reason": summary.reason}
        log.info(summary.message, extra=facts)
        try:
            self._files.end(task, summary)
            remove_dead_attempts(self._results(task), 0, _DAY)
        except OSError as error:
            # After a restart it is run again, and finds that it has delivered.
            log.error("%s", error, extra={"reason": UNAVAILABLE})

    def _run(self, task: Task) -> NodeSummary:
        job, attempt = task.asked.job, str(uuid.uuid4())
        try:
            program = self._started(task, attempt)
        except (OSError, ResultError) as error:
            return report.failed(job.run, self.node, attempt, UNAVAILABLE, str(error))
        if program is None:
            return report.failed(job.run, self.node, attempt, UNAVAILABLE, "the agent is ending")

        def progress(done: int, total: int) -> None:
            task.bytes_done, task.bytes_total = done, total

        ending = program.wait(self._settings.deadline_seconds, progress)
        return _said(ending) or report.failed(
            job.run,
            self.node,
            attempt,
            _CRASHED if ending.in_time else _DEADLINE,
            str(ending)
            if ending.in_time
            else f"the program did not end within {self._settings.deadline_seconds} s",
        )

    def _started(self, task: Task, attempt: str) -> Program | None:
        """Start the program, unless the agent is ending."""
        job, dataset = task.asked.job, task.asked.dataset
        place = Attempt(job.namespace, job.job, job.run, self.node, attempt)
        folder = make_folder(self._root, PurePosixPath("results", dataset) / place.folder)
        if not (folder / DATASET).exists():
            with Incoming(folder, digested=False) as incoming:
                incoming.write(msgspec.json.encode({"id": dataset}))
                incoming.publish(DATASET)
        state = make_folder(self._root, PurePosixPath("state", job.namespace, job.job))
        work = self._root / "work"
        shutil.rmtree(work, ignore_errors=True)
        (work / "files").mkdir(parents=True)
        (work / "job.json").write_bytes(msgspec.json.encode(job))
        paths = {
            "--job": work / "job.json",
            "--source": self.sources[job.source.name],
            "--state": state,
            "--work": work / "files",
            "--results": self._results(task),
        }
        arguments = ["run", "--node", self.node, "--attempt", attempt]
        arguments += [str(part) for pair in paths.items() for part in pair]
        with self._changed:
            if self._ending:
                return None
            self._program = Program(arguments, work)
            return self._program


def _said(ending: Ending) -> NodeSummary | None:
    """Return the program's own summary, if it came to write one in time."""
    if not ending.in_time:
        return None
    try:
        summary = msgspec.json.decode(ending.said, type=NodeSummary)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if ending.code and summary.succeeded else summary
