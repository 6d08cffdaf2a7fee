"""``python -m edge_etl_job``."""

import sys

# msgspec takes typing_extensions where it is installed, for Pythons older than ours: to import that
# is a third of a start that finds nothing new.
sys.modules["typing_extensions"] = None  # type: ignore[assignment]
import msgspec  # noqa: E402, F401

del sys.modules["typing_extensions"]

from edge_etl_job.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
