"""Where the documents and files of one job lie (``docs/contracts/README.md``)."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobPaths:
    """The results of one job below the results' root."""

    root: Path
    namespace: str
    job: str

    @property
    def directory(self) -> Path:
        """All that belongs to the job."""
        return self.root / self.namespace / self.job

    @property
    def runs(self) -> Path:
        """What the nodes delivered."""
        return self.directory / "runs"

    @property
    def table(self) -> Path:
        """The published table."""
        return self.directory / "table"

    @property
    def reports(self) -> Path:
        """The reports for people, a file for each run."""
        return self.directory / "reports"

    @property
    def spark_events(self) -> Path:
        """Spark's event logs, where the job asks for them."""
        return self.directory / "spark-events"

    def manifest(self, run: str, node: str) -> Path:
        """Return the path of the manifest of ``node`` in ``run``."""
        return self.runs / run / node / "manifest.json"
