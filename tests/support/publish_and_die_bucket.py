"""Publish a version in each of several buckets, and die after the first, second… change of one.

``python -m tests.support.publish_and_die_bucket CREDENTIALS LOCATION...`` kills itself with -9 in
the first bucket after the first request of a publication that puts or deletes something, in the
second one after the second such request, and so on. It prints how many publications died.
"""

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
import pandas as pd  # noqa: F401  # else each child loads it, which takes seconds
from edge_etl_spark import objects
from edge_etl_spark.results import open_results

from tests.support.publish_many import publish_version


class Dying:
    """The library, until it has changed something so many times."""

    def __init__(self, moment: int) -> None:
        self._moment = moment
        self._moments = itertools.count(1)
        self._one = threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def request(*arguments: Any, **options: Any) -> Any:
            answer = getattr(obstore, name)(*arguments, **options)
            with self._one:  # several files travel at a time
                if name in ("put", "delete") and next(self._moments) == self._moment:
                    os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return request


def main(credentials: Path, locations: list[str]) -> int:
    """Return how many died."""
    died = 0
    for moment, location in enumerate(locations, 1):
        child = os.fork()  # nothing here has used the library yet, which has threads then
        if child == 0:
            vars(objects)["obstore"] = Dying(moment)
            publish_version(open_results(location, "garden", "air-quality", credentials))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and status:
            sys.exit(f"the publication failed at moment {moment}")
        died += os.WIFSIGNALED(status)
    return died


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2:]))
