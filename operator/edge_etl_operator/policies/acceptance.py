"""Whether a job may run here at all: what the CRD cannot know because the chart decides it."""

from edge_etl_operator import conditions
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.conditions import Reason
from edge_etl_operator.policies import schedule
from edge_etl_operator.settings import Settings


def refusal(job: EdgeETLJob, settings: Settings) -> tuple[Reason, str] | None:
    """Return why the job cannot run and the facts behind it, None when it can."""
    source = job.spec.source.name
    if source not in settings.sources:
        allowed = ", ".join(sorted(settings.sources)) or "none"
        return (
            conditions.SOURCE_NOT_ALLOWED,
            f"spec.source.name is {source!r}; the allowed sources are: {allowed}",
        )
    try:
        schedule.cron(job.spec)
    except schedule.TimeZoneError as error:
        return conditions.UNKNOWN_TIME_ZONE, f"spec.timeZone: {error}"
    except schedule.ScheduleError as error:
        return conditions.INVALID_SCHEDULE, f"spec.schedule: {error}"
    if refused := _window(job):
        return refused
    if job.spec.results.landing is None:
        return None
    landing = settings.landing
    if landing is None:
        return (
            conditions.LANDING_UNAVAILABLE,
            "spec.results.landing needs the landing service, which is not installed",
        )
    if landing.namespace != job.namespace:
        return (
            conditions.LANDING_UNAVAILABLE,
            f"spec.results.landing needs the landing service, which is in namespace "
            f"{landing.namespace!r} and not in {job.namespace!r}",
        )
    return None


def _window(job: EdgeETLJob) -> tuple[Reason, str] | None:
    """Refuse windows of the table that the nodes' windows do not fill: CEL cannot divide times."""
    window, nodes = job.spec.aggregate.window, job.spec.features.window
    if window is None or _seconds(window) % _seconds(nodes) == 0:
        return None
    return (
        conditions.WINDOW_NOT_COARSER,
        f"spec.aggregate.window is {window}, which is no multiple of spec.features.window, {nodes}",
    )


def _seconds(window: str) -> int:
    return int(window[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[window[-1]]
