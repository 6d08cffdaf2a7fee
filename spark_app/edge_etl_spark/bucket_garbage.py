"""Remove from a bucket what dead uploads left: no lock says who is at work, so by their age."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from edge_etl_spark.errors import AggregationError
from edge_etl_spark.logs import log
from edge_etl_spark.objects import Objects

if TYPE_CHECKING:
    from edge_etl_spark.bucket import BucketResults

DATA: Final = "table/data"
"""Where the files of versions are."""
STAGING: Final = "table/staging"
"""Where executors write."""
DEAD: Final = timedelta(days=1)
"""After this an upload that nothing lists is taken for dead: longer than a run may take."""
_SWEPT: Final = timedelta(days=8)
"""So far back attempts of nodes are looked through."""


def sweep(results: "BucketResults", objects: Objects) -> None:
    """Remove the files that no version lists, and the attempts that no manifest names.

    What is younger than `DEAD` may be an upload under way.
    """
    dead = datetime.now(UTC) - DEAD
    # First the files, then who lists them: what is published meanwhile has young files.
    files = [item["path"] for item in objects.list(DATA) if item["last_modified"] < dead]
    try:
        versions = [results.read(number).manifest for number in results.numbers()]
    except AggregationError as error:
        # Nobody knows what a damaged version lists.
        log.warning(f"nothing is removed: {error.message}", extra={"event": "not-swept"})
        return
    listed = {f"{DATA}/{file.path}" for version in versions for file in version.files}
    gone = [path for path in files if path not in listed]
    gone += _dead_attempts(results, objects, dead)
    # An empty object there stands for a directory, and goes with it.
    gone += [
        item["path"]
        for item in objects.list(STAGING)
        if item["size"] and item["last_modified"] < dead
    ]
    if gone:
        log.info(f"removing {len(gone)} dead objects", extra={"event": "swept"})
        objects.delete(gone)


def _dead_attempts(results: "BucketResults", objects: Objects, dead: datetime) -> Iterator[str]:
    """Yield the files of attempts that began days ago and that no manifest names."""
    first, last = (f"{at:%Y%m%d-%H%M%S}" for at in (dead - _SWEPT, dead))
    standing: dict[tuple[str, str], str | None] = {}
    for item in objects.list("runs", f"runs/{first}"):
        parts = item["path"].split("/")
        if len(parts) != 5 or parts[1] >= last:
            continue
        _, run, node, attempt, _ = parts
        if (run, node) not in standing:
            standing[run, node] = _standing(results, run, node)
        if standing[run, node] not in (None, attempt) and item["last_modified"] < dead:
            yield item["path"]


def _standing(results: "BucketResults", run: str, node: str) -> str | None:
    """Return whose manifest stands: "" where there is none, None where it is damaged."""
    try:
        return results.delivery(run, node).manifest.attempt
    except FileNotFoundError:
        return ""
    except AggregationError:
        return None
