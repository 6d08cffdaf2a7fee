"""Who may send: bearer tokens from a file, each maybe for some streams and sensors only."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from edge_etl_job.errors import EdgeError

from edge_etl_agent.records import Reading
from edge_etl_agent.refusals import FORBIDDEN, UNAUTHENTICATED, Refusal

TOKENS_INVALID = "TokensInvalid"


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One token of the file."""

    name: str
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

    def permit(self, stream: str, readings: Iterable[Reading]) -> None:
        """Raise Refusal unless the readings are of its streams and sensors."""
        if self.streams is not None and stream not in self.streams:
            raise Refusal(FORBIDDEN, f"the token of {self.name} is not for the stream {stream}")
        if self.sensors is None:
            return
        for number, each in enumerate(readings, 1):
            if each.values.get("sensor_id") not in self.sensors:
                message = f"the token of {self.name} is not for the sensor_id of this reading"
                raise Refusal(FORBIDDEN, message, number)


@dataclass(frozen=True)
class Tokens:
    """All tokens; without a file everybody may send."""

    known: tuple[Token, ...] | None = None

    @classmethod
    def load(cls, path: Path | None) -> "Tokens":
        """Read the file: a JSON array; EdgeError says what is wrong with it."""
        if path is None:
            return cls()
        try:
            known = msgspec.json.decode(path.read_bytes(), type=tuple[Token, ...])
        except OSError as error:
            raise EdgeError(TOKENS_INVALID, f"{path}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EdgeError(TOKENS_INVALID, f"{path}: {error}") from error
        for token in known:
            if token.expires is not None and token.expires.tzinfo is None:
                raise EdgeError(TOKENS_INVALID, f"{path}: {token.name}: expires needs a time zone")
        return cls(known)

    def authenticate(self, header: str | None) -> Token | None:
        """Return the token of an Authorization header, None where none is asked for."""
        if self.known is None:
            return None
        scheme, _, given = (header or "").partition(" ")
        if scheme.lower() not in ("bearer", "token") or not given:  # InfluxDB's clients say Token
            raise Refusal(UNAUTHENTICATED, "send `Authorization: Bearer <token>`")
        digest = sha256(given.strip().encode(errors="surrogateescape")).digest()
        found = None
        for token in self.known:  # all of them, so that time tells nothing
            if hmac.compare_digest(digest, sha256(token.token.encode()).digest()):
                found = token
        if found is None:
            raise Refusal(UNAUTHENTICATED, "nobody has this token")
        if found.expires is not None and found.expires <= datetime.now(UTC):
            raise Refusal(UNAUTHENTICATED, f"the token of {found.name} has expired")
        return found
