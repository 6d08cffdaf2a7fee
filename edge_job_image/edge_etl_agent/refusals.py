"""Every way in which the agent refuses readings: the reason and its HTTP status."""

from typing import Final

BAD_READING: Final = "BadReading"
"""A body that cannot be read, or a record of it; the message says which and why."""
UNAUTHENTICATED: Final = "Unauthenticated"
"""No token, one that nobody knows, or one that has expired."""
FORBIDDEN: Final = "Forbidden"
"""A good token, for other streams or other sensors."""
NOT_FOUND: Final = "NotFound"
"""Nothing is at this path, or not for this method."""
TOO_LARGE: Final = "TooLarge"
"""A body beyond the limit, as it is or unpacked."""
TIMED_OUT: Final = "TimedOut"
"""The sender paused for too long."""
UNSUPPORTED: Final = "UnsupportedMediaType"
"""A Content-Type or Content-Encoding that the agent does not read."""
BUSY: Final = "Busy"
"""More is waiting for the disk than the agent keeps in memory: send it again, a little later."""
UNAVAILABLE: Final = "Unavailable"
"""The disk refuses to be written, or the agent is ending."""
FULL: Final = "Full"
"""The disk budget is used up by readings that no run has delivered yet."""

STATUS: Final = {
    BAD_READING: 400,
    UNAUTHENTICATED: 401,
    FORBIDDEN: 403,
    NOT_FOUND: 404,
    TIMED_OUT: 408,
    TOO_LARGE: 413,
    UNSUPPORTED: 415,
    BUSY: 429,
    UNAVAILABLE: 503,
    FULL: 507,
}


class Refusal(Exception):  # noqa: N818 - a refused reading is no error of the agent
    """The readings are not taken; none of them is stored."""

    def __init__(self, reason: str, message: str, record: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.record = record
        """Which record of the body, from 1, when it is one."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.reason]

    def document(self) -> dict[str, object]:
        """Return the answer's body."""
        answer: dict[str, object] = {"reason": self.reason, "message": self.message}
        return answer if self.record is None else {**answer, "record": self.record}
