"""How a row is refused, and how messages show what was wrong with it."""

from typing import Final

_SHOWN: Final = 80  # characters of a value that a message repeats


class RejectionError(Exception):
    """A row is not valid: a reason of ``edge_etl_job.reasons``, and the field and value."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def shown(value: str) -> str:
    """Return a value as messages repeat it: quoted and not too long."""
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
