"""The compiled engine; `edge_etl_job.engine_native` is its only caller."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TypedDict

class Input(TypedDict, total=False):
    """What became of one input: counts, or one of the others, which say why it was not read."""

    rows: int
    clean: int
    duplicate: int
    rejected: dict[str, int]
    refused: list[tuple[int, int, int]]
    lines: int
    content: bytes
    quarantined: tuple[str, str]
    shrunk: tuple[int, int]
    irregular: bool
    errno: int

class Outcome(TypedDict):
    """What the engine made of its inputs."""

    inputs: list[Input]
    files: list[tuple[str, str, str | None, int, int, str]]
    latest: int | None
    columns: list[str]
    headers: int

def clean(
    plan: str,
    inputs: Sequence[tuple[str, PathLike[str], int, int, int, int]],
    work_dir: PathLike[str],
    progress: Callable[[int], object],
) -> Outcome:
    """Clean the inputs, each (name, path, start, end, lines, digested), as the plan (JSON) says."""
