"""How the parts of the engine refuse a row or a file."""

from typing import Final

_SHOWN: Final = 80  # characters of a value that a message repeats


class RejectionError(Exception):
    """A row is not valid: a reason of ``edge_etl_job.reasons``, and the field and value."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class QuarantineError(Exception):
    """A file cannot be read as the schema wants it; none of its rows is delivered.

    ``columns`` are those of its header, as far as that could be read.
    """

    def __init__(self, reason: str, message: str, columns: tuple[str, ...] = ()) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.columns = columns


def shown(value: str) -> str:
    """Return a value as messages repeat it: quoted and not too long."""
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
