"""The operator's entry: `python main.py --namespace NAME`, or `--all-namespaces`."""

import argparse
import sys

import kopf
from edge_etl_operator.fleet import EVERYWHERE
from edge_etl_operator.handlers import Doorbells
from edge_etl_operator.settings import SettingsError, load


def main() -> None:
    """Run until a signal ends it."""
    parser = argparse.ArgumentParser(description="Reconciles EdgeETLJobs.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--namespace", action="append", default=[], help="serve this namespace; may be repeated"
    )
    where.add_argument("--all-namespaces", action="store_true", help="serve the whole cluster")
    options = parser.parse_args()
    try:
        settings = load()
    except SettingsError as error:
        sys.exit(f"edge-etl operator: {error}")
    Doorbells(settings, options.namespace or (EVERYWHERE,)).register()
    kopf.configure(log_format=kopf.LogFormat.JSON)
    kopf.run(standalone=True, clusterwide=options.all_namespaces, namespaces=options.namespace)


if __name__ == "__main__":
    main()
