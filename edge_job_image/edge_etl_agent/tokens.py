"""Who may send: bearer tokens from a file, each maybe for some streams and sensors only."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import msgspec
from edge_etl_job.errors import EdgeError

TOKENS_INVALID: Final = "TokensInvalid"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Known = tuple[str, bytes, tuple[str, ...] | None, tuple[str, ...] | None, int | None]
"""A token as the intake knows it: by its SHA-256."""


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One token of the file."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    """Whose it is, for the log."""
    token: Annotated[str, msgspec.Meta(min_length=16)]
    streams: tuple[str, ...] | None = None
    """The streams that it may write; absent: all."""
    sensors: tuple[str, ...] | None = None
    """The values of ``sensor_id`` that it may send; absent: all."""
    expires: datetime | None = None
    """Absent: never."""
    tasks: bool = False
    """Whether it may have the edge program run."""

    def known(self) -> Known:
        """Return it as the intake knows it."""
        expires = (self.expires - _EPOCH) // _MICROSECOND if self.expires else None
        digest = sha256(self.token.encode()).digest()
        return self.name, digest, self.streams, self.sensors, expires


@dataclass(frozen=True)
class Tokens:
    """All tokens; without a file everybody may send."""

    tokens: tuple[Token, ...] | None = None

    @classmethod
    def load(cls, path: Path | None) -> "Tokens":
        """Read the file: a JSON array; EdgeError says what is wrong with it."""
        if path is None:
            return cls()
        try:
            tokens = msgspec.json.decode(path.read_bytes(), type=tuple[Token, ...])
        except OSError as error:
            raise EdgeError(TOKENS_INVALID, f"{path}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EdgeError(TOKENS_INVALID, f"{path}: {error}") from error
        names = [token.name for token in tokens]
        for token in tokens:
            if token.expires is not None and token.expires.tzinfo is None:
                raise EdgeError(TOKENS_INVALID, f"{path}: {token.name}: expires needs a time zone")
            if names.count(token.name) > 1:
                raise EdgeError(TOKENS_INVALID, f"{path}: {token.name}: two tokens have this name")
        return cls(tokens)

    def known(self) -> list[Known] | None:
        """Return what the intake is told; None: everybody may send."""
        return None if self.tokens is None else [token.known() for token in self.tokens]

    def may_run_tasks(self, name: str | None) -> bool:
        """Say whether the caller of this name may have the edge program run.

        Without tokens the intake lets only who has shown a certificate come so far: the agent does
        not start with tasks otherwise.
        """
        if self.tokens is None:
            return True
        return any(token.tasks and token.name == name for token in self.tokens)
