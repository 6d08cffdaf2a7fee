"""When the aggregation did what: its own log says so."""

import logging
from datetime import UTC, datetime

from edge_etl_spark.run_report.facts import Step


class Steps(logging.Handler):
    """Remembers each step that the log says begins (`logs.progress`)."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Step] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log."""
        step = getattr(record, "step", None)
        if step is not None:
            began = datetime.fromtimestamp(record.created, UTC)
            self.begun.append(Step(str(step), record.getMessage(), began))
