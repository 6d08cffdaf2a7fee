"""The reasons that the agent's Python gives; all are in the engine, with their HTTP status."""

from typing import Final

BAD_READING: Final = "BadReading"
NOT_FOUND: Final = "NotFound"
UNAVAILABLE: Final = "Unavailable"
FULL: Final = "Full"


class Refusal(Exception):  # noqa: N818 - a refused reading is no error of the agent
    """The readings are not taken; none of them is stored."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
