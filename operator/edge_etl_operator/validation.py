"""Validate an EdgeETLJob as the API server would, without one.

Everything is taken from ``crd.yaml``, the same file that the cluster gets; the messages are those
of ``kubectl apply``, with the file, line and column in front. The steps and their order are the
API server's: unknown fields first (strict decoding), then defaults, the schema, and CEL rules. Last
comes what no schema can express, and what the operator would refuse in a condition.
"""

import copy
import functools
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from edge_etl_operator import api, cel_rules, metadata_rules, structural
from edge_etl_operator.policies import schedule
from edge_etl_operator.structural import BLOCKING, Problem, Schema
from edge_etl_operator.yaml_reader import Document, read_documents


class InvalidJobError(ValueError):
    """A document that the API server would refuse, with everything that is wrong in it."""

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.source = source
        self.problems = problems


def load_job(path: Path) -> dict[str, Any]:
    """Read the one EdgeETLJob of a file and return it with the defaults filled in.

    Raise OSError, YamlError or InvalidJobError; their messages are for the person who wrote it.
    """
    kind = crd()["spec"]["names"]["kind"]
    documents = read_documents(path)
    jobs = [each for each in documents if _kind(each.value) == kind] or documents
    if len(jobs) != 1:
        found = f"it holds {len(jobs)}" if jobs else "it is empty"
        raise InvalidJobError(str(path), [f"{path}: one {kind} is needed, {found}"])
    return validate(jobs[0])


def validate(document: Document) -> dict[str, Any]:
    """Return an EdgeETLJob with the defaults filled in, or raise InvalidJobError."""
    value = document.value
    found = (
        list(envelope_problems(value)) or list(job_problems(value)) or list(when_problems(value))
    )
    if found:
        lines = [f"{document.place(problem.path)}: {problem}" for problem in found]
        raise InvalidJobError(document.source, lines)
    return dict(structural.with_defaults(job_schema(), document.value))


def envelope_problems(value: Any) -> Iterator[Problem]:
    """Find out whether a document is an EdgeETLJob at all."""
    names, version = crd()["spec"], crd()["spec"]["versions"][0]["name"]
    api_version, kind = f"{names['group']}/{version}", names["names"]["kind"]
    if not isinstance(value, dict):
        yield Problem((), "kind", f"an object of kind {kind} is needed, not {_a_type(value)}")
        return
    for key, right in (("apiVersion", api_version), ("kind", kind)):
        if value.get(key) != right:
            found = f'no matches for {key} "{value[key]}"' if value.get(key) else f"{key} not set"
            yield Problem((key,), "kind", f'{found}, it must be "{right}"')


def job_problems(value: dict[str, Any]) -> Iterator[Problem]:
    """Find everything for which the API server would refuse an EdgeETLJob."""
    schema = job_schema()
    unknown = [
        Problem(path, "unknown field", f'unknown field "{structural.dotted(path)}"')
        for path in structural.unknown_fields(schema, value)
    ]
    if unknown:
        yield from unknown
        return
    job = structural.with_defaults(schema, value)
    found = [*structural.problems(schema, job), *metadata_rules.problems(job.get("metadata"))]
    yield from found
    if any(problem.kind in BLOCKING for problem in found):
        return
    yield from cel_rules.problems(schema, job)


def when_problems(value: dict[str, Any]) -> Iterator[Problem]:
    """Find out whether the operator can tell when a job, right so far, is to run."""
    document = structural.with_defaults(job_schema(), value)
    spec = api.parse({"metadata": {"name": "job"}, "spec": document["spec"]}).spec
    try:
        schedule.cron(spec)
    except schedule.TimeZoneError as error:
        yield Problem(("spec", "timeZone"), "Invalid value", str(error))
    except schedule.ScheduleError as error:
        yield Problem(("spec", "schedule"), "Invalid value", str(error))


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, dict) else None


def _a_type(value: Any) -> str:
    name = structural.type_name(value)
    return f"{'an' if name[0] in 'aio' else 'a'} {name}"


@functools.cache
def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as the cluster gets it."""
    text = resources.files("edge_etl_operator").joinpath("crd.yaml").read_text()
    definition = yaml.safe_load(text)
    assert isinstance(definition, dict)  # noqa: S101 - it is our own file
    return definition


@functools.cache
def job_schema() -> Schema:
    """Return the schema of a whole EdgeETLJob, metadata as every resource has it."""
    schema = copy.deepcopy(crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = metadata_rules.SCHEMA
    return dict(schema)
