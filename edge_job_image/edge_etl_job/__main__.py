"""``python -m edge_etl_job``."""

import gc
import os
import sys

# Of what is imported nothing is ever garbage: to look for some among it takes a tenth of a start.
# What works for longer enables it again.
gc.disable()

from edge_etl_job import lean  # noqa: E402

lean.load()

from edge_etl_job.cli import main  # noqa: E402

if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # All is closed that has to be: the system takes memory back sooner than Python does.
    os._exit(code)
