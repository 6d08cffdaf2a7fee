"""Which run the schedule asks for now, and when it asks again.

Slots are those of Debian's cron, as cronsim computes them. Where clocks are put forward, a slot in
the hour that is left out comes once, at its end; where they are put back, a slot at a given hour
comes once, the first time. A schedule for every hour or every so many minutes goes on evenly.

``status.nextRunTime`` is the memory: the first slot that no run has been begun for. It moves on in
the same write that begins a run, so there never are two runs for one slot, whoever dies. A clock
that is put back waits until it has come to that slot again.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from edge_etl_operator.api import EdgeETLJob, Spec

MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

CLOCK_WAS_WRONG: Final = timedelta(days=1)
"""What the status says of times that are further ahead than this was said by a wrong clock."""

_SECOND: Final = timedelta(seconds=1)
_SPANS: Final = (timedelta(hours=1), timedelta(days=8), timedelta(days=400))


class ScheduleError(ValueError):
    """A schedule that no slot can be computed from; the message says why."""


class TimeZoneError(ValueError):
    """A time zone that is not known here."""


@dataclass(frozen=True)
class Cron:
    """A schedule in its time zone, both known to be right."""

    expression: str
    zone: ZoneInfo

    @property
    def key(self) -> str:
        """What identifies it in the status."""
        return f"{self.expression} ({self.zone.key})"

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Iterate over the slots after a moment, in UTC, each once and in order."""
        last = moment.astimezone(UTC)
        for slot in CronSim(self.expression, moment.astimezone(self.zone)):
            # In an hour that comes twice cronsim returns to the first of the two, and all slots
            # in an hour that is left out are one.
            if slot.astimezone(UTC) > last:
                last = slot.astimezone(UTC)
                yield last

    def next(self, moment: datetime) -> datetime:
        """Return the first slot after a moment."""
        return next(self.after(moment))

    def latest(self, first: datetime, until: datetime) -> datetime:
        """Return the last slot until a moment; ``first`` is one, and not after it."""
        for span in _SPANS:
            start = max(first - _SECOND, until - span)
            found = deque(takewhile(lambda slot: slot <= until, self.after(start)), maxlen=1)
            if found:
                return found[0]
        slots = takewhile(lambda slot: slot <= until, self.after(first))
        return next(iter(deque(slots, maxlen=1)), first)


def cron(spec: Spec) -> Cron | None:
    """Parse the schedule, None without one; raise ScheduleError or TimeZoneError."""
    return None if spec.schedule is None else _parsed(spec.schedule, spec.time_zone)


@lru_cache(maxsize=1024)
def _parsed(schedule: str, time_zone: str) -> Cron:
    try:
        zone = ZoneInfo(time_zone)
    except (ValueError, OSError, LookupError):
        raise TimeZoneError(f"there is no time zone {time_zone!r}") from None
    written = " ".join(schedule.split())
    expression = MACROS.get(written, written)
    if len(expression.split()) != 5:
        raise ScheduleError(f"the schedule {schedule!r} has not five fields")
    parsed = Cron(expression, zone)
    try:
        parsed.next(datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ScheduleError(f"the schedule {schedule!r} is wrong: {error}") from None
    except StopIteration:
        raise ScheduleError(f"the schedule {schedule!r} has no moment that ever comes") from None
    return parsed


@dataclass(frozen=True)
class Agenda:
    """What the schedule says at a moment; without one, or while suspended, all of it is empty."""

    key: str = ""
    """What ``pending`` is a slot of."""
    due: datetime | None = None
    """The slot that a run is to begin for now."""
    pending: datetime | None = None
    """The first slot that no run has been begun for: ``due``, or the next one."""
    following: datetime | None = None
    """The slot that comes next by the clock."""
    missed: datetime | None = None
    """The last slot that had no run of its own."""


def agenda(job: EdgeETLJob, now: datetime) -> Agenda:
    """Look at the schedule now; the spec was accepted."""
    spec, known = job.spec, job.status
    schedule = cron(spec)
    if schedule is None:
        return Agenda()
    if spec.suspend:
        return Agenda(missed=known.missed_schedule_time)
    following = schedule.next(now)
    pending = known.next_run_time
    if pending is None or known.schedule != schedule.key:
        pending = schedule.next(_seen_since(job, now))
    elif pending > following + CLOCK_WAS_WRONG:
        pending = following
    if pending > now:
        missed = known.missed_schedule_time
        return Agenda(schedule.key, None, pending, following, missed)
    return _overdue(job, schedule, pending, following, now)


def _overdue(
    job: EdgeETLJob, schedule: Cron, pending: datetime, following: datetime, now: datetime
) -> Agenda:
    """Of the slots that have passed only the latest is run, and only when it is not too late."""
    slot = schedule.latest(pending, now)
    last = job.status.last_schedule_time
    if last is not None and slot <= last < now + CLOCK_WAS_WRONG:
        # The clock was far behind for a while, and is right again.
        return Agenda(schedule.key, None, following, following, job.status.missed_schedule_time)
    deadline = job.spec.starting_deadline_seconds
    if deadline is not None and now > slot + timedelta(seconds=deadline):
        return Agenda(schedule.key, None, following, following, missed=slot)
    missed = job.status.missed_schedule_time
    if slot > pending:
        missed = schedule.latest(pending, slot - _SECOND)
    return Agenda(schedule.key, slot, slot, following, missed)


def _seen_since(job: EdgeETLJob, now: datetime) -> datetime:
    """Return from when slots count: a new or changed schedule asks for nothing in the past.

    A job that no operator has looked at yet counts from its creation.
    """
    created = job.metadata.creation_timestamp
    if job.status.observed_generation or created is None:
        return now
    return min(created, now)
