"""The reasons that the agent's Python gives, each with its HTTP status."""

from typing import Final

from edge_etl_engine import STATUS as _OF_THE_ENGINE

BAD_READING: Final = "BadReading"
FORBIDDEN: Final = "Forbidden"
NOT_FOUND: Final = "NotFound"
TOO_LARGE: Final = "TooLarge"
BUSY: Final = "Busy"
UNAVAILABLE: Final = "Unavailable"
FULL: Final = "Full"
JOB_INVALID: Final = "JobInvalid"
TASK_CONFLICT: Final = "TaskConflict"

OF_TASKS: Final = {JOB_INVALID: 400, TASK_CONFLICT: 409}
"""The reasons that only tasks have."""
STATUS: Final = {**_OF_THE_ENGINE, **OF_TASKS}
"""All reasons."""


class Refusal(Exception):  # noqa: N818 - a refused request is no error of the agent
    """What was asked for is not done; nothing of it is stored."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
