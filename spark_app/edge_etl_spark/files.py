"""How Spark finds the files of an aggregation, and what becomes of those that it writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edge_etl_spark.manifests import measure

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


class Files(Protocol):
    """The files as paths, which all of Spark's processes find under their names."""

    @property
    def can_share(self) -> bool:
        """Whether a file that is there can be a part of a version without being written again."""

    @property
    def spark_conf(self) -> Mapping[str, str]:
        """What Spark has to be told to find them, which nothing else can change."""

    def named(self, path: Path) -> str:
        """Return what Spark calls a file or a directory."""

    def numbered(
        self,
        spark: "SparkSession",
        schema: "StructType",
        numbers: Mapping[Path, int],
        scratch: Path,
    ) -> "DataFrame":
        """Read nodes' files with the number of each (`rows.ORDER`), and a row's place in it."""

    def taken(self, spark: "SparkSession", written: Path, target: Path) -> list[Path]:
        """Bring what Spark wrote to a directory into another one, in staging; return the files."""

    def below(self, directory: Path) -> list[Path]:
        """Return the Parquet files in a directory of staging, sorted."""

    def measured(self, path: Path) -> tuple[int, str]:
        """Return size and SHA-256 of a file; FileNotFoundError where there is none."""


class LocalFiles:
    """Files of this machine, or of a volume that is mounted where all of Spark's processes are."""

    @property
    def can_share(self) -> bool:
        """Give it a link."""
        return True

    @property
    def spark_conf(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def named(self, path: Path) -> str:
        """Return the path."""
        return str(path)

    def numbered(
        self,
        spark: "SparkSession",
        schema: "StructType",
        numbers: Mapping[Path, int],
        scratch: Path,
    ) -> "DataFrame":
        """Read them by links."""
        from edge_etl_spark import rows

        return rows.numbered(spark, schema, numbers, scratch)

    def taken(self, spark: "SparkSession", written: Path, target: Path) -> list[Path]:
        """Rename the files."""
        moved = []
        for path in sorted(written.rglob("*.parquet")):
            moved.append(target / path.relative_to(written))
            moved[-1].parent.mkdir(parents=True, exist_ok=True)
            path.rename(moved[-1])
        return moved

    def below(self, directory: Path) -> list[Path]:
        """Look into the directory."""
        return sorted(directory.rglob("*.parquet"))

    def measured(self, path: Path) -> tuple[int, str]:
        """Read the file."""
        return measure(path)


def names(files: Files, paths: Sequence[Path]) -> list[str]:
    """Return what Spark calls several files."""
    return [files.named(path) for path in paths]
