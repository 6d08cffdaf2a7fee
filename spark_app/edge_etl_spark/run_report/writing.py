"""Write the report of a run. Whatever is wrong with it, the run goes on as if it were not there."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_etl_spark.documents import (
    AggregationDocument,
    AggregationReport,
    NodeAccount,
    Spark,
)
from edge_etl_spark.errors import APPLICATION_FAILED, SCHEMA_CHANGED, SCHEMA_DRIFT
from edge_etl_spark.java import java_home
from edge_etl_spark.logs import log, progress
from edge_etl_spark.results import Results
from edge_etl_spark.run_report.facts import Example, Features
from edge_etl_spark.run_report.gathering import accounts, gathered, rejected_files
from edge_etl_spark.run_report.timeline import Steps

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEPT: Final = 100
"""Reports of a job; older ones go away."""
_STARTS_SPARK: Final = frozenset({"NothingNew", SCHEMA_DRIFT, SCHEMA_CHANGED, APPLICATION_FAILED})
"""Ends without a look at any file, after which one is worth Spark's start: rows were rejected, and
Spark itself is well."""


@dataclass
class Report:
    """The report of one aggregation, which is told of things as they happen."""

    document: AggregationDocument
    results: Results
    steps: Steps = field(default_factory=Steps)
    _examples: tuple[Example, ...] | None = None
    _features: Features | None = None

    @cached_property
    def accounts(self) -> tuple[NodeAccount, ...]:
        """What the run's nodes say that they delivered."""
        return accounts(self.document, self.results)

    def look(self, spark: "SparkSession", results: Results, version: int | None) -> None:
        """Take from a version what the report shows of it, and from the run's rejected rows.

        ``results`` are the report's own, or those of an aggregation, which has fetched much of it.
        """
        from edge_etl_spark.run_report import looking

        progress("report", "collecting what the report shows")
        try:
            self._examples = looking.examples(
                spark, results, rejected_files(results, self.accounts)
            )
            if version:
                self._features = looking.features(spark, results, results.read(version))
        except Exception as error:
            _not_written(error)

    def write(self, outcome: AggregationReport, java: Path | None = None) -> str | None:
        """Write the report and return its place; None when that failed, which the log says."""
        try:
            return self._write(outcome, java)
        except Exception as error:
            _not_written(error)
            return None

    def _write(self, outcome: AggregationReport, java: Path | None) -> str:
        from edge_etl_spark.run_report.page import page

        facts = gathered(self.document, self.results, self.accounts, outcome)
        rejected = sum(node.rows_rejected for node in facts.nodes)
        if self._examples is None and rejected and outcome.reason in _STARTS_SPARK:
            self._look_again(java)
        why = "" if self._examples else "The aggregation ended before it had looked at the lines."
        facts = replace(
            facts,
            steps=tuple(self.steps.begun),
            examples=self._examples or (),
            examples_missing=why if rejected else "",
            features=self._features,
        )
        html = page(facts).encode()
        place = self.results.put_report(self.document.run, html, KEPT)
        log.info("the report is written", extra={"event": "report", "path": place})
        return place

    def _look_again(self, java: Path | None) -> None:
        """Start Spark on this machine alone, to read a few files."""
        from edge_etl_spark.session import session

        memory = self.document.spark.conf.get("spark.driver.memory", "1g")
        small = Spark(master="local[1]", conf={"spark.driver.memory": memory})
        with java_home(java), session(small, f"report of {self.document.job}", 0) as spark:
            numbers = self.results.numbers()
            self.look(spark, self.results, numbers[-1] if numbers else None)


def _not_written(error: Exception) -> None:
    log.warning(f"no report: {error}", exc_info=error, extra={"event": "no-report"})
