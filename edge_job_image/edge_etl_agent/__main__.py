"""``python -m edge_etl_agent``."""

import sys

from edge_etl_agent.command import main

if __name__ == "__main__":
    sys.exit(main())
