"""``python -m edge_etl_operator.cli`` is ``edge-etl``."""

import sys

from edge_etl_operator.cli import main

sys.exit(main())
