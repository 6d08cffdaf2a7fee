"""``python -m edge_etl_job``."""

import sys

from edge_etl_job.cli import main

if __name__ == "__main__":
    sys.exit(main())
