"""What schemathesis sends as NDJSON: the text, as it is. It imports this by its name."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def as_it_is(_context: schemathesis.SerializationContext, value: object) -> bytes:
    """Return the bytes of a body."""
    return value if isinstance(value, bytes) else str(value).encode()
