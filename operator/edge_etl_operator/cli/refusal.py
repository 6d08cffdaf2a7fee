"""How the edge agent and the landing service say no."""

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """Why, for programs and for people."""

    reason: str = ""
    message: str = ""


def refusal(content: bytes) -> Refusal:
    """Return what the body of an answer says; of one that is none of theirs the text."""
    try:
        return msgspec.json.decode(content, type=Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Refusal(message=content.decode(errors="replace")[:500])
