"""`edge-etl status`: a run on one screen, or all jobs in short."""

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli import DONE, output, pod_logs, session
from edge_etl_operator.cli.run_view import RunView, view
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cli.status_screen import Screen, overview
from edge_etl_operator.cluster import TransientError

_EVERY_SECONDS: Final = 1.0


def command(options: argparse.Namespace) -> int:
    """Show a job's run, or all jobs; with ``--watch`` until Ctrl-C."""
    within = session.opened(options)
    if options.watch and not output.wanted(options):
        return _watch(within, options)
    shown = _look(within, options)
    if output.wanted(options):
        if options.job is not None:
            output.emit("RunStatus", shown[0], options)
        else:
            output.emit("RunStatusList", shown, options)
    elif options.job is None and not shown:
        where = "any namespace" if options.all_namespaces else f"namespace {within.namespace!r}"
        print(f"there is no EdgeETLJob in {where}", file=sys.stderr)
    else:
        output.show(_screen(shown, options, fits=False))
    return DONE


def of(within: Session, job: EdgeETLJob) -> RunView:
    """Return what is shown of a job now, with the progress of the pods that are at work."""
    run = job.status.run
    going = run is not None and job.status.going
    progress = pod_logs.progress(within, job.name, run.id) if run and going else {}
    return view(job, datetime.now(UTC), progress)


def _look(within: Session, options: argparse.Namespace) -> list[RunView]:
    if options.job is not None:
        return [of(within, session.job(within, options.job))]
    namespace = None if options.all_namespaces else within.namespace
    found = session.jobs(within.connection, namespace)
    return [view(job, datetime.now(UTC)) for job in found]


def _watch(within: Session, options: argparse.Namespace) -> int:
    console = Console(markup=False, highlight=False)
    shown: list[RunView] = []
    try:
        # Without a terminal there is nothing to draw over: what is new is printed below the old.
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while console.is_terminal:
                lost = ""
                try:
                    shown = _look(within, options)
                except TransientError as error:
                    lost = f"not heard of the cluster: {error.message}"
                live.update(Group(_screen(shown, options, fits=True), lost), refresh=True)
                time.sleep(_EVERY_SECONDS)
    except KeyboardInterrupt:
        pass
    # The screen goes with the program; how it ended stays.
    output.show(_screen(shown or _look(within, options), options, fits=False))
    return DONE


def _screen(shown: list[RunView], options: argparse.Namespace, *, fits: bool) -> RenderableType:
    return overview(shown) if options.job is None else Group(*(Screen(s, fits=fits) for s in shown))
