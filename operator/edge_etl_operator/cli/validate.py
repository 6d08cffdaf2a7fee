"""`edge-etl validate`: whether the API server would take it."""

import argparse

from edge_etl_operator.cli import DONE
from edge_etl_operator.validation import load_job


def command(options: argparse.Namespace) -> int:
    """Check each file; raise what is wrong with the first that is."""
    for path in options.job:
        metadata = load_job(path)["metadata"]
        name = f"{metadata.get('namespace', 'default')}/{metadata['name']}"
        print(f"{path}: EdgeETLJob {name} is valid")
    return DONE
