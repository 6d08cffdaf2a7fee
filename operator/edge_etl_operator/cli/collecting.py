"""Bring what agents delivered into results here, as docs/contracts/README.md lays them out.

A manifest comes last and exclusively, as a cleaning pod commits it: killed at any moment, the same
is fetched again, and nothing is there twice. What an agent says is believed as little as it must
be: names that lead elsewhere, and bytes that are not those of its manifest, are refused.
"""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from edge_etl_operator.cli.agents import Agent, AgentError, AgentTask, OutOfReachError

_MANIFEST: Final = "manifest.json"
_DATASET: Final = "dataset.json"
_INVALID: Final = "ManifestInvalid"
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_RUN: Final = re.compile(r"[0-9]{8}-[0-9]{6}")
_FILE: Final = re.compile(r"[a-z0-9][a-z0-9._=-]{0,127}")


class _Dataset(msgspec.Struct, frozen=True):
    id: str


class _File(msgspec.Struct, frozen=True):
    name: str
    bytes: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True):
    namespace: str
    job: str
    run: str
    node: str
    attempt: str
    files: tuple[_File, ...]


def dataset_id(folder: Path) -> str:
    """Return the id of a job's results; whoever comes first makes it."""
    path = folder / _DATASET
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _commit(path, msgspec.json.encode(_Dataset(str(uuid.uuid4()))))
    return msgspec.json.decode(path.read_bytes(), type=_Dataset).id


def collect(agent: Agent, task: AgentTask, node: str, folder: Path) -> None:
    """Bring what a task delivered, if it delivered, into the job's results; then it is removed.

    Raise AgentError when the agent's results are not to be believed, OutOfReachError when it went
    away: the next call goes on.
    """
    content = agent.manifest(task.id)
    if content is not None:
        manifest = _checked(content, task, node)
        place = folder / "runs" / manifest.run / node
        standing = place / _MANIFEST
        if not standing.exists():
            _fetch(agent, task, manifest, place / manifest.attempt)
            _commit(standing, content)
        if _decoded(standing.read_bytes()).attempt != manifest.attempt:
            message = f"{standing} is of another attempt than that of {agent.url}"
            raise AgentError("ResultConflict", message)
    agent.remove(task.id)


def _decoded(content: bytes) -> _Manifest:
    try:
        return msgspec.json.decode(content, type=_Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AgentError(_INVALID, f"not a node manifest: {error}") from None


def _checked(content: bytes, task: AgentTask, node: str) -> _Manifest:
    manifest = _decoded(content)
    right = (task.namespace, task.job, task.run, node)
    found = (manifest.namespace, manifest.job, manifest.run, manifest.node)
    if found != right:
        raise AgentError(_INVALID, f"the manifest is of {'/'.join(found)}, not {'/'.join(right)}")
    names = [each.name for each in manifest.files]
    if (
        not (_RUN.fullmatch(manifest.run) and _ID.fullmatch(manifest.attempt))
        or not all(map(_FILE.fullmatch, names))
        or len(set(names)) < len(names)
    ):
        raise AgentError(_INVALID, "the manifest has names that are none")
    return manifest


def _fetch(agent: Agent, task: AgentTask, manifest: _Manifest, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in manifest.files:
        path = folder / file.name
        if path.exists() and (path.stat().st_size, _sha256(path)) == (file.bytes, file.sha256):
            continue
        with agent.file(task.id, file.name) as parts, _incoming(path) as incoming:
            _receive(parts, file, incoming)
            Path(incoming.name).replace(path)
    for each in (folder, *folder.parents[:3]):
        _sync(each)


def _receive(parts: Iterator[bytes], file: _File, incoming: BinaryIO) -> None:
    digest, size = hashlib.sha256(), 0
    for part in parts:
        size += len(part)
        if size > file.bytes:
            break
        digest.update(part)
        incoming.write(part)
    if size < file.bytes:
        raise OutOfReachError(f"{file.name} broke off")
    if size > file.bytes or digest.hexdigest() != file.sha256:
        raise AgentError("DigestMismatch", f"{file.name} is not as the manifest says")
    incoming.flush()
    os.fsync(incoming.fileno())


def _commit(path: Path, content: bytes) -> None:
    """Let a file appear whole and durable; what has the name already stays."""
    with _incoming(path) as incoming:
        incoming.write(content)
        incoming.flush()
        os.fsync(incoming.fileno())
        with suppress(FileExistsError):
            os.link(incoming.name, path)
    _sync(path.parent)


@contextmanager
def _incoming(path: Path) -> Iterator[BinaryIO]:
    """Give a file that goes unless it is given another name."""
    incoming = path.with_name(f".incoming-{uuid.uuid4().hex}")
    try:
        with incoming.open("xb") as file:
            yield file
    finally:
        incoming.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
